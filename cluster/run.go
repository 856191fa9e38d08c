package cluster

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"
)

func now() time.Time { return time.Now() }

// Run opens, joins, follows and leads until ctx ends, then hands leadership on and closes
// everything; nil after a clean end. Called once. An error is why this queen cannot start or
// go on, a *StartError or *ConfigError with what to do wherever that is known.
func (q *Queen) Run(ctx context.Context) error {
	if q.ran.Swap(true) {
		return errors.New("a queen runs once: make another")
	}
	defer q.stop(nil)
	n := q.newNode()
	if err := n.open(); err != nil {
		return err
	}
	q.node.Store(n)
	leave, cut := q.start(n)
	select {
	case <-ctx.Done():
	case <-q.inner.Done():
	}
	q.draining.Store(true)
	left := make(chan struct{})
	go func() {
		defer close(left)
		leave(errors.Is(context.Cause(ctx), ErrAbrupt))
	}()
	select {
	case <-left:
	case <-n.guard.broken: // leaving may wait for that disk, for ever; the process is to end now
		cut()
	}
	return context.Cause(q.inner)
}

// start runs all that a queen runs. leave ends it in order. cut makes the queen fall silent,
// so that the others elect, and waits for nothing.
func (q *Queen) start(n *node) (leave func(abrupt bool), cut func()) {
	calls, endCalls := context.WithCancel(context.Background())
	srv := &server{leader: n.established.Load, methods: n.forward.methods, peer: n.peerMethods(), tally: &n.metrics.handled, ctx: calls}
	n.transport.calls = srv.serve
	parts, endParts := context.WithCancel(context.Background())
	watched, endWatch := context.WithCancel(context.Background()) // the disk, to the last write
	begin := func(f func()) (done chan struct{}) {
		done = make(chan struct{})
		go func() {
			defer close(done)
			f()
		}()
		return done
	}
	guarding := begin(func() { n.guard.run(watched) })
	running := begin(func() { n.run(parts) })
	accepting := begin(func() { _ = n.transport.run() })
	catching := begin(func() { q.becomeReady(parts, n) })
	silence := sync.OnceFunc(func() { close(n.forward.closed) }) // ends what is parked
	leave = func(abrupt bool) {
		if !abrupt && q.inner.Err() == nil {
			n.stepDown()
		}
		endParts() // ends leading, which answers all that waits
		<-running
		<-catching
		silence()
		endCalls()
		n.close(abrupt)
		<-accepting
		endWatch()
		<-guarding
	}
	cut = func() {
		n.transport.cut()
		silence()
		endCalls()
		endParts()
		endWatch()
	}
	return leave, cut
}

func (q *Queen) newNode() *node {
	n := &node{
		cfg: &q.cfg, log: q.cfg.Logger.Named("cluster"), metrics: q.metrics, replica: q.replica, board: q.board, fail: q.fail,
		opened: func(token string) { q.tokens.Store(newTokens(token)) },
		notify: make(chan bool, 16), look: make(chan struct{}, 1), reign: reign{bell: make(chan struct{}, 1)},
	}
	methods := n.leaderMethods()
	maps.Copy(methods, q.handlers)
	n.forward = &forwarder{self: q.cfg.Name, park: q.cfg.Park, now: q.cfg.Clock, board: q.board, methods: methods, crowd: &q.metrics.forwarded, closed: make(chan struct{})}
	n.rounds.ask = n.askIndex
	n.duties = append([]Duty{{Name: "members", Run: n.members}, {Name: "autopilot", Run: n.steer}}, q.duties...)
	return n
}

// becomeReady waits until this queen has caught up, notes whose it is, and says so.
func (q *Queen) becomeReady(ctx context.Context, n *node) {
	v, ok := n.caughtUp(ctx)
	if !ok {
		return
	}
	if err := n.dir.setCluster(v.Meta().ClusterID); err != nil {
		q.fail(err)
		return
	}
	n.log.Info("ready", "index", v.Meta().Index, "cluster", v.Meta().ClusterID)
	close(q.ready)
}
