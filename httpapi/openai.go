package httpapi

import (
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"queen-rbee/fsm"
	"queen-rbee/hives"
)

// openAIGrace is how long a run on /v1 waits once its client was seen to go: SDKs do not come back.
const openAIGrace = 500 * time.Millisecond

// openAIRequest is what is read of an OpenAI body; everything else goes through as it came.
type openAIRequest struct {
	Model               string          `json:"model"`
	Stream              bool            `json:"stream"`
	MaxTokens           *int            `json:"max_tokens"`
	MaxCompletionTokens *int            `json:"max_completion_tokens"`
	N                   *int            `json:"n"`
	Messages            json.RawMessage `json:"messages"`
	Prompt              json.RawMessage `json:"prompt"`
}

// chatCompletions is POST /v1/chat/completions.
func (s *Server) chatCompletions(w http.ResponseWriter, r *request) error {
	return s.openAI(w, r, func(o *openAIRequest) error {
		var messages []json.RawMessage
		if json.Unmarshal(o.Messages, &messages) != nil || len(messages) == 0 || len(messages) > maxMessages {
			return fsm.Errorf(fsm.CodeInvalid, "messages: must be a list of 1 to %d messages", maxMessages)
		}
		for i, m := range messages {
			if err := validateMessage(i, m); err != nil {
				return err
			}
		}
		return nil
	})
}

// completions is POST /v1/completions.
func (s *Server) completions(w http.ResponseWriter, r *request) error {
	return s.openAI(w, r, func(o *openAIRequest) error {
		switch {
		case len(o.Prompt) == 0 || string(o.Prompt) == "null":
			return fsm.Errorf(fsm.CodeInvalid, "prompt: is missing")
		case o.Prompt[0] != '"' && o.Prompt[0] != '[':
			return fsm.Errorf(fsm.CodeInvalid, "prompt: is %.40q, must be a string or a list", o.Prompt)
		}
		return nil
	})
}

func (s *Server) openAI(w http.ResponseWriter, r *request, validate func(*openAIRequest) error) error {
	var o openAIRequest
	if err := decodeOpen(r.body, &o); err != nil {
		return err
	}
	if err := o.validate(validate); err != nil {
		return err
	}
	job := fsm.Job{
		Model: o.Model, API: hives.APIOpenAI, Path: r.URL.Path, Stream: o.Stream,
		OnLoss: fsm.LossFail, Body: fsm.PackBody(r.body),
	}
	within, err := r.extensions(&job)
	if err != nil {
		return err
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
	if o.Stream {
		return s.stream(r.Context(), sub, openAISink{out: newSSE(w, r.Request), late: true}, r.grace(openAIGrace))
	}
	sink := &wholeSink{form: hives.APIOpenAI}
	if err := s.stream(r.Context(), sub, sink, r.grace(openAIGrace)); err != nil {
		return err
	}
	return writeBytes(w, sink.folded)
}

func (o *openAIRequest) validate(more func(*openAIRequest) error) error {
	if err := validateModel(o.Model); err != nil {
		return err
	}
	for name, v := range map[string]*int{"max_tokens": o.MaxTokens, "max_completion_tokens": o.MaxCompletionTokens} {
		if v != nil && (*v < 1 || *v > maxTokens) {
			return fsm.Errorf(fsm.CodeInvalid, "%s: is %d, must be 1 to %d", name, *v, maxTokens)
		}
	}
	if o.N != nil && (*o.N < 1 || *o.N > 128) {
		return fsm.Errorf(fsm.CodeInvalid, "n: is %d, must be 1 to 128", *o.N)
	}
	return more(o)
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

// listModels is GET /v1/models: everything that could be served, loaded or not.
func (s *Server) listModels(w http.ResponseWriter, r *request) error {
	items := s.models(r.view)
	s.index(w, r.view.Meta().Index)
	return writeJSON(w, http.StatusOK, map[string]any{"object": "list", "data": items})
}

// showModel is GET /v1/models/{id}. What this replica does not know is asked of the leader.
func (s *Server) showModel(w http.ResponseWriter, r *request) error {
	find := func(v *fsm.View) error {
		for _, m := range s.models(v) {
			if m.ID == r.vars["id"] {
				s.index(w, v.Meta().Index)
				return writeJSON(w, http.StatusOK, m)
			}
		}
		return fsm.Errorf(fsm.CodeModelNotFound, "model %.100q is offered by no hive; GET /v1/models lists what there is", r.vars["id"])
	}
	err := find(r.view)
	if !errors.Is(err, &fsm.Error{Code: fsm.CodeModelNotFound}) {
		return err
	}
	v, err := s.queen.Strong(r.Context())
	if err != nil {
		return err
	}
	return find(v)
}
