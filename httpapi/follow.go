package httpapi

import (
	"context"
	"errors"
	"fmt"
	"time"

	"queen-rbee/fsm"
	"queen-rbee/hives"
	"queen-rbee/schedule"
)

// follow attaches to the job's run and copies its frames until the end mark, until the
// hive breaks off, or until the job has moved on. It returns nil when the state should be
// looked at again.
func (r *reader) follow(ctx context.Context, watch Watch, job *fsm.Job) error {
	note := assignedEvent{WorkerID: job.Worker, HiveID: job.Hive, Attempt: job.Attempt}
	if r.entered == job.Attempt {
		if err := r.enter(job, "", nil); err != nil {
			return err
		}
	} else if err := r.enter(job, "assigned", note); err != nil {
		return err
	}
	r.entered = job.Attempt
	url, ok := r.hiveURL(job)
	if !ok {
		return r.wait(ctx, watch, r.backoff())
	}
	err := r.attach(ctx, job, url, true)
	if err == nil {
		r.tries = 0
		return nil
	}
	return r.broken(ctx, watch, job, err)
}

// attach reads the run from where the client is. It lets go when nothing has come for a while,
// and while follow is set as soon as the job has moved on without it.
func (r *reader) attach(ctx context.Context, job *fsm.Job, url string, follow bool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	quiet := fetchFor
	watched := func() {} // ends the watch
	if follow {
		quiet = r.s.silence
		watched = r.cancelWhenMoved(ctx, cancel, job)
	}
	defer watched()
	idle := time.AfterFunc(quiet, cancel)
	defer idle.Stop()
	stream, err := r.s.hives.Execute(ctx, hives.WorkerURL(url, job.Worker), r.execute(job))
	if err != nil {
		return err
	}
	defer func() { _ = stream.Close() }()
	r.brought = job.Attempt
	stream.Heard = func() { idle.Reset(quiet) }
	if err := r.sink.begin(); err != nil {
		return fmt.Errorf("%w: %w", errClient, err)
	}
	for {
		whole, err := r.copy(stream, job)
		if whole || err != nil {
			return err
		}
		result, ok := r.passOn(stream, quiet)
		if !ok {
			continue
		}
		watched()
		idle.Stop()
		end, err := r.await(ctx, result, job, follow)
		if err != nil {
			return err
		}
		idle.Reset(quiet)
		return r.ended(stream, job, end)
	}
}

// execute is the run's record, early, and where this reader stands.
func (r *reader) execute(job *fsm.Job) hives.Execute {
	e := hives.Execute{
		Epoch: r.s.queen.View().Meta().Epoch.String(), Incarnation: job.Incarnation,
		JobID: job.ID, Attempt: job.Attempt, AssignedIndex: job.AssignedIndex,
		API: r.sink.api(), Whole: r.sink.whole(), Path: job.Path, ContentType: job.ContentType,
		Begin: hives.Begin{Seq: job.Begin.Seq, I: job.Begin.I},
		From:  r.has.n, Follow: true, Client: !job.Detached, Mode: hives.Attached, GraceMillis: job.Grace.Milliseconds(),
	}
	if job.Detached {
		e.Mode, e.GraceMillis = hives.Detached, 0
	}
	if job.Deadline > 0 {
		e.DeadlineMillis = max(1, (job.Deadline - r.s.queen.Now()).Milliseconds())
	}
	if !job.State.Ended() && r.brought != job.Attempt {
		// What the state has was taken by some queen, whatever this one's limit. A body that does
		// not open is a bug; the hive asks for it itself and fails the run by name.
		body, err := job.Body.Open(fsm.MaxBody)
		if err != nil {
			r.s.log.Error("body of a job does not open", "job", job.ID, "error", err)
		}
		if job.ContentType == "" {
			e.Body = body
		} else {
			e.Data = body
		}
	}
	return e
}

// copy moves whole frames to the client until the end mark, or, not whole, until the pump may do it.
func (r *reader) copy(stream *hives.Stream, job *fsm.Job) (whole bool, err error) {
	for {
		p, err := stream.Next()
		if err != nil {
			return false, err
		}
		if len(p.Bytes) > 0 {
			if err := r.sink.frames(p.Bytes); err != nil {
				return false, fmt.Errorf("%w: %w", errClient, err)
			}
		}
		if p.Seq > r.has.n {
			r.s.metrics.relayed.Add(float64(p.Seq - r.has.n))
			r.has.n, r.resumed, r.tries = p.Seq, false, 0
		}
		if r.has.n > 1 && r.told != job.Attempt {
			r.told = job.Attempt
			r.s.delivered(job)
		}
		if p.End != nil {
			return true, r.ended(stream, job, p.End)
		}
		if to := r.sink.stream(); r.has.n > 1 && to != nil && to.takeOver(r.s, r.onGone) {
			return false, nil
		}
	}
}

// ended reads what is behind the end mark.
func (r *reader) ended(stream *hives.Stream, job *fsm.Job, end *hives.Terminal) error {
	if err := r.holdAnswer(end.Answer); err != nil {
		return err
	}
	rest, err := stream.Rest()
	if err != nil {
		return err
	}
	r.end = &heldEnd{attempt: job.Attempt, record: *end, rest: rest}
	return nil
}

// broken decides what a failed attachment means: the client's end, a refusal to be told,
// or one more look at the state.
func (r *reader) broken(ctx context.Context, watch Watch, job *fsm.Job, err error) error {
	switch {
	case errors.Is(err, errClient):
		return err
	case ctx.Err() != nil:
		return ctx.Err()
	case hives.CodeOf(err) == hives.CodeInvalid:
		return err
	case hives.CodeOf(err) == hives.CodeStale, hives.CodeOf(err) == hives.CodeNotFound:
		// This replica may be behind: what the leader knows decides.
		if _, err := r.s.queen.Strong(ctx); err != nil && ctx.Err() != nil {
			return ctx.Err()
		}
	default:
		r.s.log.Debug("run not reachable, trying again", "job", job.ID, "hive", job.Hive, "error", err)
	}
	return r.wait(ctx, watch, r.backoff())
}

// silence is how long a hive may send nothing before it is attached to anew: it comments every
// 15 s, so its end of the connection is gone.
const silence = 40 * time.Second

// fetchFor is how long an ended job's output is asked of a hive that does not answer.
const fetchFor = 10 * time.Second

// fetch reads what the client lacks of an ended job from its hive's kept log, up to and
// with the held end. Its error tells whether the output is gone or only out of reach.
func (r *reader) fetch(ctx context.Context, watch Watch, job *fsm.Job) error {
	gone := fsm.Errorf(fsm.CodeOutputExpired, "the output of job %s is retained no longer, or its hive %s is gone", r.id, job.Hive)
	for over := time.Now().Add(fetchFor); ; {
		url, ok := r.hiveURL(job)
		if !ok {
			return gone
		}
		err := r.attach(ctx, job, url, false)
		switch code := hives.CodeOf(err); {
		case err == nil, errors.Is(err, errClient):
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		case code == hives.CodeInvalid:
			return err
		case code == hives.CodeStale, code == hives.CodeNotFound, code == hives.CodeOutputExpired:
			return gone
		case time.Now().After(over):
			return fsm.Errorf(codeUnreachable, "hive %s, which keeps the output of job %s, does not answer now: %v", job.Hive, r.id, err)
		}
		if err := r.wait(ctx, watch, r.backoff()); err != nil {
			return err
		}
	}
}

// hiveURL is where the job's hive is reached.
func (r *reader) hiveURL(job *fsm.Job) (string, bool) {
	if h, ok := r.s.queen.View().Hive(job.Hive); ok {
		return h.Facts.URL, true
	}
	return r.hive, r.hive != ""
}

// lateEnd is how long a reader may go on reading a run that the state says has ended: its
// last frames are usually on their way.
const lateEnd = 3 * time.Second

// cancelWhenMoved ends an attachment whose job went on without it. The client gets comments
// meanwhile if its hive sends nothing. stop ends the watch, once or again.
func (r *reader) cancelWhenMoved(ctx context.Context, cancel context.CancelFunc, job *fsm.Job) (stop func()) {
	ctx, end := context.WithCancel(ctx)
	done := make(chan struct{})
	s, out := r.s, r.sink // the rest of the reader is the request's alone
	watch := s.queen.Watch(jobRow(job.ID))
	go func() {
		defer close(done)
		defer watch.Close()
		m := newMoving(s, job)
		defer m.stop()
		awake := time.NewTimer(s.keepAlive)
		defer awake.Stop()
		for !m.moved() {
			select {
			case <-ctx.Done():
				return
			case <-m.late.C:
				cancel()
				return
			case <-awake.C:
				next, err := out.keepAwake(s.keepAlive)
				if err != nil { // who copies frames meets the same
					cancel()
					return
				}
				awake.Reset(next)
			case <-watch.C():
			}
		}
		cancel()
	}()
	return func() { end(); <-done }
}

// moving tells when a job has gone on without who reads its run: to another attempt, to the
// queue, or to an end the hive does not tell.
type moving struct {
	s     *Server
	job   *fsm.Job
	late  *time.Timer // fires when the run should have told the end that the state has
	ended bool
}

func newMoving(s *Server, job *fsm.Job) *moving {
	m := &moving{s: s, job: job, late: time.NewTimer(lateEnd)}
	m.late.Stop()
	return m
}

func (m *moving) stop() { m.late.Stop() }

func (m *moving) moved() bool {
	v := m.s.queen.View()
	now, ok := v.Job(m.job.ID)
	switch {
	case !ok:
		return v.Meta().Index >= m.job.Changed
	case now.Attempt != m.job.Attempt, now.State == fsm.JobQueued:
		return true
	case now.State.Ended() && !m.ended:
		m.ended = true
		m.late.Reset(lateEnd)
	}
	return false
}

// delivered proposes Started, off the path.
func (s *Server) delivered(job *fsm.Job) {
	if now, ok := s.queen.View().Job(job.ID); ok && (now.Delivered || now.Attempt != job.Attempt) {
		return
	}
	s.hint(schedule.Request{Started: &schedule.Started{
		Job: job.ID, Attempt: job.Attempt, TTFT: max(0, s.queen.Now()-job.Assigned),
	}})
}
