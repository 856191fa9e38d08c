package httpapi

import (
	"bytes"
	"errors"
	"time"

	"queen-rbee/fsm"
	"queen-rbee/hives"
)

// sink is where a reader's job goes: native SSE, OpenAI SSE, or one whole answer. Errors
// are the client's connection failing, unless said otherwise.
type sink interface {
	api() string // which rendering the hive should make
	whole() bool // folded at the end instead of frames
	needsRest() bool
	begin() error                                                  // headers, once it is certain that there is something to stream
	note(name string, data any) error                              // an event without id that the queen makes from the state
	frames(b []byte) error                                         // whole frames from the hive
	comment() error                                                // keep proxies awake
	keepAwake(every time.Duration) (next time.Duration, err error) // comment unless something was written lately; may be called beside the others
	restart(job *fsm.Job, had uint64) error                        // what the client has of an earlier attempt is void; may be an error to tell
	unsettled(job string, err error) error                         // the end cannot be committed for now; may be an error to tell
	end(job *fsm.Job, n uint64, rest []byte) error                 // the job's committed end; n is the number of its last record
	fail(err error) error                                          // an error of the stream alone; returns it if it could not be written into the stream
	stream() *sse                                                  // where frames go; nil when they go nowhere
}

// diverged tells an OpenAI reader that its text cannot go on.
func diverged(job *fsm.Job) error {
	return fsm.Errorf(codeDiverged, "attempt %d starts the text anew, after some of an earlier one was delivered: %s", job.Attempt, lastReason(job))
}

// nativeSink streams the events of api.md.
type nativeSink struct{ out *sse }

func (n nativeSink) begin() error          { return n.out.open() }
func (nativeSink) api() string             { return hives.APITask }
func (nativeSink) whole() bool             { return false }
func (nativeSink) needsRest() bool         { return false }
func (n nativeSink) comment() error        { return n.out.comment() }
func (n nativeSink) frames(b []byte) error { return n.out.write(b) }
func (n nativeSink) stream() *sse          { return n.out }

func (n nativeSink) keepAwake(every time.Duration) (time.Duration, error) {
	return n.out.keepAwake(every)
}

func (n nativeSink) note(name string, data any) error {
	return n.out.write(appendEvent(nil, name, "", data))
}

func (n nativeSink) restart(job *fsm.Job, _ uint64) error {
	return n.note("retry", retryEvent{Attempt: job.Attempt, Reason: lastReason(job), FromI: job.Begin.I})
}

func (nativeSink) unsettled(string, error) error { return nil }

func (n nativeSink) end(job *fsm.Job, last uint64, _ []byte) error {
	id := eventID(job.Attempt, last+1)
	if job.State == fsm.JobComplete {
		return n.out.write(appendEvent(nil, "end", id, endOf(job)))
	}
	e := endError(job)
	return n.out.write(appendEvent(lostEnd(job, last), "error", id, errorEvent{Code: e.Code, Message: e.Message}))
}

// lostEnd is what goes before the error of a job whose terminal record is lost. Its id follows
// what this reader was sent, so no queen knows it again when an EventSource brings it back for
// more, and answers with another: let that be in an hour.
func lostEnd(job *fsm.Job, last uint64) []byte {
	if job.Events > 0 || last == 0 {
		return nil
	}
	return []byte("retry: 3600000\n")
}

func (n nativeSink) fail(err error) error {
	if !n.out.opened() {
		return err
	}
	f := failureOf(err)
	return errors.Join(errWritten, n.out.write(appendEvent(nil, "error", "", errorEvent{Code: f.code, Message: f.message, Scope: "stream"})))
}

// openAISink streams the engine's own chunks. With late it sends the headers with the first of
// them, with the first comment due or when the job is queued: what fails before has the
// status of its error.
type openAISink struct {
	out  *sse
	late bool
}

func (openAISink) api() string      { return hives.APIOpenAI }
func (openAISink) whole() bool      { return false }
func (openAISink) needsRest() bool  { return true }
func (o openAISink) comment() error { return o.out.comment() }
func (o openAISink) stream() *sse   { return o.out }

func (o openAISink) keepAwake(every time.Duration) (time.Duration, error) {
	return o.out.keepAwake(every)
}

func (o openAISink) begin() error {
	if o.late {
		return nil
	}
	return o.out.open()
}

func (o openAISink) frames(b []byte) error {
	if o.late && onlyIDs(b) && !o.out.opened() {
		o.out.hold(b) // it has started; its engine may still refuse it
		return nil
	}
	return o.out.write(b)
}

// onlyIDs tells lines that hold nothing but ids of records without a chunk.
func onlyIDs(b []byte) bool {
	for line := range bytes.Lines(b) {
		if !bytes.HasPrefix(line, []byte("id: ")) {
			return false
		}
	}
	return true
}

// note tells waiting as a comment: an OpenAI client knows no other events.
func (o openAISink) note(name string, _ any) error {
	if name != "queued" {
		return o.begin()
	}
	return o.out.write([]byte(": queued\n"))
}

func (openAISink) restart(job *fsm.Job, had uint64) error {
	if had > 1 {
		return diverged(job)
	}
	return nil
}

func (openAISink) unsettled(string, error) error { return nil }

func (o openAISink) end(job *fsm.Job, last uint64, rest []byte) error {
	if job.State == fsm.JobComplete {
		return o.out.write(rest)
	}
	// SDKs try again after most errors of a status, which nobody who cancelled wants.
	if o.late && !o.out.opened() && job.State != fsm.JobCancelled {
		return &jobError{job: job.ID, err: endError(job)}
	}
	f := failureOf(endError(job))
	return o.out.write(appendEvent(lostEnd(job, last), "", eventID(job.Attempt, last+1), openAIErrorOf(f)))
}

func (o openAISink) fail(err error) error {
	if !o.out.opened() {
		return err
	}
	f := failureOf(err)
	data := struct {
		openAIError
		Scope string `json:"scope"`
	}{openAIErrorOf(f), "stream"}
	return errors.Join(errWritten, o.out.write(appendEvent(nil, "", "", data)))
}

// errWritten marks a failure that the client has been told inside its stream.
var errWritten = errors.New("told inside the stream")

// wholeSink keeps nothing but the answer of the end: folded from a stream, or as it came.
type wholeSink struct {
	form   string // hives.APITask or hives.APIOpenAI
	job    *fsm.Job
	answer *hives.Answer // what folded is, if it came as it is
	folded []byte
}

func (*wholeSink) begin() error                   { return nil }
func (w *wholeSink) api() string                  { return w.form }
func (*wholeSink) whole() bool                    { return true }
func (*wholeSink) needsRest() bool                { return true }
func (*wholeSink) note(string, any) error         { return nil }
func (*wholeSink) frames([]byte) error            { return nil }
func (*wholeSink) comment() error                 { return nil }
func (*wholeSink) restart(*fsm.Job, uint64) error { return nil }
func (*wholeSink) fail(err error) error           { return err }
func (*wholeSink) stream() *sse                   { return nil }

func (*wholeSink) keepAwake(every time.Duration) (time.Duration, error) { return every, nil }

// unsettled gives up: a caller without a stream cannot be kept waiting under comments.
func (*wholeSink) unsettled(job string, err error) error {
	return &jobError{job: job, err: fsm.Errorf(fsm.CodeUnknownOutcome,
		"job %s has ended on its hive, but no leader could be told: %v; ask again for its result", job, err)}
}

func (w *wholeSink) end(job *fsm.Job, _ uint64, rest []byte) error {
	w.job = job
	if job.State == fsm.JobCancelled {
		return &jobError{job: job.ID, err: fsm.Errorf(fsm.CodeConflict, "job %s was cancelled; it has no result", job.ID)}
	}
	if job.State != fsm.JobComplete {
		return &jobError{job: job.ID, err: endError(job)}
	}
	if w.answer != nil && int64(len(rest)) == w.answer.Bytes {
		w.folded = rest
		return nil
	}
	for line := range bytes.Lines(rest) {
		if data, ok := bytes.CutPrefix(line, []byte("data: ")); ok {
			w.folded = bytes.TrimRight(data, "\n")
			return nil
		}
	}
	return &jobError{job: job.ID, err: fsm.Errorf(fsm.CodeOutputExpired, "the hive gave no output of job %s", job.ID)}
}
