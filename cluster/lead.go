package cluster

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"golang.org/x/sync/errgroup"

	"queen-rbee/fsm"
	"queen-rbee/schedule"
)

// leadership is this queen as the established leader.
type leadership struct {
	ctx      context.Context // ends with it
	term     uint64
	since    fsm.Time
	proposer *proposer
}

// propose brings a request to this leadership's proposer and waits for what becomes of it.
func (l *leadership) propose(ctx context.Context, r schedule.Request) result {
	got := make(chan result, 1)
	a := &ask{request: r, reply: func(r result) { got <- r }}
	l.proposer.submit(a)
	select {
	case r := <-got:
		return r
	case <-ctx.Done():
	}
	if a.leave() {
		return result{fate: refused}
	}
	select {
	case r := <-got:
		return r
	default:
		return result{fate: unknown}
	}
}

// reign follows raft's word on leadership. It drains the channel always, since raft blocks
// on it, and so sees leadership that was lost and regained at once: another reign.
type reign struct {
	mu      sync.Mutex
	leading bool
	number  uint64             // of changes so far
	end     context.CancelFunc // of the leadership going on; nil for none
	bell    chan struct{}
}

// watch notes every change until ctx ends; a loss ends the leadership going on at once.
func (r *reign) watch(ctx context.Context, notify <-chan bool) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case leading := <-notify:
			r.mu.Lock()
			r.leading = leading
			r.number++
			if r.end != nil {
				r.end()
			}
			r.mu.Unlock()
			select {
			case r.bell <- struct{}{}:
			default:
			}
		}
	}
}

// begin starts a leadership's context if raft's newest word is that this queen leads.
func (r *reign) begin(parent context.Context) (context.Context, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.leading {
		return nil, false
	}
	ctx, cancel := context.WithCancel(parent)
	r.end = cancel
	return ctx, true
}

func (r *reign) over() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.end()
	r.end = nil
}

// follow leads whenever raft says so, one leadership after the other, until ctx ends.
func (n *node) follow(ctx context.Context) error {
	for {
		for {
			lctx, leads := n.reign.begin(ctx)
			if !leads || ctx.Err() != nil {
				break
			}
			err := n.lead(lctx)
			ended := lctx.Err() != nil
			n.reign.over()
			if err != nil {
				n.log.Warn("leadership ended", "why", err)
			}
			if !ended && !sleep(ctx, 50*time.Millisecond) { // raft still says we lead: a new Barrier
				break
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-n.reign.bell:
		}
	}
}

// lead is all of leading: when it returns, every duty has ended. It returns early when the
// outcome of a batch is not known, and is then called again if raft still says so.
func (n *node) lead(ctx context.Context) error {
	term := n.raft.CurrentTerm()
	if err := n.raft.Barrier(0).Error(); err != nil { // ends with leadership at the latest
		return err
	}
	if n.raft.CurrentTerm() != term {
		return errors.New("the term changed before everything was applied")
	}
	since := n.replica.clock.lead(n.replica.view().Meta().Now)
	defer n.replica.clock.follow()
	g, ctx := errgroup.WithContext(ctx)
	l := &leadership{ctx: ctx, term: term, since: since, proposer: n.newProposer(ctx, term, since)}
	g.Go(func() error { return l.proposer.run(ctx) })
	g.Go(func() error {
		if err := n.genesis(ctx, l); err != nil {
			return err
		}
		n.established.Store(l)
		n.board.nudge()
		n.metrics.changes.Inc()
		n.log.Info("established as leader", "term", term, "index", n.replica.view().Meta().Index, "time", since)
		for _, d := range n.duties {
			g.Go(func() error { return n.repeat(ctx, d) })
		}
		<-ctx.Done()
		n.established.CompareAndSwap(l, nil)
		return nil
	})
	return g.Wait()
}

// repeat runs a duty until ctx ends, again with backoff when it returns early.
func (n *node) repeat(ctx context.Context, d Duty) error {
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval, wait.MaxInterval = 100*time.Millisecond, 10*time.Second
	for {
		began := n.cfg.Clock()
		err := d.Run(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if n.cfg.Clock().Sub(began) > wait.MaxInterval {
			wait.Reset()
		}
		pause := wait.NextBackOff()
		n.log.Error("a leader duty ended early and is started again", "duty", d.Name, "in", pause, "why", err)
		if !sleep(ctx, pause) {
			return nil
		}
	}
}

// sleep waits; false when ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (n *node) newProposer(ctx context.Context, term uint64, since fsm.Time) *proposer {
	return &proposer{
		bounds: n.cfg.Bounds, tick: n.cfg.Timings.Tick, log: n.log.Named("proposer"), metrics: n.metrics,
		raft: committer{n.raft, term, electorate{n, ctx}}, view: n.replica.view, clock: n.replica.clock.Now, wall: n.cfg.Clock,
		plan: n.cfg.Plan, queue: newQueue(n.cfg.Bounds), expect: n.replica.expect,
		world: func(v *fsm.View, now fsm.Time) schedule.World { return n.world(v, now, since) },
	}
}

// world is everything a plan may look at.
func (n *node) world(v *fsm.View, now, since fsm.Time) schedule.World {
	w := schedule.World{View: v, Queens: n.gossip.presences(now), LeaderSince: since, Limits: n.cfg.Limits}
	if n.cfg.Telemetry != nil {
		t := n.cfg.Telemetry()
		w.Hives, w.DrainRate = t.Hives, t.DrainRate
	}
	return w
}
