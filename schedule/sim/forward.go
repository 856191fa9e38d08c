package sim

import (
	"time"

	"queen-rbee/fsm"
	"queen-rbee/schedule"
)

// call is a request on its way from a queen to the leader, wherever that is. It is parked
// while there is none, and sent again under the same ids after a change of leader; the
// packets of earlier tries may arrive at any time.
type call struct {
	q     *queen
	req   schedule.Request
	start time.Duration
	most  time.Duration // the caller's patience
	done  func(schedule.Answer, *fsm.Error)

	try  int    // the one whose reply counts
	at   string // leader it was sent to; "" while parked
	sent bool   // an earlier try may have arrived
	over bool

	pause time.Duration // between looks
}

const (
	park       = 10 * time.Second
	leastPause = 50 * time.Millisecond
	mostPause  = 200 * time.Millisecond
)

// do brings a request to the leader and answers once, unless the process dies: with the
// committed answer, its error, no_leader (certainly not accepted) or unknown_outcome.
func (q *queen) do(req schedule.Request, most time.Duration, done func(schedule.Answer, *fsm.Error)) {
	c := &call{q: q, req: req, start: q.w.now, most: most, done: done, pause: leastPause}
	if req.Finished != nil || req.Started != nil || req.Release != nil {
		q.w.old = append(q.w.old, req)
	}
	c.attempt()
	q.w.on(q.proc, c.pause, c.poll)
}

// attempt tries once, here or at the leader that is known.
func (c *call) attempt() {
	q := c.q
	c.try++
	try := c.try
	reply := func(a schedule.Answer, err *fsm.Error, f fate) { c.replied(try, a, err, f) }
	if q.reign != nil {
		c.at = q.id
		q.reign.put(&ask{c.req, reply})
		return
	}
	leader := q.w.queen(q.leader)
	if leader == nil || leader == q || leader.proc == nil {
		c.at = ""
		return
	}
	c.at = q.leader
	home, there := q.proc, leader.proc
	q.w.once(q.id, leader.id, there, func() {
		back := func(a schedule.Answer, err *fsm.Error, f fate) {
			q.w.once(leader.id, q.id, home, func() { reply(a, err, f) })
		}
		if leader.reign == nil { // at most one hop
			back(schedule.Answer{}, nil, refused)
			return
		}
		leader.reign.put(&ask{c.req, back})
	})
}

func (c *call) replied(try int, a schedule.Answer, err *fsm.Error, f fate) {
	if c.over || try != c.try {
		return
	}
	switch f {
	case committed:
		if err != nil && c.sent && c.req.Submit != nil && !c.q.w.cfg.Broken.Hasty {
			// A no to this try says nothing of the earlier one, which may still come to be.
			c.q.w.meet("a refusal is not sure")
			err = fsm.Errorf(fsm.CodeUnknownOutcome, "an earlier try may be accepted yet: %s", err.Code)
		}
		c.finish(a, err)
	case unknown:
		c.sent, c.at = true, ""
	default:
		c.at = ""
	}
}

// poll gives an unanswered try up when its leader has changed or is gone, and tries again.
func (c *call) poll() {
	if c.over {
		return
	}
	q := c.q
	lost := false
	if c.at != "" && c.at != q.id {
		l := q.w.queen(c.at)
		lost = q.leader != "" && q.leader != c.at || q.leader == "" && q.w.now-q.noOne > park || l.proc == nil || !q.w.reaches(q.id, c.at)
	}
	if lost {
		c.sent, c.at = true, ""
	}
	since := c.start
	if q.leader == "" {
		since = q.noOne
	}
	switch {
	case q.w.now-c.start >= c.most, c.at == "" && q.w.now-since > park:
		if c.at != "" {
			c.sent = true
		}
		if c.sent {
			q.w.meet("an outcome is unknown")
			c.finish(schedule.Answer{}, fsm.Errorf(fsm.CodeUnknownOutcome, "no leader answered; it may have been accepted"))
			return
		}
		c.finish(schedule.Answer{}, fsm.Errorf(fsm.CodeNoLeader, "no leader; nothing was accepted"))
		return
	case c.at == "":
		q.w.meet("a parked request is sent again")
		c.attempt()
	}
	c.pause = min(2*c.pause, mostPause)
	q.w.on(q.proc, c.pause, c.poll)
}

func (c *call) finish(a schedule.Answer, err *fsm.Error) {
	c.over = true
	c.done(a, err)
}

// strong does something once this queen has all that was acknowledged before; ok is false
// when no leader could be asked in time.
func (q *queen) strong(do func(ok bool)) {
	over := false
	once := func(ok bool) {
		if !over {
			over = true
			do(ok)
		}
	}
	q.w.on(q.proc, 2*time.Second, func() { once(false) })
	leader := q.w.queen(q.leader)
	if leader == nil || leader.proc == nil {
		return
	}
	home := q.proc
	q.w.send(q.id, leader.id, leader.proc, func() {
		r := leader.reign
		if r == nil || !q.w.raft.leads(leader) || q.w.raft.term != r.term || !q.w.raft.quorum(leader) {
			return
		}
		index := leader.view.Meta().Index
		q.w.send(leader.id, q.id, home, func() { q.await(index, func() { once(true) }) })
	})
}
