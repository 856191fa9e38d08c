package cluster

import (
	"context"
	"crypto/rand"
	"errors"

	"github.com/oklog/ulid/v2"

	"queen-rbee/fsm"
	"queen-rbee/schedule"
)

// genesis gives a blank state its identity, before anybody else is served. Only the queen
// that bootstraps can lead a blank state: others join after it.
func (n *node) genesis(ctx context.Context, l *leadership) error {
	if !n.replica.view().Meta().Epoch.IsZero() {
		return nil
	}
	g := schedule.Genesis{ClusterID: ulid.Make().String(), AdminKey: n.cfg.AdminKey}
	_, _ = rand.Read(g.Epoch[:]) // never fails
	got := make(chan result, 1)
	l.proposer.submit(&ask{request: schedule.Request{Genesis: &g}, reply: func(r result) { got <- r }})
	select {
	case r := <-got:
		switch {
		case r.err != nil:
			return r.err
		case r.fate != answered:
			return errors.New("the cluster's birth was not committed")
		case n.replica.view().Meta().Epoch == (fsm.Epoch{}):
			return errors.New("the plan made no genesis")
		}
		return nil
	case <-ctx.Done():
		return nil
	}
}
