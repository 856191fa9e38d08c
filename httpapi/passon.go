package httpapi

import (
	"context"
	"time"

	"queen-rbee/fsm"
	"queen-rbee/hives"
)

// passOn gives the run to the pump, which has the client's connection.
func (r *reader) passOn(stream *hives.Stream, quiet time.Duration) (<-chan followed, bool) {
	return r.sink.stream().pipe.follow(stream, r.has.n, r.s.keepAlive, quiet)
}

// await sleeps while the pump copies: until the end mark, an error, the client's end, or while
// follow is set until the job has moved on.
func (r *reader) await(ctx context.Context, result <-chan followed, job *fsm.Job, follow bool) (*hives.Terminal, error) {
	var moved <-chan struct{}
	m := newMoving(r.s, job)
	defer m.stop()
	if follow {
		watch := r.s.queen.Watch(jobRow(job.ID))
		defer watch.Close()
		moved = watch.C()
	}
	p := r.sink.stream().pipe
	var f followed
	for waiting := true; waiting; {
		if follow && m.moved() {
			f.err = context.Canceled
			break
		}
		select {
		case f = <-result:
			waiting = false
		case <-m.late.C:
			f.err, waiting = context.Canceled, false
		case <-ctx.Done():
			f.err, waiting = ctx.Err(), false
		case <-moved:
		}
	}
	passed, err := p.unfollow()
	if passed > r.has.n {
		r.has.n, r.resumed, r.tries = passed, false, 0
	}
	if f.err == nil {
		f.err = err
	}
	return f.end, f.err
}
