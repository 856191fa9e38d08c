package cluster

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
)

// diskGuard stops the queen when a write fails or hangs. raft v1.8.0 goes on heartbeating
// while its log store hangs, so that nobody else is elected, and panics when a vote cannot
// be stored.
type diskGuard struct {
	limit time.Duration
	now   func() time.Time
	fail  func(error)

	mu    sync.Mutex
	began map[*string]time.Time // writes going on, by token
}

func newDiskGuard(limit time.Duration, now func() time.Time, fail func(error)) *diskGuard {
	return &diskGuard{limit: limit, now: now, fail: fail, began: map[*string]time.Time{}}
}

// write runs one write. When it fails the queen is told to stop.
func (g *diskGuard) write(what string, f func() error) error {
	token := &what
	g.mu.Lock()
	g.began[token] = g.now()
	g.mu.Unlock()
	err := f()
	g.mu.Lock()
	delete(g.began, token)
	g.mu.Unlock()
	if err != nil {
		g.fail(startError(err, "writing %s failed: %v: this queen stops so that another can lead; free or mend its disk and start it again", what, err))
	}
	return err
}

// run looks for writes that hang.
func (g *diskGuard) run(ctx context.Context) error {
	if g.limit <= 0 {
		return nil
	}
	tick := time.NewTicker(g.limit / 8)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if what, ok := g.hanging(); ok {
			g.fail(&stallError{startError(nil, "writing %s has hung for %v: this queen stops so that another can lead; mend its disk and start it again", what, g.limit)})
			return nil
		}
	}
}

func (g *diskGuard) hanging() (string, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for what, at := range g.began {
		if g.now().Sub(at) > g.limit {
			return *what, true
		}
	}
	return "", false
}

// stallError is a disk that hangs: closing in order would hang too.
type stallError struct{ *StartError }

// guardedLog counts bytes towards the next snapshot and guards writes.
type guardedLog struct {
	raft.LogStore
	guard  *diskGuard
	bytes  atomic.Int64
	enough chan struct{} // rings when a snapshot is due by bytes
}

// IsMonotonic must be forwarded, or raft leaves gaps that raft-wal cannot accept.
func (l *guardedLog) IsMonotonic() bool {
	m, ok := l.LogStore.(raft.MonotonicLogStore)
	return ok && m.IsMonotonic()
}

func (l *guardedLog) StoreLog(e *raft.Log) error { return l.StoreLogs([]*raft.Log{e}) }

func (l *guardedLog) StoreLogs(es []*raft.Log) error {
	err := l.guard.write("the log", func() error { return l.LogStore.StoreLogs(es) })
	if err != nil {
		return err
	}
	n := int64(0)
	for _, e := range es {
		n += int64(len(e.Data))
	}
	if l.bytes.Add(n) >= snapshotBytes {
		l.bytes.Store(0)
		select {
		case l.enough <- struct{}{}:
		default:
		}
	}
	return nil
}

func (l *guardedLog) DeleteRange(minIndex, maxIndex uint64) error {
	return l.guard.write("the log", func() error { return l.LogStore.DeleteRange(minIndex, maxIndex) })
}

// guardedStable guards term and vote. raft panics when they cannot be stored; the writer is
// held back instead, for ever, and the process ends with the guard's message.
type guardedStable struct {
	raft.StableStore
	guard *diskGuard
}

func (s *guardedStable) Set(k, v []byte) error {
	return s.hold(s.guard.write("the vote", func() error { return s.StableStore.Set(k, v) }))
}

func (s *guardedStable) SetUint64(k []byte, v uint64) error {
	return s.hold(s.guard.write("the term", func() error { return s.StableStore.SetUint64(k, v) }))
}

func (s *guardedStable) hold(err error) error {
	if err != nil {
		s.guard.fail(&stallError{startError(err, "term or vote could not be stored: %v", err)})
		select {}
	}
	return nil
}
