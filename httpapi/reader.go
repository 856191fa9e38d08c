package httpapi

import (
	"context"
	"errors"
	"time"

	"queen-rbee/fsm"
	"queen-rbee/hives"
)

// reader is one client's way through one job to its end, whatever happens to queens, hives
// and workers meanwhile. It is driven by the state: every turn of run looks at the newest
// row of the job and does what that asks for. Only the goroutine of the request touches it.
type reader struct {
	s    *Server
	sink sink
	id   string // of the job

	hint  *fsm.Job // the row as the leader's answer told it, until this replica has index since
	since uint64
	hive  string // URL of the hint's hive

	has     resumeID // records the client has
	resumed bool     // they are the client's word (Last-Event-ID), nothing was sent here yet
	retried bool     // something was taken back: each later attempt is announced
	alive   *time.Ticker
	entered uint32 // the attempt that was last announced
	told    uint32 // the attempt for which Started was proposed
	brought uint32 // the attempt whose hive was given the body
	tries   int    // failed attachments in a row
	onGone  func() // ends the request's context when the pump sees its client go
	end     *heldEnd
	held    int64 // bytes of the budget for answers
}

// heldEnd is the end of an attempt as its hive gave it, held back until it is committed.
type heldEnd struct {
	attempt  uint32
	record   hives.Terminal
	rest     []byte
	reported <-chan reported // what the leader says to it; nil when it is to be told (again)
}

// errClient wraps a failed write to the client.
var errClient = errors.New("the client does not take what is sent")

// run serves the job to its end. It returns nil after the end (or an error of the stream)
// was written, the context's error when the client has gone, or an error to be told.
func (r *reader) run(ctx context.Context) error {
	watch := r.s.queen.Watch(jobRow(r.id))
	defer watch.Close()
	r.alive = time.NewTicker(r.s.keepAlive)
	defer r.alive.Stop()
	for ctx.Err() == nil {
		job, err := r.job(ctx)
		if err != nil {
			return err
		}
		if r.hint == nil {
			r.s.hold(job)
		}
		if err := r.beyond(job); err != nil {
			return err
		}
		switch {
		case job.State.Ended():
			return r.finish(ctx, watch, job)
		case job.State == fsm.JobQueued:
			err = r.queued(ctx, watch, job)
		case r.end != nil && r.end.attempt == job.Attempt:
			err = r.settle(ctx, watch)
		default:
			err = r.follow(ctx, watch, job)
		}
		if err != nil {
			return err
		}
	}
	return ctx.Err()
}

func jobRow(id string) fsm.Row { return fsm.Row{Table: fsm.TableJob, ID: id} }

// job is the newest row known: this replica's, or the leader's answer while the replica is behind it.
func (r *reader) job(ctx context.Context) (*fsm.Job, error) {
	v := r.s.queen.View()
	if j, ok := v.Job(r.id); ok && (r.hint == nil || v.Meta().Index >= r.since) {
		r.hint = nil
		return j, nil
	}
	if r.hint != nil && v.Meta().Index < r.since {
		return r.hint, nil
	}
	j, _, err := r.s.findJob(ctx, r.id)
	if errors.Is(err, &fsm.Error{Code: fsm.CodeNotFound}) {
		return nil, fsm.Errorf(fsm.CodeEventsExpired, "job %s is retained no longer", r.id)
	}
	return j, err
}

// queued tells the client where the job stands and waits for its row to change.
func (r *reader) queued(ctx context.Context, watch Watch, job *fsm.Job) error {
	if err := r.enter(job, "queued", queuedEvent{JobID: r.id, Position: position(r.s.queen.View(), job)}); err != nil {
		return err
	}
	return r.wait(ctx, watch, 0)
}

// wait returns after a change of the job's row, after most (0: no limit), or with the
// client's context. Comments go out meanwhile.
func (r *reader) wait(ctx context.Context, watch Watch, most time.Duration) error {
	if err := r.sink.begin(); err != nil {
		return err
	}
	var over <-chan time.Time
	if most > 0 {
		timer := time.NewTimer(most)
		defer timer.Stop()
		over = timer.C
	}
	for {
		select {
		case <-watch.C():
			return nil
		case <-over:
			return nil
		case <-r.alive.C:
			if err := r.sink.comment(); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// enter makes the client ready for a job's current attempt: what it has of an earlier one
// is taken back (retry) or cannot be (stream_diverged); then note is told, if the client is
// not merely resuming where it was.
func (r *reader) enter(job *fsm.Job, name string, note any) error {
	if r.has.attempt != job.Attempt && job.State != fsm.JobQueued {
		if r.has.n > 0 || r.retried {
			if err := r.sink.restart(job, r.has.n); err != nil {
				return err
			}
			r.resumed, r.retried = false, true
		}
		r.has, r.end = resumeID{attempt: job.Attempt}, nil
	}
	if note == nil || r.resumed {
		return nil
	}
	return r.sink.note(name, note)
}

// backoff is the pause before another attachment.
func (r *reader) backoff() time.Duration {
	r.tries++
	return min(time.Second, 50*time.Millisecond<<min(r.tries, 6))
}

// settle carries the held end to the leader and waits until this replica has what came of it.
func (r *reader) settle(ctx context.Context, watch Watch) error {
	if r.end.reported == nil {
		r.end.reported = r.s.report(r.end.record)
	}
	for {
		select {
		case rep := <-r.end.reported:
			r.end.reported = nil
			if rep.err == nil {
				_, rep.err = r.s.queen.WaitIndex(ctx, rep.index)
			}
			if rep.err == nil {
				return nil
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err := r.sink.unsettled(r.id, rep.err); err != nil {
				return err
			}
			return r.wait(ctx, watch, r.backoff())
		case <-watch.C():
			return nil // the hive's own word may have been quicker
		case <-r.alive.C:
			if err := r.sink.comment(); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// finish writes the end of an ended job, after whatever the client still lacks of its records.
func (r *reader) finish(ctx context.Context, watch Watch, job *fsm.Job) error {
	if err := r.enter(job, "", nil); err != nil {
		return err
	}
	if r.resumed && hasEnd(job, r.has) {
		return r.sink.begin()
	}
	if r.lacks(job) {
		if err := r.fetch(ctx, watch, job); err != nil {
			return err
		}
	}
	var rest []byte
	if r.end != nil && r.end.attempt == job.Attempt {
		rest = r.end.rest
		if whole, ok := r.sink.(*wholeSink); ok {
			whole.answer = r.end.record.Answer
		}
	}
	// Where the record is lost (Events 0), the end follows what this reader was sent.
	return r.sink.end(job, max(job.Events, r.has.n), rest)
}

// hasEnd tells that a client brings the id of the job's end: it has everything. Where something
// was delivered but the terminal record is lost (Events 0), no id tells that.
func hasEnd(job *fsm.Job, has resumeID) bool {
	lost := job.Events == 0 && job.Delivered
	return job.State.Ended() && !lost && has == resumeID{job.Attempt, job.Events + 1}
}

// beyond refuses a Last-Event-ID that no stream of the job can have sent.
func (r *reader) beyond(job *fsm.Job) error {
	if !r.resumed {
		return nil
	}
	var over bool
	switch {
	case r.has.attempt != job.Attempt:
		over = r.has.attempt > job.Attempt
	case !job.State.Ended():
		over = job.Attempt == 0 && r.has.n > 0 // the hive knows about the records of an attempt
	default:
		over = (job.Events > 0 || job.Attempt == 0) && r.has.n > job.Events+1
	}
	if over {
		return fsm.Errorf(fsm.CodeInvalid, "Last-Event-ID: %s is beyond what job %s has", eventID(r.has.attempt, r.has.n), r.id)
	}
	return nil
}

// lacks tells whether the hive's log is needed to end this stream.
func (r *reader) lacks(job *fsm.Job) bool {
	if job.Attempt == 0 || r.end != nil && r.end.attempt == job.Attempt {
		return false
	}
	if r.sink.whole() {
		return job.State == fsm.JobComplete
	}
	return r.has.n < job.Events || job.State == fsm.JobComplete && r.sink.needsRest()
}
