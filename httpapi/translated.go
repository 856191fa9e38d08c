package httpapi

import (
	"bytes"
	"errors"
	"net/http"
	"time"

	"github.com/oklog/ulid/v2"

	"queen-rbee/fsm"
	"queen-rbee/hives"
	"queen-rbee/httpapi/translate"
)

// responses is POST /v1/responses, of the OpenAI API.
func (s *Server) responses(w http.ResponseWriter, r *request) error {
	return s.translated(w, r, translate.Responses)
}

// messages is POST /v1/messages, of Anthropic's API.
func (s *Server) messages(w http.ResponseWriter, r *request) error {
	return s.translated(w, r, translate.Messages)
}

// translated runs a chat for a request of another API and tells its answer in that API's words.
func (s *Server) translated(w http.ResponseWriter, r *request, read func([]byte) (*translate.Request, error)) error {
	t, err := s.readTranslated(r, read)
	if err != nil {
		return err
	}
	chat := chatJob{body: t.Body, path: "/v1/chat/completions", shapes: chatFields, needed: "messages", session: t.Session}
	return s.runChat(w, r, chat, func(sub *reader, stream bool) error {
		run := translate.Run{Job: sub.id, Created: createdAt(sub.id)}
		if stream {
			return s.stream(r.Context(), sub, newTranslatedSink(w, r, t.Answer(run)), r.grace(openAIGrace))
		}
		sink := &wholeSink{form: hives.APIOpenAI}
		if err := s.stream(r.Context(), sub, sink, r.grace(openAIGrace)); err != nil {
			return err
		}
		body, err := t.Answer(run).Whole(sink.folded)
		if err != nil {
			return &jobError{job: sub.id, err: untold(err)}
		}
		return writeBytes(w, body)
	})
}

// readTranslated reads a body of another API, within the bounds of all bodies.
func (s *Server) readTranslated(r *request, read func([]byte) (*translate.Request, error)) (*translate.Request, error) {
	if err := saysJSON(r.Header.Get("Content-Type")); err != nil {
		return nil, err
	}
	if _, err := decodeBare(r.body); err != nil {
		return nil, err
	}
	t, err := read(r.body)
	if e, ok := errors.AsType[*translate.FieldError](err); ok {
		return nil, errField(e.Field, "%s", e.Message)
	}
	if err == nil && len(t.Body) > s.cfg.BodyLimit {
		err = fsm.Errorf(fsm.CodeTooLarge, "body: %d bytes as the engine gets it, at most %d are taken", len(t.Body), s.cfg.BodyLimit)
	}
	return t, err
}

// createdAt is when a job's id was made, in Unix seconds: the same on every queen.
func createdAt(job string) int64 {
	id, err := ulid.ParseStrict(job)
	if err != nil { // ids are ours
		return 0
	}
	return ulid.Time(id.Time()).Unix()
}

// untold is an answer of an engine that the client's API has no words for.
func untold(err error) error { return fsm.Errorf(fsm.CodeWorkerFailed, "%v", err) }

// translatedSink streams an engine's chunks as the events of another API. What opens the stream
// goes out with its headers, which come as late as those of an openAISink.
type translatedSink struct {
	out    *sse
	answer translate.Answer
	buf    []byte
}

func newTranslatedSink(w http.ResponseWriter, r *request, answer translate.Answer) *translatedSink {
	out := newSSE(w, r.Request)
	out.hold(answer.Begin())
	out.awake = answer.Idle()
	return &translatedSink{out: out, answer: answer}
}

func (*translatedSink) api() string                   { return hives.APIOpenAI }
func (*translatedSink) whole() bool                   { return false }
func (*translatedSink) needsRest() bool               { return true }
func (*translatedSink) begin() error                  { return nil }
func (t *translatedSink) comment() error              { return t.out.comment() }
func (*translatedSink) unsettled(string, error) error { return nil }
func (*translatedSink) stream() *sse                  { return nil } // nothing is copied as it is

func (t *translatedSink) keepAwake(every time.Duration) (time.Duration, error) {
	return t.out.keepAwake(every)
}

// note opens the stream of a job that has to wait.
func (t *translatedSink) note(name string, _ any) error {
	if name != "queued" {
		return nil
	}
	return t.out.write([]byte(": queued\n"))
}

func (t *translatedSink) frames(b []byte) error {
	t.buf = t.buf[:0]
	if err := t.chunks(b); err != nil || len(t.buf) == 0 {
		return err
	}
	return t.out.write(t.buf)
}

// chunks puts the events of an engine's frames into buf. What cannot be told ends the stream.
func (t *translatedSink) chunks(frames []byte) error {
	for line := range bytes.Lines(frames) {
		data, ok := bytes.CutPrefix(line, []byte("data: "))
		if !ok {
			continue // ids, comments
		}
		if data = bytes.TrimRight(data, "\n"); string(data) == "[DONE]" {
			continue
		}
		var err error
		if t.buf, err = t.answer.Chunk(t.buf, data); err != nil {
			t.buf = t.answer.Fail(t.buf, toldFailure(untold(err), true))
			return errors.Join(errWritten, errClient, t.out.write(t.buf))
		}
	}
	return nil
}

// restart goes on as if nothing were while the client has no part of the answer.
func (*translatedSink) restart(job *fsm.Job, had uint64) error {
	if had > 1 {
		return diverged(job)
	}
	return nil
}

func (t *translatedSink) end(job *fsm.Job, _ uint64, rest []byte) error {
	t.buf = t.buf[:0]
	switch {
	case job.State == fsm.JobComplete:
		if err := t.chunks(rest); err != nil {
			return err
		}
		t.buf = t.answer.End(t.buf, translate.Usage{Input: int64(job.Usage.Prompt), Output: int64(job.Usage.Completion)})
	case !t.out.opened() && job.State != fsm.JobCancelled: // as openAISink
		return &jobError{job: job.ID, err: endError(job)}
	default:
		t.buf = t.answer.Fail(t.buf, toldFailure(endError(job), false))
	}
	return t.out.write(t.buf)
}

func (t *translatedSink) fail(err error) error {
	if !t.out.opened() {
		return err
	}
	return errors.Join(errWritten, t.out.write(t.answer.Fail(nil, toldFailure(err, true))))
}

// toldFailure is a failure in the words of translate; alone, it says nothing of the job.
func toldFailure(err error, alone bool) translate.Failure {
	f := failureOf(err)
	return translate.Failure{Status: f.status, Code: f.code, Message: f.message, Stream: alone}
}
