package sim

import (
	"time"

	"queen-rbee/fsm"
	"queen-rbee/schedule"
)

// cancel wishes the job to end, at any queen.
func (c *client) cancel() {
	q := c.queen()
	if c.ended != "" || q == nil {
		return
	}
	c.w.logf("%s cancels %s at %s", c.name, c.job, q.id)
	job := c.job
	c.w.on(q.proc, time.Millisecond, func() {
		q.do(schedule.Request{Cancel: &schedule.Cancel{Tenant: "t1", Job: job}}, 10*time.Second, func(_ schedule.Answer, err *fsm.Error) {
			if err != nil && err.Code == fsm.CodeNotFound {
				c.missing(q, job)
			}
		})
	})
}

// leave is a client who closes his laptop.
func (c *client) leave() {
	if c.ended != "" {
		return
	}
	c.w.logf("%s leaves", c.name)
	c.ended = "left"
	c.drop(true)
}

// move is a client who reads on elsewhere.
func (c *client) move() {
	if c.ended == "" && c.conn != nil {
		c.w.logf("%s moves", c.name)
		c.reconnect()
	}
}

// lost is a broken connection.
func (c *client) lost(q *queen) {
	if c.conn != nil && c.conn.q == q {
		c.conn = nil
		if c.ended == "" {
			c.conns++
			c.w.after(c.w.between(10*time.Millisecond, 800*time.Millisecond), c.connect)
		}
	}
}

// missing is a 404 for a job that was accepted: right only when it is retained no longer.
func (c *client) missing(q *queen, job string) {
	if !c.w.check.retired[job] {
		c.w.violate("%s answers that there is no job %s, which was accepted", q.id, job)
	}
}

// enter begins an attempt of which he has nothing of an earlier one.
func (c *client) enter(attempt uint32) { c.has, c.text = place{attempt: attempt}, 0 }

// retry is the event that takes back what he has.
func (c *client) retry(attempt uint32) {
	c.w.meet("a stream begins again")
	c.w.logf("%s is told that attempt %d begins", c.name, attempt)
	if attempt <= c.has.attempt {
		c.w.violate("%s has attempt %d of %s and is told of attempt %d", c.name, c.has.attempt, c.job, attempt)
	}
	c.has, c.text = place{attempt: attempt}, 0
}

// frame is one record.
func (c *client) frame(attempt uint32, n uint64, text int) {
	switch {
	case c.ended == "left":
	case c.ended != "":
		c.w.violate("%s gets record %d.%d of %s after the end", c.name, attempt, n, c.job)
	case attempt != c.has.attempt || n != c.has.n+1:
		c.w.violate("%s has %d.%d of %s and gets %d.%d", c.name, c.has.attempt, c.has.n, c.job, attempt, n)
	case c.text != 0 && c.text != text:
		c.w.violate("%s reads two texts under attempt %d of %s", c.name, attempt, c.job)
	}
	c.has.n, c.text = n, text
}

// end is the terminal event. It is shown only when the state has it.
func (c *client) end(job *fsm.Job) {
	w := c.w
	w.logf("%s is shown the end of %s: %s after %d.%d", c.name, job.ID, job.State, c.has.attempt, c.has.n)
	truth, ok := w.check.view.Job(job.ID)
	switch {
	case c.ended == "left":
	case c.ended != "":
		w.violate("%s is shown a second end of %s", c.name, job.ID)
	case ok && truth.State != job.State, !ok && !w.check.retired[job.ID]:
		w.violate("%s is shown that %s is %s, which is not committed", c.name, job.ID, job.State)
	case job.State == fsm.JobComplete && c.has.n != job.Events:
		w.violate("%s is shown the end of %s with %d of %d records", c.name, job.ID, c.has.n, job.Events)
	}
	c.over(job.State.String())
}

// over is the end of the stream: an end of the job, or an error that says so.
func (c *client) over(how string) {
	if c.ended == "" {
		c.w.logf("%s is done: %s", c.name, how)
		c.ended = how
	}
	c.conns++
	if r := c.conn; r != nil {
		c.conn = nil
		r.close(false)
	}
}
