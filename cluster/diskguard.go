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

	over   atomic.Bool   // the storage is being closed, and nothing leaves this queen any more
	broken chan struct{} // closed after the first failure: closing in order may hang from then on
	once   sync.Once

	mu    sync.Mutex
	began map[*string]time.Time // writes going on, by token
	loose int                   // deletions going on
}

// slowDeletion is how many limits a deletion may take, and whatever waits for it: files are
// unlinked under the log's lock, which on a busy disk of large files takes its time.
const slowDeletion = 10

func newDiskGuard(limit time.Duration, now func() time.Time, fail func(error)) *diskGuard {
	return &diskGuard{limit: limit, now: now, fail: fail, broken: make(chan struct{}), began: map[*string]time.Time{}}
}

// write runs one write. When it fails the queen is told to stop.
func (g *diskGuard) write(what string, f func() error) error { return g.watch(what, 0, f) }

// delete runs one deletion, which may take longer.
func (g *diskGuard) delete(what string, f func() error) error { return g.watch(what, 1, f) }

func (g *diskGuard) watch(what string, loose int, f func() error) error {
	token := &what
	g.mu.Lock()
	g.began[token] = g.now()
	g.loose += loose
	g.mu.Unlock()
	err := f()
	g.mu.Lock()
	delete(g.began, token)
	if g.loose -= loose; loose > 0 {
		for t := range g.began { // they may have waited for it
			g.began[t] = g.now()
		}
	}
	g.mu.Unlock()
	if err != nil && !g.over.Load() {
		g.stop(startError(err, "writing %s failed: %v: this queen stops so that another can lead; free or mend its disk and start it again", what, err))
	}
	return err
}

func (g *diskGuard) stop(err error) {
	g.fail(err)
	g.once.Do(func() { close(g.broken) })
}

// run looks for writes that hang, until ctx ends or it has found one.
func (g *diskGuard) run(ctx context.Context) {
	if g.limit <= 0 {
		return
	}
	tick := time.NewTicker(g.limit / 8)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if what, limit, ok := g.hanging(); ok {
			g.stop(startError(nil, "writing %s has hung for %v: this queen stops so that another can lead; mend its disk and start it again", what, limit))
			return
		}
	}
}

func (g *diskGuard) hanging() (string, time.Duration, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	limit := g.limit
	if g.loose > 0 {
		limit *= slowDeletion
	}
	for what, at := range g.began {
		if g.now().Sub(at) > limit {
			return *what, limit, true
		}
	}
	return "", 0, false
}

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
	return l.guard.delete("the log", func() error { return l.LogStore.DeleteRange(minIndex, maxIndex) })
}

// newestLogs is how many entries are kept in memory too: the one in flight, the one before
// it, whose term goes with it to the followers, and what a follower is behind by as a rule. An
// entry may have 48 MiB.
const newestLogs = 4

// remembered keeps the newest entries in memory: raft reads each again for every follower,
// and the one before it.
func remembered(l *guardedLog) (raft.LogStore, error) { return raft.NewLogCache(newestLogs, l) }

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
	if err != nil && !s.guard.over.Load() {
		select {}
	}
	return nil
}
