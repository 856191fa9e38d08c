package sim

import (
	"time"

	"queen-rbee/fsm"
	"queen-rbee/schedule"
)

// place is where a client stands: it has the first n records of an attempt.
type place struct {
	attempt uint32
	n       uint64
}

// reader is one client's way through one job at one queen, driven by the state: every turn
// looks at the newest row and does what that asks for.
type reader struct {
	q    *queen
	home *process // of the queen it lives in
	c    *client
	job  string

	hint  *fsm.Job // the row as the leader told it, until this replica has index since
	since uint64

	has     place
	asked   int           // polls so far; the answer of an earlier one is void
	asking  uint32        // the attempt that is polled now; 0 for none
	pause   time.Duration // before the next poll, after failures
	end     *schedule.Finished
	sending bool   // the end is on its way to the leader
	told    uint32 // the attempt for which Started was proposed
	fetch   time.Duration
	gone    bool
}

const pollPatience = 3 * time.Second

// open begins a reader for a client.
func (q *queen) open(c *client, job string, hint *fsm.Job, since uint64, has place) *reader {
	r := &reader{q: q, home: q.proc, c: c, job: job, hint: hint, since: since, has: has}
	q.readers[job] = append(q.readers[job], r)
	q.take(job, since)
	q.w.on(q.proc, 0, r.turn)
	return r
}

// close lets go of the client; left tells that it went away before the end.
func (r *reader) close(left bool) {
	if r.gone {
		return
	}
	r.gone = true
	list := r.q.readers[r.job]
	for i, x := range list {
		if x == r {
			r.q.readers[r.job] = append(list[:i:i], list[i+1:]...)
			break
		}
	}
	r.q.leave(r.job, left, r.c.grace)
}

// idle tells that nobody listens any more, whether or not the queen has seen it.
func (r *reader) idle() bool { return r.gone || r.c.conn != r }

// turn looks at the newest row and goes on.
func (r *reader) turn() {
	if r.idle() {
		return
	}
	job := r.hint
	if j, ok := r.q.view.Job(r.job); ok && (r.hint == nil || r.q.view.Meta().Index >= r.since) {
		r.hint, job = nil, j
	}
	switch {
	case job == nil || r.has.attempt > job.Attempt:
		r.ask()
	case job.State.Ended():
		r.finish(job)
	case job.State == fsm.JobQueued:
		r.asked++
		r.asking = 0
	case r.end != nil && r.end.Attempt == job.Attempt:
		r.settle()
	default:
		r.follow(job)
	}
	if !r.idle() && r.hint == nil && job != nil {
		r.q.hold(job)
	}
}

// ask asks the leader for a row that this replica does not have, or not new enough.
func (r *reader) ask() {
	r.q.strong(func(ok bool) {
		switch {
		case r.idle():
		case !ok:
			r.q.w.on(r.q.proc, 300*time.Millisecond, r.turn)
		default:
			if _, there := r.q.view.Job(r.job); !there {
				r.c.missing(r.q, r.job)
				r.c.over("events_expired")
				return
			}
			r.turn()
		}
	})
}

// enter makes the client ready for an attempt: what it has of an earlier one is taken back.
func (r *reader) enter(job *fsm.Job) {
	if r.has.attempt == job.Attempt {
		return
	}
	if r.q.w.cfg.Broken.Mixing && r.has.n > 0 {
		r.has.attempt = job.Attempt
		return
	}
	if r.has.n > 0 {
		r.c.retry(job.Attempt)
	} else {
		r.c.enter(job.Attempt)
	}
	r.has, r.end = place{attempt: job.Attempt}, nil
}

// follow asks the hive for what comes next, one poll at a time.
func (r *reader) follow(job *fsm.Job) {
	r.enter(job)
	if r.asking != job.Attempt {
		r.poll(job)
	}
}

func (r *reader) poll(job *fsm.Job) {
	w := r.q.w
	h := w.hive(job.Hive)
	r.asked++
	r.asking = job.Attempt
	p := &poll{reader: r, home: r.q.proc, number: r.asked, hive: h, rec: job, epoch: r.q.view.Meta().Epoch, at: r.q.now(),
		from: r.has.n, body: !job.State.Ended(), client: !job.Detached}
	w.bells = append(w.bells, p)
	if h.agent != nil {
		a := h.agent
		w.send(r.q.id, h.id, a.proc, func() { a.serve(p) })
	}
	w.on(r.q.proc, pollPatience, func() {
		if !r.idle() && r.asked == p.number && r.asking != 0 {
			r.retry()
		}
	})
}

// retry looks at the state again after a pause.
func (r *reader) retry() {
	r.asked++
	r.pause = min(time.Second, 2*r.pause+50*time.Millisecond)
	number := r.asked
	r.q.w.on(r.q.proc, r.pause, func() {
		if r.asked == number {
			r.asking = 0
			r.turn()
		}
	})
}

// refused takes a hive's no. What the leader knows decides: this replica may be behind.
func (r *reader) refused(p *poll, err *fsm.Error) {
	if r.idle() || p.number != r.asked {
		return
	}
	if !p.body { // the job had ended, and its hive keeps what it wrote
		r.q.w.violate("%s has no output of job %s, which ended there: %v", p.hive.id, r.job, err)
	}
	r.q.w.meet("a doorbell is refused")
	r.q.strong(func(bool) {})
	r.retry()
}

// got takes records in, and perhaps the end of the attempt, which is held back.
func (r *reader) got(p *poll, upto uint64, text int, end *schedule.Finished) {
	if r.idle() || p.number != r.asked || p.rec.Attempt != r.has.attempt {
		return
	}
	r.asking, r.pause = 0, 0
	for n := r.has.n + 1; n <= upto; n++ {
		r.c.frame(r.has.attempt, n, text)
	}
	r.has.n = max(r.has.n, upto)
	if r.has.n > 1 && r.told != r.has.attempt {
		r.told = r.has.attempt
		r.q.do(schedule.Request{Started: &schedule.Started{Job: r.job, Attempt: r.has.attempt}}, 30*time.Second, func(schedule.Answer, *fsm.Error) {})
	}
	if end != nil {
		r.end = end
		if r.q.w.cfg.Broken.Eager {
			row := *p.rec
			row.State, row.Events = end.Outcome, end.Events
			r.c.end(&row)
			return
		}
	}
	r.turn()
}

// settle carries the held end to the leader and waits until this replica has what came of it.
func (r *reader) settle() {
	if r.sending {
		return
	}
	r.sending = true
	f := *r.end
	r.q.do(schedule.Request{Finished: &f}, 30*time.Second, func(a schedule.Answer, err *fsm.Error) {
		r.sending = false
		if err != nil {
			r.q.w.on(r.q.proc, 500*time.Millisecond, r.turn)
			return
		}
		r.q.await(a.Index, r.turn)
	})
}

// finish writes the end of an ended job, after whatever the client still lacks of its records.
func (r *reader) finish(job *fsm.Job) {
	if job.Attempt > 0 {
		r.enter(job)
	}
	w := r.q.w
	if r.has.n < job.Events && job.Attempt > 0 {
		if r.fetch == 0 {
			r.fetch = w.now
		}
		if w.now-r.fetch > 10*time.Second {
			r.c.over("hive_unreachable")
			return
		}
		if r.asking != job.Attempt {
			r.poll(job)
		}
		return
	}
	r.c.end(job)
}
