package schedule

import (
	"slices"
	"time"

	"queen-rbee/fsm"
)

// submitJob admits a job, joins an earlier one or refuses. Whether it runs at once is
// decided with the queues; the answer tells.
func (p *planner) submitJob(a *Answer, s *Submit) {
	if old, ok := p.job(s.Job.ID); ok {
		if old.Tenant != s.Job.Tenant {
			a.Err = fsm.Errorf(fsm.CodeConflict, "job.id %s is taken", s.Job.ID)
			return
		}
		p.join(a, old, s)
		return
	}
	cmd := &fsm.Submit{}
	job := &cmd.Job
	if a.Err = p.newJob(job, s); a.Err != nil {
		return
	}
	stale := false
	if job.IdempotencyKey != "" {
		if i, ok := p.idempotency(job.Tenant, job.IdempotencyKey); ok {
			if i.Expiry > p.now {
				p.repeat(a, i, s)
				return
			}
			stale = true
		}
	}
	if a.Err = p.servable(job); a.Err != nil {
		return
	}
	to, err := p.capacity(job)
	if err != nil {
		a.Err = err
		return
	}
	if stale {
		p.forgetKey(job.Tenant, job.IdempotencyKey)
	}
	j := p.submit(cmd)
	if to != nil {
		p.assignTo(to, j)
	}
	p.wake(job.Deadline)
	if len(job.Holders) > 0 {
		p.wake(p.now + p.lim.HolderTimeout)
	}
	p.tellOf(job.ID)
}

// join makes a repeated submission one more client of the job it made before.
func (p *planner) join(a *Answer, j *fsm.Job, s *Submit) {
	a.Joined = true
	p.tellOf(j.ID)
	if j.State.Ended() || j.Detached || len(s.Job.Holders) == 0 ||
		len(j.Holders) >= fsm.MaxHolders || slices.Contains(j.Holders, s.Job.Holders[0]) {
		return
	}
	p.hold(j, s.Job.Holders[0])
}

// repeat answers a submission whose Idempotency-Key is known.
func (p *planner) repeat(a *Answer, i *fsm.Idempotency, s *Submit) {
	if i.Hash != s.Job.RequestHash {
		a.Err = fsm.Errorf(fsm.CodeIdempotencyMismatch, "this Idempotency-Key was used with another request")
		return
	}
	j, ok := p.job(i.Job)
	if !ok {
		a.Job = i.Job
		a.Err = fsm.Errorf(fsm.CodeOutputExpired, "job %s of this Idempotency-Key has ended and is no longer kept", i.Job)
		return
	}
	p.join(a, j, s)
}

// newJob checks what a client wants and makes the job's record of it.
func (p *planner) newJob(job *fsm.Job, s *Submit) *fsm.Error {
	in := &s.Job
	if err := checkJob(in, s.Within); err != nil {
		return err
	}
	if p.meta.Level < fsm.LevelCatalog && (in.ContentType != "" || in.KeepAlive != 0) {
		return fsm.Errorf(fsm.CodeConflict, "content_type and keep_alive need every queen of the cluster to be upgraded first")
	}
	*job = fsm.Job{
		ID: in.ID, Tenant: in.Tenant, Model: p.resolve(in.Model), ContentType: in.ContentType, KeepAlive: in.KeepAlive, API: in.API, Path: in.Path, Priority: in.Priority,
		State: fsm.JobQueued, Stream: in.Stream, Detached: in.Detached, OnLoss: in.OnLoss, Grace: in.Grace,
		Session: in.Session, Pin: in.Pin, Labels: slices.Clone(in.Labels),
		IdempotencyKey: in.IdempotencyKey, RequestHash: in.RequestHash, Body: in.Body,
		Rank: p.now,
	}
	slices.SortFunc(job.Labels, compareLabels)
	if job.Priority == fsm.PriorityBatch {
		job.Rank += p.lim.BatchOffset
	}
	if s.Within > 0 {
		job.Deadline = p.now + s.Within
	}
	if !job.Detached {
		job.Holders = slices.Clone(in.Holders[:1])
		if job.Grace == 0 {
			job.Grace = p.lim.Grace
		}
	}
	return nil
}

// Limits of the fields of submissions and registrations. The HTTP API holds its own first; these defend the state.
const (
	maxID     = 128
	maxText   = 512
	maxLabels = 64
	maxGrace  = time.Hour
	maxWithin = 365 * 24 * time.Hour
)

func checkJob(j *fsm.Job, within time.Duration) *fsm.Error {
	for _, f := range []struct {
		name, value string
		limit       int
		needed      bool
	}{
		{"id", j.ID, maxID, true}, {"tenant", j.Tenant, maxID, true}, {"model", j.Model, maxText, true},
		{"path", j.Path, maxText, true}, {"session", j.Session, maxText, false}, {"hive", j.Pin, maxID, false},
		{"idempotency key", j.IdempotencyKey, maxText, false}, {"content_type", j.ContentType, maxText, false},
	} {
		if err := text(f.name, f.value, f.limit, f.needed); err != nil {
			return err
		}
	}
	invalid := func(format string, args ...any) *fsm.Error { return fsm.Errorf(fsm.CodeInvalid, format, args...) }
	switch {
	case j.API != "task" && j.API != "openai":
		return invalid("api: want task or openai")
	case j.Priority != fsm.PriorityInteractive && j.Priority != fsm.PriorityBatch:
		return invalid("priority: want interactive or batch")
	case j.OnLoss != fsm.LossFail && j.OnLoss != fsm.LossRestart:
		return invalid("on_worker_loss: want fail or restart")
	case j.Grace < 0 || j.Grace > maxGrace:
		return invalid("grace: want 0 to %s", maxGrace)
	case within < 0 || within > maxWithin:
		return invalid("deadline: want 0 to %s", maxWithin)
	case len(j.Body.Data) == 0:
		return invalid("body: is empty")
	case len(j.Labels) > maxLabels:
		return invalid("labels: at most %d", maxLabels)
	case !j.Detached && (len(j.Holders) == 0 || j.Holders[0].Queen == "" || j.Holders[0].Boot == ""):
		return invalid("holders: an attached job needs the queen process its client is on")
	}
	for _, l := range j.Labels {
		if err := checkLabel(l); err != nil {
			return err
		}
	}
	return nil
}

func checkLabel(l fsm.Label) *fsm.Error {
	if l.Key == "" || len(l.Key) > maxText || len(l.Value) > maxText {
		return fsm.Errorf(fsm.CodeInvalid, "labels: keys must not be empty, keys and values hold at most %d bytes", maxText)
	}
	return nil
}

// text checks the length of a field.
func text(name, value string, limit int, needed bool) *fsm.Error {
	switch {
	case needed && value == "":
		return fsm.Errorf(fsm.CodeInvalid, "%s: is missing", name)
	case len(value) > limit:
		return fsm.Errorf(fsm.CodeInvalid, "%s: %d bytes, at most %d", name, len(value), limit)
	}
	return nil
}
