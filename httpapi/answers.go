package httpapi

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"queen-rbee/fsm"
	"queen-rbee/hives"
)

// answerRequest is what is read of a request that has one answer; everything else, files too,
// goes through as it came.
type answerRequest struct {
	Model        string          `json:"model"`
	Stream       bool            `json:"stream"`
	StreamFormat string          `json:"stream_format"`
	N            *int            `json:"n"`
	Input        json.RawMessage `json:"input"`
	Query        json.RawMessage `json:"query"`
	Documents    json.RawMessage `json:"documents"`
	Prompt       json.RawMessage `json:"prompt"`
	KeepAlive    json.RawMessage `json:"keep_alive"`

	body      []byte // as the engine gets it
	keepAlive fsm.KeepAlive
}

// embeddings is POST /v1/embeddings.
func (s *Server) embeddings(w http.ResponseWriter, r *request) error {
	return s.answer(w, r, r.URL.Path, func(a *answerRequest) error { return needed("input", a.Input) })
}

// rerank is POST /v1/rerank, under the names that clients have for it.
func (s *Server) rerank(w http.ResponseWriter, r *request) error {
	return s.answer(w, r, "/v1/rerank", func(a *answerRequest) error {
		if err := needed("query", a.Query); err != nil {
			return err
		}
		return needed("documents", a.Documents)
	})
}

// speech is POST /v1/audio/speech.
func (s *Server) speech(w http.ResponseWriter, r *request) error {
	return s.answer(w, r, r.URL.Path, func(a *answerRequest) error { return needed("input", a.Input) })
}

// makeImages is POST /v1/images/generations.
func (s *Server) makeImages(w http.ResponseWriter, r *request) error {
	return s.answer(w, r, r.URL.Path, func(a *answerRequest) error { return needed("prompt", a.Prompt) })
}

// passForm is POST of a form with files: transcriptions, translations, edits and variations of
// images. What else it holds is the engine's to check.
func (s *Server) passForm(w http.ResponseWriter, r *request) error {
	return s.answer(w, r, r.URL.Path, func(*answerRequest) error { return nil })
}

// needed refuses a field that is missing, or has nothing in it.
func needed(name string, v json.RawMessage) error {
	switch string(v) {
	case "", "null", `""`, "[]", "{}":
		return fsm.Errorf(fsm.CodeInvalid, "%s: is missing or empty", name)
	}
	return nil
}

// answer runs a job whose engine is asked at path, and answers with what that answers.
func (s *Server) answer(w http.ResponseWriter, r *request, path string, more func(*answerRequest) error) error {
	a, contentType, err := r.answerRequest()
	if err != nil {
		return err
	}
	if err := a.validate(more); err != nil {
		return err
	}
	job := fsm.Job{
		Model: a.Model, API: hives.APIOpenAI, Path: path, ContentType: contentType,
		OnLoss: fsm.LossFail, KeepAlive: a.keepAlive, Body: fsm.PackBody(a.body),
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
	defer sub.letGoAnswer()
	sink := &wholeSink{form: hives.APIOpenAI}
	if err := s.stream(r.Context(), sub, sink, r.grace(openAIGrace)); err != nil {
		return err
	}
	if sink.answer == nil { // joined by its Idempotency-Key, it cannot be another kind of job
		return writeBytes(w, sink.folded)
	}
	return writeAnswer(w, sink.answer.ContentType, sink.folded)
}

// answerRequest reads a body that is JSON or a form. The content type is empty for JSON.
func (r *request) answerRequest() (a *answerRequest, contentType string, err error) {
	a = &answerRequest{}
	if contentType = r.Header.Get("Content-Type"); isForm(contentType) {
		a.body = r.body
		r.said, err = readForm(r.body, contentType, a)
		return a, contentType, err
	}
	if err := decodeOpen(r.body, a); err != nil {
		return nil, "", err
	}
	fields, err := decodeBare(r.body)
	if err == nil {
		a.body, a.keepAlive, err = takeKeepAlive(r.body, fields)
	}
	return a, "", err
}

func (a *answerRequest) validate(more func(*answerRequest) error) error {
	if err := validateModel(a.Model); err != nil {
		return err
	}
	switch {
	case a.Stream:
		return fsm.Errorf(fsm.CodeInvalid, "stream: this call has one answer and is not streamed; leave it out")
	case a.StreamFormat != "" && !strings.EqualFold(a.StreamFormat, "audio"):
		return fsm.Errorf(fsm.CodeInvalid, "stream_format: is %.40q, but this call has one answer and is not streamed; leave it out", a.StreamFormat)
	case a.N != nil && (*a.N < 1 || *a.N > 128):
		return fsm.Errorf(fsm.CodeInvalid, "n: is %d, must be 1 to 128", *a.N)
	}
	return more(a)
}

// pieceOf is how much of an answer is written at once, each piece within answerFor.
const pieceOf = 1 << 20

// writeAnswer answers with a body byte for byte.
func writeAnswer(w http.ResponseWriter, contentType string, body []byte) error {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.Header().Set("X-Content-Type-Options", "nosniff")
	for piece := range slices.Chunk(body, pieceOf) {
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(answerFor)) // a test's recorder has none
		if _, err := w.Write(piece); err != nil {
			return err
		}
	}
	return nil
}
