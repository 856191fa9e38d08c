package nemesis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"syscall"
	"time"

	"queen-rbee/cmd/internal/e2e/rig"
)

const (
	// askTime bounds one question of the nemesis to a queen.
	askTime = time.Second
	// leaderTime is how long a step waits for somebody to lead.
	leaderTime = 5 * time.Second
	// exitTime is how long a process may take to end: far more than its own limits, as the
	// machine may be busy.
	exitTime = 2 * time.Minute
)

// claim takes one of the processes for a step alone; release gives it back. Processes that do
// not run are no target.
func (n *Nemesis) claim(s step, among []*rig.Process) (p *rig.Process, release func(), err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	var free []*rig.Process
	for _, p := range among {
		if !n.claimed[p] && p.Alive() && !p.Frozen() {
			free = append(free, p)
		}
	}
	if len(free) == 0 {
		return nil, nil, skipped("nobody to do it to")
	}
	p = free[s.Pick%uint64(len(free))]
	n.claimed[p] = true
	return p, func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		delete(n.claimed, p)
	}, nil
}

// inspect looks after every process between rounds, when all must live.
func (n *Nemesis) inspect() error {
	for _, p := range slices.Concat(n.cfg.Cluster.Queens, n.cfg.Cluster.Hives) {
		if p.Alive() {
			continue
		}
		n.violate("%s ended by itself with code %d:\n%s", p.Name, p.ExitCode(), p.Tail(20))
		if err := p.Launch(); err != nil {
			return err
		}
	}
	return nil
}

// leader is the queen that leads in the newest term anybody knows of.
func (n *Nemesis) leader(ctx context.Context) (*rig.Process, error) {
	var found *rig.Process
	err := rig.Poll(ctx, leaderTime, func(ctx context.Context) error {
		name, term := "", uint64(0)
		for _, q := range n.cfg.Cluster.Living() {
			ctx, cancel := context.WithTimeout(ctx, askTime)
			cl, err := n.cfg.Cluster.ClusterAt(ctx, q)
			cancel()
			if err == nil && cl.Leader != "" && cl.Term >= term {
				name, term = cl.Leader, cl.Term
			}
		}
		for _, q := range n.cfg.Cluster.Queens {
			if q.Name == name {
				found = q
				return nil
			}
		}
		return errors.New("no queen leads")
	})
	if err != nil {
		return nil, skipped("no queen leads")
	}
	return found, nil
}

// followers are the queens that do not lead.
func (n *Nemesis) followers(ctx context.Context) ([]*rig.Process, error) {
	leader, err := n.leader(ctx)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(slices.Clone(n.cfg.Cluster.Queens), func(q *rig.Process) bool { return q == leader }), nil
}

// send signals a process. One that has ended unasked is a violation, and false.
func (n *Nemesis) send(p *rig.Process, sig syscall.Signal) bool {
	if p.Send(sig) == nil {
		return true
	}
	n.violate("%s ended by itself with code %d:\n%s", p.Name, p.ExitCode(), p.Tail(20))
	return false
}

// kill sends SIGKILL and waits for the end.
func (n *Nemesis) kill(p *rig.Process) error {
	n.send(p, syscall.SIGKILL)
	_, err := ended(p, exitTime)
	return err
}

// ended waits for the end of a process, whatever becomes of the run.
func ended(p *rig.Process, within time.Duration) (int, error) {
	ctx, cancel := context.WithTimeoutCause(context.Background(), within, fmt.Errorf("not within %s", within))
	defer cancel()
	return p.Ended(ctx)
}
