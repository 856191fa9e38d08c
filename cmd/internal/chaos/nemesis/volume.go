package nemesis

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"queen-rbee/cmd/internal/e2e/rig"
)

const (
	// hungWord is what a queen says when it stops because its disk hangs.
	hungWord = "has hung for"
	// lastTime is what a queen gets to end that may have noticed in the last moment.
	lastTime = 10 * time.Second

	slowWrite = 200 * time.Millisecond // how long a slow disk holds a write, at the most
	slowPause = 20 * time.Millisecond
)

// hangDisk lets a queen's disk hang, the leader's if it can be made that. The queen must stop,
// since raft's heartbeats need no disk: nobody else would be elected. A process whose write
// hangs is not gone before the disk goes on, but nothing of it runs.
func (n *Nemesis) hangDisk(s step) error {
	q, release, err := n.claim(s, []*rig.Process{n.cfg.Fragile})
	if err != nil {
		return err
	}
	defer release()
	leads := n.makeLead(s.ctx, q)
	target := q.Name
	if leads {
		target += ", which leads"
	}
	n.aim(s, target)
	had := strings.Count(q.Log(), hungWord)
	if err := n.cfg.Volume.Hang(); err != nil {
		return err
	}
	mend := sync.OnceValue(n.cfg.Volume.Mend)
	defer func() { _ = mend() }()
	s.hold()
	noticed := strings.Count(q.Log(), hungWord) > had
	if noticed && leads {
		n.replaced(s, q)
	}
	if err := mend(); err != nil {
		return err
	}
	patience := lastTime
	if noticed {
		patience = exitTime
	}
	code, err := ended(q, patience)
	switch {
	case err != nil && !noticed: // nothing had to be written
		return nil
	case err != nil:
		n.violate("%s said that its disk hangs and has not ended %s later:\n%s", q.Name, patience, q.Tail(20))
		return n.kill(q)
	case code == 0 || strings.Count(q.Log(), hungWord) == had:
		n.violate("%s ended with code %d on a disk that hung and did not say why:\n%s", q.Name, code, q.Tail(20))
	}
	s.told.Note = "it stopped"
	return q.Launch()
}

// makeLead asks the leader to hand over to a queen, and tells whether that leads.
func (n *Nemesis) makeLead(ctx context.Context, q *rig.Process) bool {
	leader, err := n.leader(ctx)
	if err == nil && leader != q {
		ask, cancel := context.WithTimeout(ctx, leaderTime)
		// It may refuse, for one: a queen that is behind is not handed anything.
		_, _ = n.cfg.Cluster.Call(ask, http.MethodPost, leader.URL+"/v2/cluster/transfer", fmt.Appendf(nil, `{"to":%q}`, q.Name))
		cancel()
		leader, err = n.leader(ctx)
	}
	return err == nil && leader == q
}

// replaced waits until another queen leads than one that has said that it stops.
func (n *Nemesis) replaced(s step, q *rig.Process) {
	err := rig.Poll(s.ctx, exitTime, func(ctx context.Context) error {
		leader, err := n.leader(ctx)
		if err == nil && leader == q {
			err = fmt.Errorf("%s leads", q.Name)
		}
		return err
	})
	if err != nil && s.ctx.Err() == nil {
		n.violate("%s stopped because its disk hangs, and no other queen has led for %s: %v", q.Name, exitTime, err)
	}
}

// slowDisk lets every write of a queen wait. It must live.
func (n *Nemesis) slowDisk(s step) error {
	q, release, err := n.claim(s, []*rig.Process{n.cfg.Fragile})
	if err != nil {
		return err
	}
	defer release()
	n.aim(s, q.Name)
	for began := time.Now(); s.ctx.Err() == nil && time.Since(began) < s.For; {
		if err := n.cfg.Volume.Hang(); err != nil {
			return err
		}
		rig.Pause(s.ctx, slowWrite)
		if err := n.cfg.Volume.Mend(); err != nil {
			return err
		}
		rig.Pause(s.ctx, slowPause)
	}
	return nil
}
