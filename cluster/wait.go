package cluster

import (
	"context"
	"fmt"
	"time"

	"queen-rbee/fsm"
)

// maxIndexWait bounds WaitIndex.
const maxIndexWait = 5 * time.Second

// wait waits until the View is at or above index or ctx ends.
func (r *replica) wait(ctx context.Context, index uint64) (*fsm.View, bool) {
	for {
		p := r.newest.Load()
		if p.view.Meta().Index >= index {
			return p.view, true
		}
		select {
		case <-p.newer:
		case <-ctx.Done():
			return p.view, false
		}
	}
}

// waitIndex is wait within maxIndexWait, with an error that says how far behind name is.
func (r *replica) waitIndex(ctx context.Context, name string, index uint64) (*fsm.View, error) {
	if v := r.view(); v.Meta().Index >= index {
		return v, nil
	}
	ctx, cancel := context.WithTimeout(ctx, maxIndexWait)
	defer cancel()
	v, ok := r.wait(ctx, index)
	if !ok {
		return nil, &fsm.Error{Code: fsm.CodeReplicaBehind, RetryAfter: time.Second,
			Message: fmt.Sprintf("queen %s has seen index %d, not yet %d", name, v.Meta().Index, index)}
	}
	return v, nil
}

// WaitIndex waits until the View is at or above index, at most 5 s; then replica_behind.
func (q *Queen) WaitIndex(ctx context.Context, index uint64) (*fsm.View, error) {
	return q.replica.waitIndex(ctx, q.cfg.Name, index)
}
