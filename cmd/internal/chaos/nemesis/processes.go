package nemesis

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"queen-rbee/cmd/internal/e2e/rig"
)

// readyTime is how long a rolling restart waits for one queen before it takes the next.
const readyTime = 20 * time.Second

func (n *Nemesis) killFollower(s step) error {
	followers, err := n.followers(s.ctx)
	if err != nil {
		return err
	}
	return n.killOne(s, followers)
}

func (n *Nemesis) killLeader(s step) error {
	leader, err := n.leader(s.ctx)
	if err != nil {
		return err
	}
	return n.killOne(s, []*rig.Process{leader})
}

func (n *Nemesis) killAgent(s step) error { return n.killOne(s, n.cfg.Cluster.Hives) }

// killOne kills one of the processes and starts it again.
func (n *Nemesis) killOne(s step, among []*rig.Process) error {
	p, release, err := n.claim(s, among)
	if err != nil {
		return err
	}
	defer release()
	n.aim(s, p.Name)
	if err := n.kill(p); err != nil {
		return err
	}
	s.hold()
	return p.Launch()
}

// killQueens kills all at once, and starts them when all are dead.
func (n *Nemesis) killQueens(s step) error {
	n.aim(s, "all queens")
	var errs []error
	for _, q := range n.cfg.Cluster.Queens {
		n.send(q, syscall.SIGKILL)
	}
	for _, q := range n.cfg.Cluster.Queens {
		_, err := ended(q, exitTime)
		errs = append(errs, err)
	}
	s.hold()
	for _, q := range n.cfg.Cluster.Queens {
		errs = append(errs, q.Launch())
	}
	return errors.Join(errs...)
}

func (n *Nemesis) stopQueen(s step) error {
	followers, err := n.followers(s.ctx)
	if err != nil {
		return err
	}
	return n.stopOne(s, followers)
}

func (n *Nemesis) stopLeader(s step) error {
	leader, err := n.leader(s.ctx)
	if err != nil {
		return err
	}
	return n.stopOne(s, []*rig.Process{leader})
}

func (n *Nemesis) stopAgent(s step) error { return n.stopOne(s, n.cfg.Cluster.Hives) }

// stopOne stops one of the processes by SIGSTOP and lets it go on.
func (n *Nemesis) stopOne(s step, among []*rig.Process) error {
	p, release, err := n.claim(s, among)
	if err != nil {
		return err
	}
	defer release()
	n.aim(s, p.Name)
	n.send(p, syscall.SIGSTOP)
	s.hold()
	n.send(p, syscall.SIGCONT)
	return nil
}

// restart ends every queen in order, one after the other, each when the one before serves.
func (n *Nemesis) restart(s step) error {
	n.aim(s, "queens in turn")
	for _, q := range n.cfg.Cluster.Queens {
		if s.ctx.Err() != nil {
			return nil
		}
		asked := n.send(q, syscall.SIGTERM)
		switch code, err := ended(q, exitTime); {
		case err != nil:
			n.violate("%s has not left %s after SIGTERM:\n%s", q.Name, exitTime, q.Tail(20))
			n.send(q, syscall.SIGQUIT) // its log then shows where it hangs
			if _, err := ended(q, exitTime); err != nil {
				return errors.Join(err, n.kill(q))
			}
		case code != 0 && asked:
			n.violate("%s ended with code %d after SIGTERM, want 0:\n%s", q.Name, code, q.Tail(20))
		}
		s.hold()
		if err := q.Launch(); err != nil {
			return err
		}
		_ = rig.Poll(s.ctx, readyTime, func(ctx context.Context) error { // a slow one is no failure
			_, err := n.cfg.Cluster.Get(ctx, q.URL+"/ready?leader=1", nil)
			return err
		})
	}
	return nil
}

// killHive is the death of a whole machine: agent and engines.
func (n *Nemesis) killHive(s step) error {
	h, release, err := n.claim(s, n.cfg.Cluster.Hives)
	if err != nil {
		return err
	}
	defer release()
	n.aim(s, h.Name+" and its workers")
	if err := n.kill(h); err != nil { // first: it would start workers again
		return err
	}
	for _, w := range n.cfg.Cluster.WorkersOf(h) {
		_ = syscall.Kill(w.Pid, syscall.SIGKILL) // it may have ended by itself
	}
	s.hold()
	return h.Launch()
}

func (n *Nemesis) killWorker(s step) error {
	h, release, err := n.claim(s, n.cfg.Cluster.Hives)
	if err != nil {
		return err
	}
	defer release()
	workers := n.cfg.Cluster.WorkersOf(h)
	if len(workers) == 0 {
		return skipped(h.Name + " has no worker")
	}
	w := workers[s.Pick%uint64(len(workers))]
	n.aim(s, fmt.Sprintf("worker %d of %s", w.Pid, h.Name))
	_ = syscall.Kill(w.Pid, syscall.SIGKILL)
	s.hold()
	return nil
}
