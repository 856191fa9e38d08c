package cluster

import (
	"context"
	"errors"
	"maps"
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
	calls, endCalls := context.WithCancel(context.Background())
	srv := &server{leader: n.established.Load, methods: n.forward.methods, peer: n.peerMethods(), ctx: calls}
	n.transport.calls = srv.serve
	q.node.Store(n)

	parts, endParts := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		n.run(parts)
	}()
	accepting := make(chan struct{})
	go func() {
		defer close(accepting)
		_ = n.transport.run()
	}()
	up := make(chan struct{})
	go func() {
		defer close(up)
		q.becomeReady(parts, n)
	}()

	select {
	case <-ctx.Done():
	case <-q.inner.Done():
	}
	err := context.Cause(q.inner)
	abrupt := errors.Is(context.Cause(ctx), ErrAbrupt)
	q.draining.Store(true)
	var stall *stallError
	if errors.As(err, &stall) {
		// Closing in order would wait for the disk that hangs. This queen falls silent, so
		// that the others elect, and the process is to end now.
		n.transport.cut()
		close(n.forward.closed)
		endCalls()
		endParts()
		return err
	}
	if !abrupt && err == nil {
		n.stepDown()
	}
	endParts() // ends leading, which answers all that waits
	<-done
	<-up
	close(n.forward.closed)
	endCalls()
	n.close(abrupt)
	<-accepting
	return err
}

func (q *Queen) newNode() *node {
	n := &node{
		cfg: &q.cfg, log: q.cfg.Logger.Named("cluster"), metrics: q.metrics, replica: q.replica, board: q.board, fail: q.fail,
		opened: func(token string) { q.token.Store(&token) },
		notify: make(chan bool, 16), look: make(chan struct{}, 1), reign: reign{bell: make(chan struct{}, 1)},
	}
	methods := n.leaderMethods()
	maps.Copy(methods, q.handlers)
	n.forward = &forwarder{self: q.cfg.Name, park: q.cfg.Park, now: q.cfg.Clock, board: q.board, methods: methods, closed: make(chan struct{})}
	n.duties = append([]Duty{{Name: "members", Run: n.members}}, q.duties...)
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
