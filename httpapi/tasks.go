package httpapi

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/oklog/ulid/v2"

	"queen-rbee/fsm"
	"queen-rbee/hives"
	"queen-rbee/schedule"
)

// taskRequest is the body of POST /v2/tasks.
type taskRequest struct {
	Model        string            `json:"model"`
	Prompt       *string           `json:"prompt"`
	Messages     []json.RawMessage `json:"messages"`
	MaxTokens    *int              `json:"max_tokens"`
	Temperature  *float64          `json:"temperature"`
	TopP         *float64          `json:"top_p"`
	Seed         *int64            `json:"seed"`
	Stop         json.RawMessage   `json:"stop"`
	Stream       *bool             `json:"stream"`
	Priority     string            `json:"priority"`
	Detach       bool              `json:"detach"`
	Session      string            `json:"session"`
	Hive         string            `json:"hive"`
	Deadline     string            `json:"deadline"`
	Labels       map[string]string `json:"labels"`
	OnWorkerLoss string            `json:"on_worker_loss"`
	KeepAlive    json.RawMessage   `json:"keep_alive"`
}

func (t *taskRequest) wantsStream() bool { return t.Stream == nil || *t.Stream }

// submitTask is POST /v2/tasks.
func (s *Server) submitTask(w http.ResponseWriter, r *request) error {
	var t taskRequest
	if err := decodeStrict(r.body, &t); err != nil {
		return err
	}
	job, err := t.job(s.cfg.BodyLimit)
	if err != nil {
		return err
	}
	within, err := withinOf("deadline", t.Deadline)
	if err != nil {
		return err
	}
	job.Grace = s.jobGrace(r)
	if !t.Detach {
		closeStream, err := s.openStream()
		if err != nil {
			return err
		}
		defer closeStream()
	}
	sub, err := s.submit(w, r, job, within)
	if err != nil {
		return err
	}
	switch {
	case t.Detach:
		return writeJSON(w, http.StatusAccepted, map[string]string{"job_id": sub.id, "state": jobStates[sub.hint.State]})
	case t.wantsStream():
		return s.stream(r.Context(), sub, nativeSink{newSSE(w, r.Request)}, r.grace(s.cfg.Limits.Grace))
	default:
		return s.wholeTask(w, r, sub)
	}
}

// jobGrace is how long a job's run waits without any client: what the header says, at
// least a moment, since 0 means the standard.
func (s *Server) jobGrace(r *request) time.Duration {
	return max(time.Millisecond, r.grace(s.cfg.Limits.Grace))
}

// wholeTask answers an attached task with its result once it has ended.
func (s *Server) wholeTask(w http.ResponseWriter, r *request, sub *reader) error {
	sink := &wholeSink{form: hives.APITask}
	if err := s.stream(r.Context(), sub, sink, r.grace(s.cfg.Limits.Grace)); err != nil {
		return err
	}
	return writeResult(w, sink)
}

// submitFor bounds a submission that its client no longer waits for.
const submitFor = 30 * time.Second

// submit asks for a job and gives a reader that stands at its beginning.
func (s *Server) submit(w http.ResponseWriter, r *request, job fsm.Job, within time.Duration) (*reader, error) {
	job.ID = ulid.Make().String()
	job.Tenant = r.tenant
	var err error
	if job.IdempotencyKey, err = r.idempotencyKey(); err != nil {
		return nil, err
	}
	if job.IdempotencyKey != "" {
		h := sha256.New()
		h.Write([]byte(r.URL.Path + "\n"))
		if r.said != nil {
			h.Write(r.said)
		} else {
			h.Write(r.body)
		}
		h.Sum(job.RequestHash[:0])
	}
	if !job.Detached {
		job.Holders = []fsm.Holder{s.holder()}
	}
	loadWait, bounded, err := r.loadWait()
	if err != nil {
		return nil, err
	}
	ans, err := s.propose(r, schedule.Submit{Job: job, Within: within})
	r.releaseBody()
	if err != nil {
		if errors.Is(err, &fsm.Error{Code: fsm.CodeUnknownOutcome}) {
			err = &jobError{job: job.ID, err: err}
		}
		return nil, err
	}
	w.Header().Set(headerJob, ans.Job)
	s.index(w, ans.Index)
	sub := &reader{s: s, id: ans.Job, since: ans.Index}
	if ans.Joined || ans.State.Ended() {
		if err := s.joined(r.Context(), sub); err != nil {
			if !job.Detached {
				s.release(ans.Job, ans.Index, r.grace(s.cfg.Limits.Grace), false)
			}
			return nil, err
		}
		return sub, nil
	}
	sub.assume(job, ans, within)
	if bounded && !job.Detached && ans.State == fsm.JobQueued {
		if err := s.awaitLoad(r.Context(), loadWait, r.tenant, sub); err != nil {
			s.release(ans.Job, ans.Index, r.grace(s.cfg.Limits.Grace), false)
			return nil, err
		}
	}
	return sub, nil
}

// propose submits a job. Its client may go meanwhile: what was accepted for it then is
// released as if it had gone just after.
func (s *Server) propose(r *request, sub schedule.Submit) (schedule.Answer, error) {
	type result struct {
		ans schedule.Answer
		err error
	}
	got := make(chan result, 1)
	var decided atomic.Bool // by who comes first: the answer, or the client's going
	started := s.goBackground(func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, submitFor)
		defer cancel()
		ans, err := s.queen.Do(ctx, schedule.Request{Submit: &sub})
		gone := decided.Swap(true)
		unknown := errors.Is(err, &fsm.Error{Code: fsm.CodeUnknownOutcome})
		switch {
		case sub.Job.Detached:
		case unknown: // its client is told to ask again, here or elsewhere
			s.release(sub.Job.ID, 0, r.grace(s.cfg.Limits.Grace), true)
		case gone && err == nil:
			s.release(ans.Job, ans.Index, r.grace(s.cfg.Limits.Grace), false)
		}
		got <- result{ans, err}
	})
	if !started {
		return schedule.Answer{}, errDraining()
	}
	select {
	case res := <-got:
		return res.ans, res.err
	case <-r.Context().Done():
		if decided.Swap(true) {
			res := <-got
			return res.ans, res.err // who goes on with it sees the client gone, and leaves
		}
		return schedule.Answer{}, r.Context().Err()
	}
}

// assume is the row as the leader's answer tells it, for as long as this replica is behind.
func (r *reader) assume(job fsm.Job, ans schedule.Answer, within time.Duration) {
	job.State, job.Changed = ans.State, ans.Index
	if a := ans.Assigned; a != nil {
		job.Worker, job.Hive, job.Incarnation = a.Worker, a.Hive, a.Incarnation
		job.Attempt, job.AssignedIndex, job.Begin = a.Attempt, a.Index, a.Begin
		job.Submitted = r.s.queen.Now()
		job.Assigned = job.Submitted
		if within > 0 {
			job.Deadline = job.Submitted + within
		}
		r.hive = a.HiveURL
	}
	r.hint = &job
}

// joined waits until this replica has the job that an earlier request made.
func (s *Server) joined(ctx context.Context, sub *reader) error {
	if _, err := s.queen.WaitIndex(ctx, sub.since); err != nil {
		return notShown(ctx, sub.id, err)
	}
	j, _, err := s.findJob(ctx, sub.id)
	switch {
	case errors.Is(err, &fsm.Error{Code: fsm.CodeNotFound}):
		return fsm.Errorf(fsm.CodeOutputExpired, "job %s of this Idempotency-Key has ended and is no longer kept", sub.id)
	case err != nil:
		return notShown(ctx, sub.id, err)
	}
	sub.hint, sub.since = j, 0
	return nil
}

// notShown says of an accepted job that this queen cannot serve it yet: refused it is not.
func notShown(ctx context.Context, job string, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return &jobError{job: job, err: fsm.Errorf(fsm.CodeUnknownOutcome,
		"job %s was accepted, but this queen cannot show it yet: %v; ask again with the same Idempotency-Key", job, err)}
}

// stream serves one client of a job until its end, and tells the cluster when it goes before that.
func (s *Server) stream(ctx context.Context, r *reader, out sink, grace time.Duration) error {
	end := s.life
	if _, native := out.(nativeSink); native {
		end = s.drain // its client knows how to resume elsewhere
	}
	ctx, cancel := tied(ctx, end)
	defer cancel()
	r.sink, r.onGone = out, cancel
	s.holds.take(r.id, r.since)
	defer func() { s.leave(r, grace) }()
	err := r.run(ctx)
	if err != nil && ctx.Err() == nil && !isGone(err) {
		err = out.fail(err)
	}
	if to := out.stream(); to != nil {
		err = to.finish(s, err)
	}
	return err
}

// job makes the job a task asks for: its engine-ready body of at most limit bytes, and what
// scheduling reads.
func (t *taskRequest) job(limit int) (fsm.Job, error) {
	job := fsm.Job{
		Model: t.Model, API: hives.APITask, Path: "/v1/chat/completions", Stream: t.wantsStream(),
		Detached: t.Detach, Session: t.Session, Pin: t.Hive,
	}
	if err := t.validate(); err != nil {
		return job, err
	}
	var err error
	if job.Priority, err = priorityOf("priority", t.Priority); err != nil {
		return job, err
	}
	if job.OnLoss, err = onLossOf(t.OnWorkerLoss); err != nil {
		return job, err
	}
	if job.Labels, err = labelsOf(t.Labels); err != nil {
		return job, err
	}
	if !isNull(t.KeepAlive) {
		if job.KeepAlive, err = keepAliveOf(keepAliveField, t.KeepAlive); err != nil {
			return job, err
		}
	}
	var body bytes.Buffer
	enc := json.NewEncoder(&body)
	enc.SetEscapeHTML(false) // six bytes for one of every < in a prompt, for no engine's good
	if err := enc.Encode(t.engineBody()); err != nil {
		return job, err
	}
	if body.Len() > limit {
		return job, fsm.Errorf(fsm.CodeTooLarge, "body: %d bytes as the engine gets it, at most %d are taken", body.Len(), limit)
	}
	job.Body = fsm.PackBody(bytes.TrimSuffix(body.Bytes(), []byte("\n")))
	return job, nil
}

// engineBody is the task in the words of the OpenAI API, which every engine speaks.
func (t *taskRequest) engineBody() map[string]any {
	body := map[string]any{"model": t.Model}
	if t.Prompt != nil {
		body["messages"] = []map[string]string{{"role": "user", "content": *t.Prompt}}
	} else {
		body["messages"] = t.Messages
	}
	put := func(name string, set bool, v any) {
		if set {
			body[name] = v
		}
	}
	put("max_tokens", t.MaxTokens != nil, t.MaxTokens)
	put("temperature", t.Temperature != nil, t.Temperature)
	put("top_p", t.TopP != nil, t.TopP)
	put("seed", t.Seed != nil, t.Seed)
	put("stop", len(t.Stop) > 0, t.Stop)
	return body
}
