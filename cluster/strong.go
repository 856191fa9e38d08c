package cluster

import (
	"context"
	"encoding/binary"
	"sync"

	"queen-rbee/fsm"
)

// Strong returns a View that holds every write acknowledged, anywhere, before the call.
func (q *Queen) Strong(ctx context.Context) (*fsm.View, error) {
	n := q.node.Load()
	if n == nil {
		return nil, errNoLeader("this queen is still starting")
	}
	return n.strong(ctx)
}

// strong asks the leader for the index it has acknowledged and waits for it here.
func (n *node) strong(ctx context.Context) (*fsm.View, error) {
	index, err := n.rounds.index(ctx)
	if err != nil {
		return nil, err
	}
	return n.replica.waitIndex(ctx, n.cfg.Name, index)
}

// askIndex asks the leader once.
func (n *node) askIndex(ctx context.Context) (uint64, error) {
	r, err := n.forward.send(ctx, wireCall{Method: methodIndex}, true)
	switch {
	case err != nil && asError(err).Code == fsm.CodeUnknownOutcome: // a question changes nothing
		return 0, errNotConfirmed
	case err != nil:
		return 0, err
	case len(r.body) != 8:
		return 0, fsm.Errorf(fsm.CodeInternal, "the leader's index has %d bytes", len(r.body))
	}
	return binary.BigEndian.Uint64(r.body), nil
}

var errNotConfirmed = errNoLeader("the leader did not confirm in time that it still leads")

// rounds lets any number of strong reads share the leader's answers, one question at a time.
// Who comes while one is on its way shares the next: that one may have been answered before
// the newcomer's own writes. Its methods may be called from any goroutine.
type rounds struct {
	ask func(context.Context) (uint64, error)

	mu     sync.Mutex
	closed bool
	busy   bool   // a question is on its way
	next   *round // for whoever comes now; nil until somebody does
	wg     sync.WaitGroup
}

// round is one question and those who wait for its answer.
type round struct {
	ctx     context.Context // ends when nobody waits any more
	cancel  context.CancelFunc
	waiting int

	done  chan struct{} // closed when index and err stand
	index uint64
	err   error
}

// index returns an index the leader gave after the call. Who leaves early fails alone.
func (r *rounds) index(ctx context.Context) (uint64, error) {
	one := r.enter()
	if one == nil {
		return 0, errNoLeader("this queen has ended")
	}
	defer r.leave(one)
	select {
	case <-one.done:
		return one.index, one.err
	case <-ctx.Done():
		return 0, errNotConfirmed
	}
}

// enter joins the next round; nil after close.
func (r *rounds) enter() *round {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil
	}
	if r.next == nil {
		r.next = &round{done: make(chan struct{})}
		r.next.ctx, r.next.cancel = context.WithCancel(context.Background())
	}
	one := r.next
	one.waiting++
	if !r.busy {
		r.busy = true
		r.wg.Go(r.run)
	}
	return one
}

func (r *rounds) leave(one *round) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if one.waiting--; one.waiting > 0 {
		return
	}
	one.cancel()
	if r.next == one {
		r.next = nil
	}
}

// run asks until nobody waits.
func (r *rounds) run() {
	for {
		r.mu.Lock()
		one := r.next
		r.next, r.busy = nil, one != nil
		r.mu.Unlock()
		if one == nil {
			return
		}
		one.index, one.err = r.ask(one.ctx)
		close(one.done)
	}
}

// close takes nobody in any more and waits for the question on its way, which must be ending.
func (r *rounds) close() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.wg.Wait()
}
