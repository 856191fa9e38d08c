package schedule

import "queen-rbee/fsm"

// timers does what is due: backoffs that are over, deadlines, jobs that nobody holds.
func (p *planner) timers() {
	for t := range p.view.Timers(p.now) {
		j, ok := p.job(t.Job)
		if !ok || j.State.Ended() {
			continue
		}
		if !p.room() {
			return
		}
		switch t.Kind {
		case fsm.TimerReady:
			if j.State == fsm.JobQueued && j.NotBefore != 0 && j.NotBefore <= p.now {
				p.ready(j)
			}
		case fsm.TimerDeadline:
			p.deadline(j)
		case fsm.TimerAbandon:
			if j.State == fsm.JobQueued && j.AbandonAt != 0 && j.AbandonAt <= p.now {
				p.end(j, fsm.EndJob{State: fsm.JobCancelled,
					Failure: &fsm.Failure{Code: fsm.CodeCancelled, Message: "given up: no client came back in time"}})
			}
		}
	}
}

// deadline ends a queued job; a running one is wished to end, and ended by the leader
// DeadlineSlack later, should its hive not have said how it ended.
func (p *planner) deadline(j *fsm.Job) {
	if j.Deadline == 0 || j.Deadline > p.now {
		return
	}
	last := j.Deadline + p.lim.DeadlineSlack
	switch {
	case j.State == fsm.JobQueued:
		p.end(j, fsm.EndJob{State: fsm.JobFailed, Failure: tooLate("while it waited")})
	case j.Ending == fsm.EndNone || j.Ending == fsm.EndDrained:
		p.wishEnd(j, fsm.EndDeadline)
		p.wake(last)
	case p.now >= last:
		state, failure := wished(j.Ending)
		p.end(j, fsm.EndJob{State: state, Failure: failure})
	default:
		p.wake(last)
	}
}

// nextTimer wakes for the timers of jobs: those that this plan changed as they are now,
// and the first of the others.
func (p *planner) nextTimer() {
	for _, j := range p.jobs {
		if j == nil || j.State.Ended() {
			continue
		}
		if j.State == fsm.JobQueued {
			p.wake(j.NotBefore)
			p.wake(j.AbandonAt)
		}
		if j.Deadline > p.now {
			p.wake(j.Deadline)
		}
	}
	for t := range p.view.Timers(forever) {
		if _, changed := p.jobs[t.Job]; changed || t.At <= p.now {
			continue // done, or due again with its slack, which deadline noted
		}
		p.wake(t.At)
		return
	}
}

const forever = fsm.Time(1<<63 - 1)
