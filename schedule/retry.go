package schedule

import (
	"unicode/utf8"

	"queen-rbee/fsm"
)

// Codes of package hives that decide whether another attempt could help. The names are
// those of the wire; this package does not import it.
const (
	lostAgentRestarted = "agent_restarted" // the agent restarted under the run
	lostDrained        = "drained"         // the hive or worker was told to stop
	lostOutput         = "output_too_large"
	lostHive           = "hive_lost"   // the leader's word: the hive is silent
	lostRun            = "run_missing" // the leader's word: the hive no longer has the run
	outOfMemory        = "out_of_memory"
)

// another tells whether another attempt could end otherwise.
func another(code string) bool {
	switch code {
	case fsm.CodeInvalid, fsm.CodeDeadlineExceeded, fsm.CodeCancelled, fsm.CodeTooLarge, lostOutput:
		return false
	}
	return true
}

// blameless tells a loss that says nothing against the job: a restart, a drain, a silence.
func blameless(code string) bool {
	switch code {
	case lostAgentRestarted, lostDrained, lostHive, lostRun:
		return true
	}
	return false
}

// settle ends a running job as its hive's terminal record says, or takes it back into the
// queue where another attempt may help.
func (p *planner) settle(j *fsm.Job, f *Finished) {
	end := fsm.EndJob{State: f.Outcome, Events: f.Events, TTFT: f.TTFT, FinishReason: clip(f.FinishReason, maxID), Usage: f.Usage}
	cause := clipped(f.Failure)
	switch {
	case f.Outcome == fsm.JobComplete:
		p.end(j, end)
		return
	case j.Ending == fsm.EndCancelled || j.Ending == fsm.EndDeadline:
		end.State, end.Failure = wished(j.Ending)
		p.end(j, end)
		return
	case f.Outcome == fsm.JobCancelled:
		end.Failure = cause
		if cause == nil {
			end.Failure = &fsm.Failure{Code: fsm.CodeCancelled, Message: "given up: no client was left"}
		}
		p.end(j, end)
		return
	}
	if cause == nil {
		cause = &fsm.Failure{Code: fsm.CodeInternal, Message: "failed without a reason"}
	}
	if !another(cause.Code) {
		end.Failure = final(*cause)
		p.end(j, end)
		return
	}
	if j.Ending == fsm.EndDrained {
		cause = &fsm.Failure{Code: lostDrained, Message: "its worker or hive was told to stop at once"}
	}
	p.retry(j, end, *cause)
}

// maxMessage bounds what the state keeps of a hive's words.
const maxMessage = 4 << 10

// clipped is a failure in the bounds of the state; nil when it names no code.
func clipped(f *fsm.Failure) *fsm.Failure {
	if f == nil || f.Code == "" {
		return nil
	}
	return &fsm.Failure{Code: clip(f.Code, maxID), Message: clip(f.Message, maxMessage)}
}

// clip cuts a text to so many bytes, at the start of a character.
func clip(s string, most int) string {
	if len(s) <= most {
		return s
	}
	for most > 0 && !utf8.RuneStart(s[most]) {
		most--
	}
	return s[:most]
}

// lose settles a running job of which no terminal record will come.
func (p *planner) lose(j *fsm.Job, cause fsm.Failure) {
	p.settle(j, &Finished{Job: j.ID, Attempt: j.Attempt, Outcome: fsm.JobFailed, Failure: &cause})
}

// retry decides on an attempt lost for a reason that another attempt may not meet. end
// carries what the record says, for the case that it was the last.
func (p *planner) retry(j *fsm.Job, end fsm.EndJob, cause fsm.Failure) {
	delivered := j.Delivered || end.Events > 1 || end.Usage.Completion > 0
	counted := delivered || !blameless(cause.Code)
	end.State = fsm.JobFailed
	switch {
	case j.Deadline != 0 && j.Deadline <= p.now:
		end.Failure = tooLate("while its worker was lost")
	case delivered && j.OnLoss != fsm.LossRestart,
		counted && j.Retries >= p.lim.Retries,
		j.Attempt%fsm.RaisedAttempts >= p.lim.Attempts:
		end.Failure = final(cause)
	default:
		p.again(j, cause, counted)
		return
	}
	p.end(j, end)
}

// again takes a job back into the queue, for another hive if there is one.
func (p *planner) again(j *fsm.Job, cause fsm.Failure, counted bool) {
	cmd := fsm.Requeue{Reason: cause, Avoid: j.Hive, Counted: counted}
	if wait := backoff(p.lim, j.Retries); wait > 0 {
		cmd.NotBefore = p.now + wait
		p.wake(cmd.NotBefore)
	}
	if !j.Detached && len(j.Holders) == 0 {
		cmd.AbandonAt = p.now + max(j.Grace, 1)
		p.wake(cmd.AbandonAt)
	}
	p.requeue(j, cmd)
}

// backoff doubles with each retry already made.
func backoff(lim Limits, retries uint32) fsm.Time {
	return doubled(lim.Backoff, retries, lim.BackoffMax)
}

// doubled is first * 2^times, at most limit.
func doubled(first fsm.Time, times uint32, limit fsm.Time) fsm.Time {
	wait := first
	for range times {
		if wait >= limit/2+1 {
			return limit
		}
		wait *= 2
	}
	return min(wait, limit)
}

// final is the failure a client sees when no further attempt will be made. What the job
// itself caused keeps its code, and so does a drain, which somebody wanted; everything else
// is the worker's failure, with its cause.
func final(cause fsm.Failure) *fsm.Failure {
	switch cause.Code {
	case fsm.CodeInvalid, fsm.CodeDeadlineExceeded, fsm.CodeCancelled, fsm.CodeTooLarge, fsm.CodeWorkerFailed, lostDrained:
		return &cause
	}
	return &fsm.Failure{Code: fsm.CodeWorkerFailed, Message: cause.Code + ": " + cause.Message}
}

// wished is how a job ends that was cancelled or ran out of time, and did not complete first.
func wished(why fsm.Ending) (fsm.JobState, *fsm.Failure) {
	if why == fsm.EndDeadline {
		return fsm.JobFailed, tooLate("while it ran")
	}
	return fsm.JobCancelled, &fsm.Failure{Code: fsm.CodeCancelled, Message: "cancelled on request"}
}

func tooLate(where string) *fsm.Failure {
	return &fsm.Failure{Code: fsm.CodeDeadlineExceeded, Message: "the deadline passed " + where}
}
