package sim

import (
	"time"

	"queen-rbee/fsm"
	"queen-rbee/schedule"
)

// client is somebody who wants one answer: he submits at some queen, reads, and may cancel,
// leave, retry and reconnect. What he is shown is checked as it comes.
type client struct {
	w     *World
	name  string
	want  schedule.Submit // what he asks for, but for the job's id and holder
	grace time.Duration
	plans plans

	tries    int // submissions so far; the answer of an earlier one is void
	job      string
	accepted time.Duration
	conn     *reader
	conns    int // connections so far

	has   place
	text  int    // whose text the records of the attempt are
	ended string // the end or the error he was shown, or that he went away
}

// plans is what a client has in mind.
type plans struct {
	cancel, leave, move, attach time.Duration // after acceptance; 0 for never
}

const clientPatience = 6 * time.Second

// newClient draws somebody.
func (w *World) newClient() {
	n := len(w.clients) + 1
	c := &client{w: w, name: w.name("c", n)}
	w.clients = append(w.clients, c)
	j := &c.want.Job
	*j = fsm.Job{Tenant: "t1", API: "task", Path: "/v1/chat/completions", Priority: fsm.PriorityInteractive, OnLoss: fsm.LossFail,
		Body: fsm.PackBody([]byte("{}")), Grace: 4 * time.Second}
	j.Model = pick(w.choices, "m", "m", "n")
	j.Detached = w.chance(400)
	c.grace = j.Grace
	if w.chance(500) {
		j.OnLoss = fsm.LossRestart
	}
	if w.chance(250) {
		j.Priority = fsm.PriorityBatch
	}
	if w.chance(500) {
		j.IdempotencyKey = w.name("key", n)
		j.RequestHash[0] = byte(n)
	}
	if w.chance(100) {
		j.Labels = []fsm.Label{{Key: "zone", Value: "a"}}
	}
	if w.chance(100) {
		j.Pin = w.hives[0].id
	}
	if w.chance(150) {
		j.Session = "s"
	}
	if w.chance(150) {
		c.want.Within = w.between(500*time.Millisecond, 15*time.Second)
	}
	soon := func(permille int) time.Duration {
		if !w.faults.Clients || !w.chance(permille) {
			return 0
		}
		return w.between(time.Millisecond, 4*time.Second)
	}
	c.plans = plans{cancel: soon(150), leave: soon(150), move: soon(200), attach: soon(500)}
	c.submit()
}

// queen draws one that is there; nil when none is.
func (c *client) queen() *queen {
	at := c.w.below(len(c.w.queens))
	for i := range c.w.queens {
		if q := c.w.queens[(at+i)%len(c.w.queens)]; q.proc != nil {
			return q
		}
	}
	return nil
}

// submit asks a queen for the job, and another one where nobody answers.
func (c *client) submit() {
	w, q := c.w, c.queen()
	c.tries++
	try := c.tries
	if q == nil {
		w.after(500*time.Millisecond, c.submit)
		return
	}
	w.on(q.proc, time.Millisecond, func() { q.submit(c, try) })
	w.after(clientPatience, func() {
		if try == c.tries && c.job == "" && c.ended == "" {
			c.unanswered()
		}
	})
}

// submit is POST /v2/tasks.
func (q *queen) submit(c *client, try int) {
	w := q.w
	sub := c.want
	sub.Job.ID = w.jobName()
	w.check.asks(c, sub.Job.ID)
	if !sub.Job.Detached {
		sub.Job.Holders = []fsm.Holder{q.holder()}
	}
	w.logf("%s submits %s at %s (%s)", c.name, sub.Job.ID, q.id, sub.Job.Model)
	q.do(schedule.Request{Submit: &sub}, 30*time.Second, func(a schedule.Answer, err *fsm.Error) {
		here := try == c.tries && c.ended == ""
		id := a.Job
		switch {
		case err != nil && err.Code != fsm.CodeUnknownOutcome:
			w.check.refused(sub.Job.ID, err)
			if here {
				c.refused(err)
			}
			return
		case err != nil:
			id = sub.Job.ID
			if here {
				c.unanswered()
				return
			}
		case here:
			c.admitted(q, &sub.Job, a)
			return
		}
		if !sub.Job.Detached { // the client went meanwhile
			q.take(id, a.Index)
			q.leave(id, true, c.grace)
		}
	})
}

// refused is a no; some try again later.
func (c *client) refused(err *fsm.Error) {
	c.w.logf("%s is refused: %s", c.name, err.Code)
	c.tries++
	if c.tries > 20 || err.Code != fsm.CodeNoLeader && c.w.chance(500) {
		c.ended = "refused"
		return
	}
	c.w.after(c.w.between(200*time.Millisecond, 2*time.Second), c.submit)
}

// unanswered: the outcome is unknown. With a key he asks again elsewhere, else he gives up.
func (c *client) unanswered() {
	c.w.logf("%s has no answer", c.name)
	c.tries++
	if c.want.Job.IdempotencyKey == "" || c.tries > 20 {
		c.ended = "unknown"
		return
	}
	c.w.after(c.w.between(10*time.Millisecond, time.Second), c.submit)
}

// admitted begins to read, or goes away content with a job id.
func (c *client) admitted(q *queen, asked *fsm.Job, a schedule.Answer) {
	w := c.w
	c.w.logf("%s has job %s: %s at index %d, joined %v", c.name, a.Job, a.State, a.Index, a.Joined)
	w.check.admitted(c, a.Job)
	if a.Joined {
		w.meet("a submission joins a job")
	}
	c.job = a.Job
	if c.accepted == 0 {
		c.accepted = w.now
	}
	if c.plans.cancel > 0 {
		w.after(c.plans.cancel, c.cancel)
	}
	if asked.Detached {
		if c.plans.attach > 0 {
			w.after(c.plans.attach, c.connect)
		}
		return
	}
	var hint *fsm.Job
	if !a.Joined && !a.State.Ended() {
		row := *asked
		row.State, row.Changed = a.State, a.Index
		if s := a.Assigned; s != nil {
			row.Worker, row.Hive, row.Incarnation, row.Attempt, row.AssignedIndex, row.Begin = s.Worker, s.Hive, s.Incarnation, s.Attempt, s.Index, s.Begin
		}
		hint = &row
	}
	c.attach(q, hint, a.Index)
	if c.plans.leave > 0 {
		w.after(c.plans.leave, c.leave)
	}
	if c.plans.move > 0 {
		w.after(c.plans.move, c.move)
	}
}

func (c *client) attach(q *queen, hint *fsm.Job, since uint64) {
	c.conns++
	c.conn = q.open(c, c.job, hint, since, c.has)
	c.listen(c.conns)
}

// listen takes a queen that shows nothing for long for dead, if it does not run.
func (c *client) listen(conn int) {
	c.w.after(clientPatience, func() {
		if c.conns != conn || c.ended != "" || c.conn == nil {
			return
		}
		if q := c.conn.q; !q.proc.runs() || c.conn.gone {
			c.w.logf("%s hears nothing of %s", c.name, q.id)
			c.reconnect()
			return
		}
		c.listen(conn)
	})
}

// connect reads the job at some queen, from where he is.
func (c *client) connect() {
	if c.ended != "" || c.job == "" {
		return
	}
	q := c.queen()
	if q == nil {
		c.w.after(500*time.Millisecond, c.connect)
		return
	}
	c.conns++
	conn := c.conns
	c.w.on(q.proc, time.Millisecond, func() {
		if c.conns == conn && c.ended == "" {
			c.attach(q, nil, 0)
		}
	})
	c.w.after(clientPatience, func() {
		if c.conns == conn && c.ended == "" {
			c.connect()
		}
	})
}

func (c *client) reconnect() {
	c.w.meet("a client reconnects")
	c.drop(true)
	c.conns++
	c.w.after(c.w.between(10*time.Millisecond, 800*time.Millisecond), c.connect)
}

// drop hangs up; the queen sees it when it runs.
func (c *client) drop(left bool) {
	r := c.conn
	if r == nil {
		return
	}
	c.conn = nil
	c.w.on(r.home, time.Millisecond, func() { r.close(left) })
}
