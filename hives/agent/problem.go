package agent

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"time"

	"queen-rbee/hives"
	"queen-rbee/hives/models"
	"queen-rbee/hives/runlog"
)

const (
	codeTimeout  = "timeout"
	codeInternal = "internal"
	codeMethod   = "method_not_allowed"
)

// statuses is the one table from code to HTTP status; what is not in it is internal.
var statuses = map[string]int{
	hives.CodeInvalid:         http.StatusBadRequest,
	hives.CodeUnauthenticated: http.StatusUnauthorized,
	hives.CodeNotFound:        http.StatusNotFound,
	codeMethod:                http.StatusMethodNotAllowed,
	codeTimeout:               http.StatusRequestTimeout,
	hives.CodeStale:           http.StatusConflict,
	hives.CodeOutputExpired:   http.StatusGone,
	hives.CodeTooLarge:        http.StatusRequestEntityTooLarge,
	codeBusy:                  http.StatusServiceUnavailable,
	models.CodeNotThere:       http.StatusUnprocessableEntity,
	models.CodeForbidden:      http.StatusUnprocessableEntity,
	models.CodeRefused:        http.StatusUnprocessableEntity,
	models.CodeChanged:        http.StatusUnprocessableEntity,
	models.CodeDigest:         http.StatusUnprocessableEntity,
	models.CodeUnreachable:    http.StatusBadGateway,
	models.CodeNoSpace:        http.StatusInsufficientStorage,
	models.CodeDisk:           http.StatusInternalServerError,
}

// problem is an RFC 9457 body.
type problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	Code   string `json:"code"`
}

// failureOf finds the code of an error. Text without one is for the log alone.
func failureOf(err error) *hives.Error {
	if e, ok := errors.AsType[*hives.Error](err); ok {
		return e
	}
	if big, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return hives.Errorf(hives.CodeTooLarge, "the body is over %d bytes", big.Limit)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return hives.Errorf(codeTimeout, "the body did not come within %v", bodyTime)
	}
	if errors.Is(err, runlog.ErrClosed) {
		return hives.Errorf(codeBusy, "this hive's agent is stopping")
	}
	return hives.Errorf(codeInternal, "something went wrong inside this hive; its log says what")
}

// writeProblem answers with an error, before anything else was written.
func (s *server) writeProblem(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil && errors.Is(err, context.Canceled) {
		return // the client went away
	}
	e := failureOf(err)
	status, known := statuses[e.Code]
	if !known {
		status = http.StatusInternalServerError
		s.logger.Error("request failed", "method", r.Method, "path", r.URL.Path, "error", err)
	}
	h := w.Header()
	switch status {
	case http.StatusServiceUnavailable:
		h.Set("Retry-After", "2")
	case http.StatusUnauthorized:
		h.Set("WWW-Authenticate", "Bearer")
	}
	h.Set("Content-Type", "application/problem+json")
	within(w, writeTime)
	w.WriteHeader(status)
	p := problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: e.Message, Code: e.Code}
	_ = json.NewEncoder(w).Encode(p) // a client that has gone does not read it
}

// within bounds the writes of an answer that is made now.
func within(w http.ResponseWriter, d time.Duration) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(d)) // a dead connection fails at the write
}

func writeJSON(w http.ResponseWriter, status int, v any) error {
	w.Header().Set("Content-Type", "application/json")
	within(w, writeTime)
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // as above
	return nil
}
