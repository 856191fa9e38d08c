package fsm

import "fmt"

// assign gives a slot away: the guards here are invariant 4.
func (t *turn) assign(c *Assign) *Error {
	was, err := t.findJob(c.Job)
	if err != nil {
		return err
	}
	if was.State == JobRunning && was.Attempt == c.Attempt && was.Worker == c.Worker {
		return nil
	}
	switch {
	case !was.State.mayBecome(JobRunning):
		return Errorf(CodeConflict, "job %s is %s, not queued", c.Job, was.State)
	case was.NotBefore > 0:
		return Errorf(CodeConflict, "job %s is not ready before %s", c.Job, was.NotBefore)
	case c.Attempt != was.Attempt+1:
		return Errorf(CodeConflict, "job %s is at attempt %d, attempt %d cannot follow", c.Job, was.Attempt, c.Attempt)
	}
	w, err := t.findWorker(c.Worker)
	if err != nil {
		return err
	}
	h, err := t.findHive(w.Hive)
	if err != nil {
		return err
	}
	switch {
	case w.Model != was.Model:
		return Errorf(CodeConflict, "job %s asks for model %s, worker %s has %s", c.Job, was.Model, w.ID, w.Model)
	case w.State != WorkerReady:
		return Errorf(CodeConflict, "worker %s is %s, not ready", w.ID, w.State)
	case t.runsOn(w.ID) >= w.Slots:
		return Errorf(CodeConflict, "worker %s has no free slot of its %d", w.ID, w.Slots)
	case h.Status != HiveOnline:
		return Errorf(CodeConflict, "hive %s is offline", h.ID)
	case h.Leaving:
		return Errorf(CodeConflict, "hive %s is leaving", h.ID)
	}
	is := *was
	is.State, is.Worker, is.Hive, is.Incarnation = JobRunning, w.ID, h.ID, h.Incarnation
	is.Attempt, is.Begin, is.AssignedIndex = c.Attempt, c.Begin, t.index
	is.Assigned, is.AssignedWall = t.now, t.wall
	is.AbandonAt = 0
	t.note(&is, "assigned", fmt.Sprintf("attempt %d, worker %s, hive %s", is.Attempt, is.Worker, is.Hive))
	t.keepJob(was, &is)
	t.use(w.ID, h.ID)
	return nil
}

// run is the job of a command about an attempt under way.
func (t *turn) run(id string, attempt uint32) (*Job, *Error) {
	was, err := t.findJob(id)
	switch {
	case err != nil:
		return nil, err
	case was.State != JobRunning:
		return nil, Errorf(CodeConflict, "job %s is %s, not running", id, was.State)
	case was.Attempt != attempt:
		return nil, Errorf(CodeStale, "job %s is at attempt %d, not %d", id, was.Attempt, attempt)
	}
	return was, nil
}

// started changes nothing that is desired, so it leaves the hive alone.
func (t *turn) started(c *Started) *Error {
	was, err := t.run(c.Job, c.Attempt)
	if err != nil {
		return err
	}
	if was.Delivered {
		return nil
	}
	is := *was
	is.Delivered, is.TTFT = true, c.TTFT
	is.Started, is.StartedWall = t.now, t.wall
	t.note(&is, "started", "")
	t.keepJob(was, &is)
	return nil
}

// endJob is the one way to a terminal state, and no way leads out of one.
func (t *turn) endJob(c *EndJob) *Error {
	was, err := t.findJob(c.Job)
	switch {
	case err != nil:
		return err
	case was.State.Ended():
		return Errorf(CodeConflict, "job %s has ended: %s", c.Job, was.State)
	case was.Attempt != c.Attempt:
		return Errorf(CodeStale, "job %s is at attempt %d, not %d", c.Job, was.Attempt, c.Attempt)
	case !c.State.Ended() || !was.State.mayBecome(c.State):
		return Errorf(CodeConflict, "job %s is %s and cannot become %s", c.Job, was.State, c.State)
	}
	is := *was
	is.State, is.Ended, is.EndedWall = c.State, t.now, t.wall
	is.Events, is.FinishReason, is.Usage, is.Failure = c.Events, c.FinishReason, c.Usage, c.Failure
	if c.TTFT > 0 {
		is.TTFT = c.TTFT
		backdateStart(&is)
	}
	is.Body.Data, is.bodySum, is.Body.Packed = nil, Sum{}, false
	is.Holders, is.NotBefore, is.AbandonAt = nil, 0, 0
	t.words.share(&is.FinishReason)
	t.note(&is, "ended", endDetail(c))
	t.keepJob(was, &is)
	switch c.State {
	case JobComplete:
		t.counts.Completed++
	case JobFailed:
		t.counts.Failed++
	default:
		t.counts.Cancelled++
	}
	if was.State == JobRunning {
		t.keepAlive(was)
		t.use(was.Worker, was.Hive)
	}
	return nil
}

// keepAlive lets a worker take over what a job that ran on it said of its life.
func (t *turn) keepAlive(j *Job) {
	if w, ok := t.workers.get(j.Worker); ok && j.KeepAlive != 0 && w.KeepAlive != j.KeepAlive && !w.State.Gone() {
		is := *w
		is.KeepAlive = j.KeepAlive
		t.keepWorker(w, is)
	}
}

// backdateStart gives a run so short that its end came before its Started the time of its
// first token.
func backdateStart(j *Job) {
	if j.Started == 0 && j.Assigned > 0 {
		j.Started = min(j.Assigned+j.TTFT, j.Ended)
		j.StartedWall = j.AssignedWall + (j.Started - j.Assigned).Milliseconds()
	}
}

func endDetail(c *EndJob) string {
	switch {
	case c.Failure == nil:
		return c.State.String()
	case c.Failure.Code == c.State.String():
		return c.Failure.Code + ": " + c.Failure.Message
	default:
		return c.State.String() + ": " + c.Failure.Code + ": " + c.Failure.Message
	}
}

// requeue keeps rank and order: the job goes back to its old place. One that is asked to end
// does not go back, except from a drain.
func (t *turn) requeue(c *Requeue) *Error {
	was, ok := t.jobs.get(c.Job)
	if ok && was.State == JobQueued && was.Attempt == c.Attempt && c.Attempt > 0 {
		return nil
	}
	was, err := t.run(c.Job, c.Attempt)
	switch {
	case err != nil:
		return err
	case was.Ending != EndNone && was.Ending != EndDrained:
		return Errorf(CodeConflict, "job %s is asked to end: %s", c.Job, was.Ending)
	case c.NotBefore < 0 || c.AbandonAt < 0:
		return Errorf(CodeInvalid, "job %s has a time below zero", c.Job)
	}
	is := *was
	is.State, is.Worker, is.Hive, is.Incarnation = JobQueued, "", "", 0
	is.Begin, is.AssignedIndex, is.Delivered, is.Ending = Begin{}, 0, false, EndNone
	is.Assigned, is.AssignedWall, is.Started, is.StartedWall, is.TTFT = 0, 0, 0, 0, 0
	is.NotBefore, is.Avoid = c.NotBefore, c.Avoid
	if c.Counted {
		is.Retries++
	}
	if len(is.Holders) == 0 && !is.Detached {
		is.AbandonAt = c.AbandonAt
	}
	t.words.share(&is.Avoid)
	t.note(&is, "retry", c.Reason.Code+": "+c.Reason.Message)
	t.keepJob(was, &is)
	t.use(was.Worker, was.Hive)
	return nil
}

func (t *turn) wishEnd(c *WishEnd) *Error {
	was, err := t.findJob(c.Job)
	switch {
	case err != nil:
		return err
	case was.State != JobRunning:
		return Errorf(CodeConflict, "job %s is %s, not running", c.Job, was.State)
	case was.Ending == c.Reason:
		return nil
	case !was.Ending.mayBecome(c.Reason):
		return Errorf(CodeConflict, "job %s is asked to end already: %s", c.Job, was.Ending)
	}
	is := *was
	is.Ending, is.AssignedIndex = c.Reason, t.index
	t.note(&is, "ending", c.Reason.String())
	t.keepJob(was, &is)
	t.touch(is.Hive)
	return nil
}
