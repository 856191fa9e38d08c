package cluster

import (
	"context"
	"encoding/binary"

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
	r, err := n.forward.send(ctx, wireCall{Method: methodIndex}, true)
	switch {
	case err != nil && asError(err).Code == fsm.CodeUnknownOutcome: // a question changes nothing
		return nil, errNoLeader("the leader did not confirm in time that it still leads")
	case err != nil:
		return nil, err
	case len(r.body) != 8:
		return nil, fsm.Errorf(fsm.CodeInternal, "the leader's index has %d bytes", len(r.body))
	}
	return n.replica.waitIndex(ctx, n.cfg.Name, binary.BigEndian.Uint64(r.body))
}
