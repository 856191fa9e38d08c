package agent

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/prometheus/client_golang/prometheus"

	"queen-rbee/hives"
)

const (
	defaultInterval = time.Second
	minInterval     = 50 * time.Millisecond
	maxInterval     = 10 * time.Second
	// minGap is the least time between two beats, however much there is to say.
	minGap = 50 * time.Millisecond
	// behindFor is how long the hive's row may be ahead of what was acted on before the leader is asked.
	behindFor = time.Second
	// staleLimit is how many beats in a row a queen may call stale: one can be an echo of
	// itself, carried to the leader twice.
	staleLimit = 3
)

// pipeUp sends heartbeats.
type pipeUp struct {
	queens *queens
	call   *caller
	table  *table
	fill   func(*hives.Heartbeat)
	limit  time.Duration // silence after which doorbells start nothing
	strong func()        // ask the leader for what is desired
	logger hclog.Logger
	failed prometheus.Counter
	bell   chan struct{} // something new to say
	every  atomic.Int64  // interval in ns
	seq    atomic.Uint64 // beats begun so far: goes on over sessions of one incarnation

	mu       sync.Mutex
	answered uint64        // seq of the newest answered beat
	heard    chan struct{} // closed by the next answer
	lastSent time.Time     // when the newest answered beat was sent
	begun    time.Time     // when the newest session's registration was sent
}

// kick has the next beat sent at once. It never blocks.
func (p *pipeUp) kick() { ring(p.bell) }

func (p *pipeUp) interval(millis int64) {
	d := time.Duration(millis) * time.Millisecond
	if millis <= 0 {
		d = defaultInterval
	}
	p.every.Store(int64(min(max(d, minInterval), maxInterval)))
}

// begin opens a session whose registration was sent at a time: a sign of life as a beat is.
func (p *pipeUp) begin(sent time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.begun = sent
}

// fresh tells that the leader has heard the hive lately: nothing of it has ended elsewhere.
func (p *pipeUp) fresh() bool { return p.since() < p.limit }

// broken tells that the silence before now was too long.
func (p *pipeUp) broken() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	last := p.lastSent
	if last.Before(p.begun) {
		last = p.begun
	}
	return time.Since(last) >= p.limit
}

// since is how long ago the newest answered beat was sent. Counted from the sending, since
// the leader may have heard it any time after that.
func (p *pipeUp) since() time.Duration {
	at, ok := p.lastBeat()
	if !ok {
		return 1 << 62
	}
	return time.Since(at)
}

// lastBeat is when the newest answered beat was sent.
func (p *pipeUp) lastBeat() (time.Time, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lastSent, !p.lastSent.IsZero()
}

// run sends beats until ctx ends, the hive must register anew (errAnew) or is superseded.
func (p *pipeUp) run(ctx context.Context, epoch string) error {
	pause := newPace(p.queens.count)
	var behind lag
	stale := 0
	for {
		sent := time.Now()
		err := p.once(ctx, epoch, &behind)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err == nil:
			pause.ok()
			stale = 0
			if !p.wait(ctx, sent) {
				return ctx.Err()
			}
			continue
		case errors.Is(err, errAnew):
			return err
		}
		p.failed.Inc()
		v := judge(err)
		if v == unknownHere {
			p.logger.Warn("the cluster does not know this hive: registering anew", "error", err)
			return errAnew
		}
		if v == overtaken {
			if stale++; stale >= staleLimit {
				return fmt.Errorf("%w (%w)", ErrSuperseded, err)
			}
			continue
		}
		stale = 0
		if !sleep(ctx, max(pause.failed(v), time.Millisecond)) {
			return ctx.Err()
		}
	}
}

// once sends one beat and takes in its answer.
func (p *pipeUp) once(ctx context.Context, epoch string, behind *lag) error {
	queen, here := p.queens.current()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(here, cancel)()
	sent := time.Now()
	seq := p.seq.Add(1) // before the report, so that flush knows which beats say what it waits for
	hb := p.table.report()
	hb.Seq = seq
	p.fill(&hb)
	ans, err := p.call.beat(ctx, queen, &hb)
	if err != nil {
		if v := judge(err); v == unreachable || v == refused {
			p.logger.Warn("heartbeat failed", "queen", queen, "error", explain(err))
			p.queens.fail(queen)
		}
		return err
	}
	if ans.Epoch != epoch {
		p.logger.Warn("the cluster is in another epoch: registering anew", "was", epoch, "is", ans.Epoch)
		return errAnew
	}
	broken := p.broken()
	if broken {
		p.table.silence() // before the hive is fresh again
	}
	p.mu.Lock()
	p.answered, p.lastSent = hb.Seq, sent
	if p.heard != nil {
		close(p.heard)
		p.heard = nil
	}
	p.mu.Unlock()
	p.interval(ans.IntervalMillis)
	p.queens.learn(ans.Queens)
	p.table.reported(&hb)
	if behind.tell(ans.Index, p.table.acted(), time.Now()) || broken {
		p.strong()
	}
	return nil
}

// wait lets the gap pass, then waits for something to say or for the interval; false when ctx ended.
func (p *pipeUp) wait(ctx context.Context, sent time.Time) bool {
	if !sleep(ctx, minGap-time.Since(sent)) {
		return false
	}
	t := time.NewTimer(time.Duration(p.every.Load()) - time.Since(sent))
	defer t.Stop()
	select {
	case <-p.bell:
		return true
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// flush waits until a beat that says all that is true now has been answered, or ctx ends.
func (p *pipeUp) flush(ctx context.Context) error {
	target := p.seq.Load() + 1
	for {
		p.mu.Lock()
		if p.answered >= target {
			p.mu.Unlock()
			return nil
		}
		if p.heard == nil {
			p.heard = make(chan struct{})
		}
		heard := p.heard
		p.mu.Unlock()
		p.kick()
		select {
		case <-heard:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// lag notices that the hive's row stays ahead of what was acted on.
type lag struct {
	index uint64
	since time.Time
}

// tell takes the row's index and the own one; true once every behindFor while behind.
func (l *lag) tell(row, own uint64, now time.Time) bool {
	if l.index == 0 || own >= l.index {
		if row <= own {
			l.index = 0
			return false
		}
		l.index, l.since = row, now
		return false
	}
	if now.Sub(l.since) < behindFor {
		return false
	}
	l.since = now
	return true
}
