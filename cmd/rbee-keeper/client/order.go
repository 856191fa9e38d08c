package client

import "fmt"

// Violation means that a stream broke its contract: a gap, a mix of attempts, an event
// without its id. It is a bug of the server's, not a failure of the job.
type Violation struct {
	JobID   string
	Problem string
}

func (v *Violation) Error() string {
	return fmt.Sprintf("stream of job %s broke its contract: %s", v.JobID, v.Problem)
}

// StreamError is an error of the stream alone ("scope":"stream"): stream_diverged or
// output_expired. The job itself may well have ended complete.
type StreamError struct {
	JobID, Code, Message string
}

func (e *StreamError) Error() string { return e.Code + ": " + e.Message }

// order checks that records come whole: the rules about ids in one place.
type order struct {
	last    EventID // newest record taken
	retryTo uint32  // attempt announced by a retry that has not begun yet, 0: none
	fromI   uint64  // where that retry begins
	nextI   uint64  // index of the next token
	ended   bool
	repeats int // records that came again and were dropped
}

// take says whether an event is new and may be shown.
func (o *order) take(ev Event) (bool, error) {
	if o.ended {
		return false, o.broken("%q %s came after the end", ev.Kind, ev.ID)
	}
	switch ev.Kind {
	case Queued, Assigned:
		return true, nil
	case Retry:
		return o.retry(ev), nil
	default: // kinds from the future too: with an id they are records
		return o.record(ev)
	}
}

// retry takes an announcement; it may come again, and only the first is news.
func (o *order) retry(ev Event) bool {
	to := ev.Data.Attempt
	if to <= o.last.Attempt || to == o.retryTo {
		return false
	}
	o.retryTo, o.fromI = to, ev.Data.FromI
	return true
}

func (o *order) record(ev Event) (bool, error) {
	if ev.ID.IsZero() {
		if ev.Kind == Failure && ev.Data.Scope == "stream" {
			return true, nil
		}
		if ev.Kind != Started && ev.Kind != Token && !ev.Final() {
			return ev.Kind != "", nil
		}
		return false, o.broken("%q came without an id after %s", ev.Kind, o.last)
	}
	final := ev.Final()
	switch {
	case ev.ID.Attempt < o.last.Attempt:
		return false, o.broken("record %s of an older attempt came after %s", ev.ID, o.last)
	case ev.ID.Attempt == o.last.Attempt && ev.ID.Seq <= o.last.Seq:
		o.repeats++
		return false, nil
	case ev.ID.Attempt == o.last.Attempt:
		if ev.ID.Seq != o.last.Seq+1 {
			return false, o.broken("gap: %s came after %s", ev.ID, o.last)
		}
	default:
		if err := o.begin(ev); err != nil {
			return false, err
		}
	}
	if ev.Kind == Token {
		if ev.Data.I != o.nextI {
			return false, o.broken("token %s has index %d where %d belongs", ev.ID, ev.Data.I, o.nextI)
		}
		o.nextI++
	}
	o.last, o.ended = ev.ID, final
	return ev.Kind != "", nil
}

// begin takes the first record of a later attempt: the beginning anew, or the place where
// the one before stopped. If text was shown before, a retry must have said so; only an error
// may end a job whose later attempts showed nothing.
func (o *order) begin(ev Event) error {
	if ev.Kind == Failure {
		return nil
	}
	anew, goesOn := ev.ID.Seq == 1, ev.ID.Seq == o.last.Seq+1
	switch {
	case o.last.Seq == 0 && !anew:
		return o.broken("gap: the first record is %s", ev.ID)
	case o.nextI > 0 && o.retryTo != ev.ID.Attempt:
		return o.broken("%s came after %s and no retry said so", ev.ID, o.last)
	case !anew && !goesOn:
		return o.broken("gap: attempt %d begins with %s after %s", ev.ID.Attempt, ev.ID, o.last)
	}
	from := uint64(0)
	if o.retryTo == ev.ID.Attempt {
		from = o.fromI
	}
	if from > o.nextI || anew && from > 0 {
		return o.broken("attempt %d begins with %s at token %d, after %d tokens", ev.ID.Attempt, ev.ID, from, o.nextI)
	}
	o.nextI = from
	return nil
}

func (o *order) broken(format string, args ...any) error {
	return &Violation{Problem: fmt.Sprintf(format, args...)}
}
