package sim

import (
	"slices"
	"time"

	"queen-rbee/fsm"
	"queen-rbee/schedule"
)

// hold counts a queen's clients of a job; the state's word on it (this queen as a holder) is
// kept in step by one proposal at a time.
type hold struct {
	clients int
	grace   time.Duration
	since   uint64 // batch index below which the row does not tell yet
	busy    bool
}

func (q *queen) holder() fsm.Holder { return fsm.Holder{Queen: q.id, Boot: q.boot} }

func (q *queen) take(job string, since uint64) {
	e := q.holds[job]
	if e == nil {
		e = &hold{}
		q.holds[job] = e
	}
	e.clients++
	e.since = max(e.since, since)
}

// leave counts a client out; when it was the last before the job's end, the state is told.
func (q *queen) leave(job string, early bool, grace time.Duration) {
	e := q.holds[job]
	e.clients--
	e.grace = grace
	if e.clients > 0 {
		return
	}
	if early {
		q.syncHold(job)
	} else if !e.busy {
		delete(q.holds, job)
	}
}

// hold makes sure that an attached job which is read here names this queen.
func (q *queen) hold(j *fsm.Job) {
	if !j.Detached && !j.State.Ended() && !slices.Contains(j.Holders, q.holder()) {
		q.syncHold(j.ID)
	}
}

func (q *queen) syncHold(job string) {
	if e := q.holds[job]; e != nil && !e.busy {
		e.busy = true
		q.keepHold(job, e)
	}
}

// keepHold proposes holds and releases until the row says what is true here.
func (q *queen) keepHold(job string, e *hold) {
	again := func() { q.keepHold(job, e) }
	if q.view.Meta().Index < e.since {
		q.await(e.since, again)
		return
	}
	j, ok := q.view.Job(job)
	over := !ok || j.State.Ended() || j.Detached
	held := !over && slices.Contains(j.Holders, q.holder())
	if over || held == (e.clients > 0) {
		e.busy = false
		if e.clients == 0 {
			delete(q.holds, job)
		}
		return
	}
	req := schedule.Request{Hold: &schedule.Hold{Job: job, Holder: q.holder()}}
	if held {
		req = schedule.Request{Release: &schedule.Release{Job: job, Holder: q.holder(), Grace: e.grace}}
	}
	q.do(req, 30*time.Second, func(a schedule.Answer, err *fsm.Error) {
		if err != nil {
			q.w.on(q.proc, time.Second, again)
			return
		}
		q.await(a.Index, again)
	})
}
