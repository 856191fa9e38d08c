package fsm

import "slices"

// keepJob puts a changed copy of a job.
func (t *turn) keepJob(was *Job, is *Job) {
	is.Changed = t.index
	t.putJob(was, is)
	t.mark(TableJob, is.ID)
}

func (t *turn) findJob(id string) (*Job, *Error) {
	if j, ok := t.jobs.get(id); ok {
		return j, nil
	}
	return nil, Errorf(CodeNotFound, "no job %q", id)
}

// submit takes from Job what was asked and decided; everything of a run or an end begins
// empty, whatever the command holds.
func (t *turn) submit(c *Submit) *Error {
	a := &c.Job
	if was, ok := t.jobs.get(a.ID); ok {
		if was.Tenant == a.Tenant && was.RequestHash == a.RequestHash {
			return nil
		}
		return Errorf(CodeConflict, "job %s is another request", a.ID)
	}
	if err := checkAsked(a); err != nil {
		return err
	}
	if err := t.remember(c); err != nil {
		return err
	}
	j := &Job{
		ID: a.ID, Tenant: a.Tenant, Model: a.Model, API: a.API, Path: a.Path,
		Priority: a.Priority, State: JobQueued, Stream: a.Stream, Detached: a.Detached,
		OnLoss: a.OnLoss, Grace: a.Grace, Session: a.Session, Pin: a.Pin,
		Labels: inOrder(a.Labels, compareLabel), ContentType: a.ContentType, KeepAlive: a.KeepAlive,
		Rank: a.Rank, NotBefore: a.NotBefore, AbandonAt: a.AbandonAt, Deadline: a.Deadline,
		Holders:        slices.Compact(slices.Clone(inOrder(a.Holders, compareHolder))),
		IdempotencyKey: a.IdempotencyKey, RequestHash: a.RequestHash, Body: a.Body,
		Order: t.meta.NextOrder, Submitted: t.now, SubmittedWall: t.wall,
	}
	j.bodySum = sumOf(j.Body.Data)
	if len(j.Body.Data) == 0 {
		j.Body.Data, j.bodySum = nil, Sum{}
	}
	t.meta.NextOrder++
	t.shareWords(j)
	t.note(j, "submitted", "")
	t.keepJob(nil, j)
	return nil
}

func checkAsked(a *Job) *Error {
	switch {
	case a.ID == "" || a.Model == "":
		return Errorf(CodeInvalid, "job without id or model")
	case a.State != 0 && a.State != JobQueued:
		return Errorf(CodeInvalid, "job %s arrives %s, not queued", a.ID, a.State)
	case a.Attempt != 0 || a.Worker != "":
		return Errorf(CodeInvalid, "job %s arrives with an attempt", a.ID)
	case a.NotBefore < 0 || a.Deadline < 0 || a.AbandonAt < 0:
		return Errorf(CodeInvalid, "job %s has a time below zero", a.ID)
	}
	return nil
}

// remember keeps the idempotency row of a submission. A live row of another job is a guard:
// the plan should have joined that job.
func (t *turn) remember(c *Submit) *Error {
	if c.Job.IdempotencyKey == "" || c.IdempotencyTTL <= 0 {
		return nil
	}
	row := &Idempotency{
		Tenant: c.Job.Tenant, Key: c.Job.IdempotencyKey, Job: c.Job.ID,
		Hash: c.Job.RequestHash, Expiry: t.now + c.IdempotencyTTL,
	}
	was, ok := t.idempotency.get(row)
	if ok && was.Expiry > t.now {
		return Errorf(CodeConflict, "idempotency key %q made job %s", row.Key, was.Job)
	}
	t.putIdempotency(was, row)
	t.mark(TableIdempotency, row.Tenant+"/"+row.Key)
	return nil
}

// ready ends a backoff.
func (t *turn) ready(c *Ready) *Error {
	was, err := t.findJob(c.Job)
	switch {
	case err != nil:
		return err
	case was.State != JobQueued:
		return Errorf(CodeConflict, "job %s is %s, not queued", c.Job, was.State)
	case was.NotBefore == 0:
		return nil
	}
	is := *was
	is.NotBefore = 0
	t.keepJob(was, &is)
	return nil
}

func (t *turn) hold(c *Hold) *Error {
	was, err := t.findJob(c.Job)
	if err != nil {
		return err
	}
	at, held := slices.BinarySearchFunc(was.Holders, c.Holder, compareHolder)
	switch {
	case was.State.Ended():
		return Errorf(CodeConflict, "job %s has ended: %s", c.Job, was.State)
	case held && was.AbandonAt == 0:
		return nil
	case !held && len(was.Holders) == MaxHolders:
		return Errorf(CodeConflict, "job %s has %d holders already", c.Job, MaxHolders)
	}
	is := *was
	if !held {
		h := c.Holder
		t.words.share(&h.Queen)
		t.words.share(&h.Boot)
		is.Holders = slices.Insert(slices.Clone(was.Holders), at, h)
	}
	is.AbandonAt = 0
	t.keepJob(was, &is)
	return nil
}

// release of a holder that is not there changes nothing, also when the job is not there any
// more: an end drops all holders.
func (t *turn) release(c *Release) *Error {
	was, ok := t.jobs.get(c.Job)
	if !ok {
		return nil
	}
	at, held := slices.BinarySearchFunc(was.Holders, c.Holder, compareHolder)
	if !held {
		return nil
	}
	is := *was
	is.Holders = slices.Delete(slices.Clone(was.Holders), at, at+1)
	if len(is.Holders) == 0 {
		is.Holders = nil
		if is.State == JobQueued && !is.Detached {
			is.AbandonAt = c.AbandonAt
		}
	}
	t.keepJob(was, &is)
	return nil
}

func (t *turn) expireJob(c *ExpireJob) *Error {
	was, ok := t.jobs.get(c.ID)
	switch {
	case !ok:
		return nil
	case !was.State.Ended():
		return Errorf(CodeConflict, "job %s is %s", c.ID, was.State)
	}
	t.putJob(was, nil)
	t.mark(TableJob, c.ID)
	return nil
}

// shareWords gives a new job the memory of strings known already.
func (s *State) shareWords(j *Job) {
	for _, p := range []*string{&j.Tenant, &j.Model, &j.API, &j.Path, &j.Pin, &j.ContentType} {
		s.words.share(p)
	}
	for i := range j.Holders {
		s.words.share(&j.Holders[i].Queen)
		s.words.share(&j.Holders[i].Boot)
	}
	// Labels are the batch's own memory, and too varied to share.
}
