package sim

import (
	"time"

	"queen-rbee/fsm"
	"queen-rbee/schedule"
)

// run is one attempt of a job on a hive, from its record to its terminal record; also its
// log, which the hive's disk keeps.
type run struct {
	agent     *agent
	worker    *worker // nil: it is not here, and the run only ends
	job       string
	attempt   uint32
	text      int // whose text its records are: no two runs write the same
	index     uint64
	forgotten bool // no longer listed: over for the state

	detached bool
	grace    time.Duration
	seen     time.Duration // when a client was last here
	deadline time.Duration // virtual time; 0 for none

	body    bool
	begun   bool
	granted bool // it has a slot
	inside  bool // the engine works on it
	ending  *fsm.Failure
	seq     uint64
	want    uint64 // records of the whole answer

	terminal *schedule.Finished
	polls    []*poll // readers that wait for more
}

// fetchAfter is how long a listed run waits for a doorbell before it asks queens for its body.
const fetchAfter = 200 * time.Millisecond

// begin sets the run going.
func (r *run) begin(by string) {
	w := r.agent.h.w
	r.begun, r.seen = true, w.now
	w.logf("%s takes %s/%d by %s", r.agent.h.id, r.job, r.attempt, by)
	if r.ending == nil {
		w.check.taken(r, by)
	}
	r.want = 2 + uint64(w.below(12))
	if w.chance(120) {
		r.want = 150
	}
	if r.ending != nil {
		r.finish(outcomeOf(r.ending), r.ending)
		return
	}
	r.watch()
	if r.body {
		r.worker.acquire(r)
		return
	}
	w.on(r.agent.proc, fetchAfter, r.fetch)
}

// fetch asks a queen for the request's body, which the state keeps until the job ends.
func (r *run) fetch() {
	w, a := r.agent.h.w, r.agent
	if r.terminal != nil {
		return
	}
	if r.body {
		r.worker.acquire(r)
		return
	}
	q := a.at()
	over := false
	w.send(a.h.id, q.id, q.proc, func() {
		if j, ok := q.view.Job(r.job); !ok || j.State.Ended() {
			return
		}
		w.send(q.id, a.h.id, a.proc, func() {
			if !over && r.terminal == nil {
				over = true
				r.body = true
				r.worker.acquire(r)
			}
		})
	})
	w.on(a.proc, time.Second, func() {
		if !over {
			over = true
			r.fetch()
		}
	})
}

// watch gives an attached run up without a client, and ends one whose deadline is over.
func (r *run) watch() {
	if r.terminal != nil {
		return
	}
	w := r.agent.h.w
	if len(r.polls) > 0 {
		r.seen = w.now
	}
	switch {
	case r.deadline > 0 && w.now >= r.deadline:
		r.end(&fsm.Failure{Code: fsm.CodeDeadlineExceeded, Message: "the deadline is over"})
	case !r.detached && w.now-r.seen > r.grace:
		r.end(&fsm.Failure{Code: fsm.CodeCancelled, Message: "no client has read the run"})
	default:
		w.on(r.agent.proc, 500*time.Millisecond, r.watch)
	}
}

// update follows a listed record, or the doorbell's copy of one.
func (r *run) update(rec *fsm.Job, at fsm.Time) {
	r.index = max(r.index, rec.AssignedIndex)
	if r.terminal != nil {
		return
	}
	r.detached, r.grace = rec.Detached, rec.Grace
	if rec.Deadline > 0 {
		due := r.agent.h.w.now + max(time.Millisecond, rec.Deadline-at)
		if r.deadline == 0 || due < r.deadline {
			r.deadline = due
		}
	}
	switch rec.Ending {
	case fsm.EndCancelled:
		r.end(&fsm.Failure{Code: fsm.CodeCancelled, Message: "the job was cancelled"})
	case fsm.EndDeadline:
		r.end(&fsm.Failure{Code: fsm.CodeDeadlineExceeded, Message: "the deadline is over"})
	case fsm.EndDrained:
		r.end(&fsm.Failure{Code: "drained", Message: "the run was ended by the cluster"})
	}
}

// start is the engine's: the run has its slot.
func (r *run) start() {
	w := r.agent.h.w
	r.granted, r.inside = true, true
	r.worker.engine++
	w.check.started(r)
	r.append()
	r.worker.later(w.between(2*time.Millisecond, 60*time.Millisecond), r.token)
}

// token writes the next record, or ends the run.
func (r *run) token() {
	w := r.agent.h.w
	switch {
	case r.terminal != nil || r.ending != nil || !r.inside:
		return
	case r.seq >= r.want:
		r.leave()
		r.finish(fsm.JobComplete, nil)
		return
	case w.faults.Workers && !w.calm && w.chance(8):
		r.broken(&fsm.Failure{Code: "engine_error", Message: "the engine failed"})
		return
	case w.faults.Workers && !w.calm && w.chance(5): // it hangs until the hive's patience ends
		r.worker.later(8*time.Second, func() {
			if r.terminal == nil && r.inside {
				r.broken(&fsm.Failure{Code: "engine_timeout", Message: "the engine said nothing"})
			}
		})
		return
	}
	r.append()
	r.worker.later(w.between(5*time.Millisecond, 120*time.Millisecond), r.token)
}

func (r *run) append() {
	r.seq++
	r.tell()
}

// end asks the run to end for a reason; the first counts.
func (r *run) end(why *fsm.Failure) {
	if r.terminal != nil || r.ending != nil {
		return
	}
	r.ending = why
	switch {
	case !r.begun: // begin will see it
	case !r.granted:
		if r.worker != nil {
			for i, x := range r.worker.waiting {
				if x == r {
					r.worker.waiting = append(r.worker.waiting[:i:i], r.worker.waiting[i+1:]...)
					break
				}
			}
		}
		r.finish(outcomeOf(why), why)
	default: // the engine lets go a moment later
		w := r.agent.h.w
		lets := w.between(time.Millisecond, 300*time.Millisecond)
		if w.faults.Workers && !w.calm && w.chance(150) {
			lets = w.between(time.Second, 12*time.Second) // it does not hear, or does not care
		}
		w.on(r.agent.proc, lets, func() {
			if r.terminal == nil {
				r.leave()
				r.finish(outcomeOf(why), why)
			}
		})
	}
}

// broken is the end that the engine brings.
func (r *run) broken(why *fsm.Failure) {
	if r.terminal != nil {
		return
	}
	r.leave()
	r.finish(fsm.JobFailed, why)
}

// leave is the engine letting go; only then the slot is given on.
func (r *run) leave() {
	if r.inside {
		r.inside = false
		r.worker.engine--
		r.worker.release()
	}
}

func outcomeOf(why *fsm.Failure) fsm.JobState {
	if why.Code == fsm.CodeCancelled {
		return fsm.JobCancelled
	}
	return fsm.JobFailed
}

// finish makes the terminal record, once.
func (r *run) finish(outcome fsm.JobState, why *fsm.Failure) {
	if r.terminal != nil {
		return
	}
	r.terminal = r.record(outcome, why)
	a := r.agent
	a.h.w.logf("%s has ended %s/%d: %s, %d records%s", a.h.id, r.job, r.attempt, outcome, r.seq, because(why))
	if r.forgotten {
		delete(a.runs, runKey{r.job, r.attempt})
	}
	r.tell()
	a.kick()
}

func (r *run) record(outcome fsm.JobState, why *fsm.Failure) *schedule.Finished {
	f := &schedule.Finished{Job: r.job, Attempt: r.attempt, Outcome: outcome, Failure: why, Events: r.seq}
	if r.seq > 1 {
		f.Usage.Completion = r.seq - 1
	}
	return f
}

// tell answers the readers that wait for more.
func (r *run) tell() {
	polls := r.polls
	r.polls = nil
	if len(polls) > 0 {
		r.seen = r.agent.h.w.now
	}
	for _, p := range polls {
		p.answer(r)
	}
}

func because(why *fsm.Failure) string {
	if why == nil {
		return ""
	}
	return " because " + why.Code
}
