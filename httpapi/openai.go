package httpapi

import (
	"net/http"
	"time"

	"queen-rbee/fsm"
	"queen-rbee/hives"
)

// openAIGrace is how long a run on /v1 waits once its client was seen to go: SDKs do not come back.
const openAIGrace = 500 * time.Millisecond

// chatCompletions is POST /v1/chat/completions.
func (s *Server) chatCompletions(w http.ResponseWriter, r *request) error {
	return s.openAI(w, r, chatFields, "messages")
}

// completions is POST /v1/completions.
func (s *Server) completions(w http.ResponseWriter, r *request) error {
	return s.openAI(w, r, completionFields, "prompt")
}

// openAI runs a job for a body whose fields have shapes; the needed one must be there.
func (s *Server) openAI(w http.ResponseWriter, r *request, shapes map[string]shape, needed string) error {
	if err := saysJSON(r.Header.Get("Content-Type")); err != nil {
		return err
	}
	chat := chatJob{body: r.body, path: r.URL.Path, shapes: shapes, needed: needed}
	return s.runChat(w, r, chat, func(sub *reader, stream bool) error {
		if stream {
			return s.stream(r.Context(), sub, openAISink{out: newSSE(w, r.Request), late: true}, r.grace(openAIGrace))
		}
		sink := &wholeSink{form: hives.APIOpenAI}
		if err := s.stream(r.Context(), sub, sink, r.grace(openAIGrace)); err != nil {
			return err
		}
		return writeBytes(w, sink.folded)
	})
}

// chatJob is what an engine is asked, whatever API the client speaks.
type chatJob struct {
	body    []byte
	path    string
	shapes  map[string]shape // of the body's fields
	needed  string           // the one that must be there
	session string           // counts if no header names one
}

// runChat submits a chat and has it answered.
func (s *Server) runChat(w http.ResponseWriter, r *request, chat chatJob, answer func(sub *reader, stream bool) error) error {
	o, err := readOpenAI(chat.body, chat.shapes, chat.needed)
	if err != nil {
		return err
	}
	job := fsm.Job{
		Model: o.Model, API: hives.APIOpenAI, Path: chat.path, Stream: o.Stream,
		OnLoss: fsm.LossFail, KeepAlive: o.KeepAlive, Body: fsm.PackBody(o.Body),
	}
	within, err := r.extensions(&job)
	if err != nil {
		return err
	}
	if job.Session == "" {
		job.Session = chat.session
	}
	job.Grace = s.jobGrace(r)
	closeStream, err := s.openStream()
	if err != nil {
		return err
	}
	defer closeStream()
	sub, err := s.submit(w, r, job, within)
	if err != nil {
		return err
	}
	return answer(sub, o.Stream)
}

// extensions reads what OpenAI clients say in headers: priority, session, deadline.
func (r *request) extensions(job *fsm.Job) (within time.Duration, err error) {
	if job.Priority, err = priorityOf("X-Rbee-Priority", r.Header.Get("X-Rbee-Priority")); err != nil {
		return 0, err
	}
	job.Session = r.Header.Get("X-Rbee-Session")
	if err := validateName("X-Rbee-Session", job.Session, maxName); err != nil {
		return 0, err
	}
	return withinOf("X-Rbee-Deadline", r.Header.Get("X-Rbee-Deadline"))
}
