package schedule

import (
	"slices"

	"queen-rbee/fsm"
)

// startedJob notes that an attempt delivers; what the state has outrun is let be.
func (p *planner) startedJob(s *Started) {
	j, ok := p.job(s.Job)
	if !ok || p.born[j.ID] || j.State != fsm.JobRunning || j.Attempt != s.Attempt || j.Delivered {
		return
	}
	p.started(j, &fsm.Started{Job: s.Job, Attempt: s.Attempt, TTFT: s.TTFT})
}

// finishedJob takes a hive's terminal record in; a second one, or one of an earlier
// attempt, changes nothing.
func (p *planner) finishedJob(f *Finished) *fsm.Error {
	if f.Outcome != fsm.JobComplete && f.Outcome != fsm.JobFailed && f.Outcome != fsm.JobCancelled {
		return fsm.Errorf(fsm.CodeInvalid, "outcome: want complete, failed or cancelled")
	}
	if j, ok := p.job(f.Job); ok && !p.born[j.ID] && j.State == fsm.JobRunning && j.Attempt == f.Attempt {
		p.settle(j, f)
	}
	return nil
}

// cancelJob ends a queued job and wishes a running one to end.
func (p *planner) cancelJob(a *Answer, c *Cancel) {
	j, ok := p.job(c.Job)
	if !ok || (c.Tenant != "" && c.Tenant != j.Tenant) {
		a.Err = fsm.Errorf(fsm.CodeNotFound, "no job %s", c.Job)
		return
	}
	p.tellOf(j.ID)
	switch {
	case c.Unaccepted && j.State != fsm.JobQueued:
	case j.State == fsm.JobQueued:
		if i, ok := p.idempotency(j.Tenant, j.IdempotencyKey); ok && c.Unaccepted && i.Job == j.ID {
			p.forgetKey(j.Tenant, j.IdempotencyKey)
		}
		p.end(j, fsm.EndJob{State: fsm.JobCancelled, Failure: &fsm.Failure{Code: fsm.CodeCancelled, Message: "cancelled on request"}})
	case j.State == fsm.JobRunning && (j.Ending == fsm.EndNone || j.Ending == fsm.EndDrained):
		p.wishEnd(j, fsm.EndCancelled)
	}
}

// holdJob names one more queen process with a client on a job.
func (p *planner) holdJob(h *Hold) *fsm.Error {
	j, ok := p.job(h.Job)
	switch {
	case !ok:
		return fsm.Errorf(fsm.CodeNotFound, "no job %s", h.Job)
	case h.Holder.Queen == "" || h.Holder.Boot == "":
		return fsm.Errorf(fsm.CodeInvalid, "holder: needs queen and boot")
	case j.State.Ended() || j.Detached || slices.Contains(j.Holders, h.Holder):
		return nil
	case len(j.Holders) >= fsm.MaxHolders:
		return fsm.Errorf(fsm.CodeConflict, "job %s has %d holders, the limit", h.Job, fsm.MaxHolders)
	}
	p.hold(j, h.Holder)
	p.wake(p.now + p.lim.HolderTimeout)
	return nil
}

// releaseJob takes a holder back.
func (p *planner) releaseJob(r *Release) *fsm.Error {
	if r.Grace < 0 || r.Grace > maxGrace {
		return fsm.Errorf(fsm.CodeInvalid, "grace: want 0 to %s", maxGrace)
	}
	j, ok := p.job(r.Job)
	if !ok || j.State.Ended() || j.Detached || !slices.Contains(j.Holders, r.Holder) {
		return nil
	}
	p.letGo(j, r.Holder, r.Grace)
	return nil
}

// letGo releases a holder and wakes for the end of the grace. AbandonAt is never 0 by
// chance: that would mean held.
func (p *planner) letGo(j *fsm.Job, h fsm.Holder, grace fsm.Time) {
	p.release(j, h, max(grace, 1))
}

// releaseGone releases the holders whose queen process is gone.
func (p *planner) releaseGone() {
	for h := range p.view.Holders() {
		due, gone := p.holderDue(h)
		if !gone && p.now <= due {
			p.wake(due + 1)
			continue
		}
		for was := range p.view.HeldBy(h) {
			j, ok := p.job(was.ID)
			if !ok || j.State.Ended() || !slices.Contains(j.Holders, h) {
				continue
			}
			if !p.room() {
				return
			}
			p.letGo(j, h, j.Grace)
		}
	}
}

// holderDue tells when a holder counts as gone if nothing more is heard of it, and whether
// its queen is known to run as another process by now. Two sources know a queen's present
// boot: gossip, and the row that the queen puts at each start. Either may be the later, so
// a boot is over only when neither has it.
func (p *planner) holderDue(h fsm.Holder) (due fsm.Time, gone bool) {
	seen, present := p.world.Queens[h.Queen]
	row, member := p.queen(h.Queen)
	current := (present && seen.Boot == h.Boot) || (member && row.Boot == h.Boot)
	if present && !current {
		return 0, true
	}
	return max(seen.LastSeen, p.world.LeaderSince) + p.lim.HolderTimeout, false
}
