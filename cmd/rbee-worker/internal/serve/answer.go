package serve

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"time"

	"queen-rbee/cmd/rbee-worker/internal/engine"
	"queen-rbee/cmd/rbee-worker/internal/openai"
)

// writeJSON answers with one object. That the client may be gone is nothing to act on.
func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		panic(err) // only types of this program are written, and all of them marshal
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeTimeout))
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n'))
}

// answerError turns an error into an answer; one that is about a client who is gone, or a
// process that is ending, breaks the connection instead: an answer would look like an end.
func (s *Server) answerError(w http.ResponseWriter, r *http.Request, err error) {
	var refused *openai.Error
	var exceeded *openai.ContextExceeded
	switch {
	case errors.As(err, &refused):
		writeJSON(w, refused.Status, refused)
	case errors.As(err, &exceeded):
		writeJSON(w, http.StatusBadRequest, exceeded)
	case errors.Is(err, engine.ErrQueueFull):
		w.Header().Set("Retry-After", "1")
		_, waiting := s.engine.Load().Slots().Busy()
		writeJSON(w, http.StatusServiceUnavailable, openai.Busy(waiting))
	case errors.Is(err, engine.ErrFault):
		writeJSON(w, http.StatusInternalServerError, openai.Failed(err.Error()))
	default:
		s.cfg.Log.Debug("request given up", "path", r.URL.Path, "error", err)
		panic(http.ErrAbortHandler)
	}
}

// readBody reads a bounded body within bodyTimeout.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(bodyTimeout))
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxBody))
	var tooLarge *http.MaxBytesError
	var slow net.Error
	switch {
	case err == nil:
		// Taken back at once: the server watches for the client's leaving by reading.
		_ = control.SetReadDeadline(time.Time{})
		return body, nil
	case errors.As(err, &tooLarge):
		return nil, &openai.Error{
			Status: http.StatusRequestEntityTooLarge, Type: "invalid_request_error", Code: "body_too_large",
			Message: "the body is over 32 MiB; send a smaller one",
		}
	case errors.As(err, &slow) && slow.Timeout():
		w.Header().Set("Connection", "close")
		return nil, &openai.Error{
			Status: http.StatusRequestTimeout, Type: "invalid_request_error", Code: "timeout",
			Message: "the body did not arrive within " + bodyTimeout.String(),
		}
	}
	return nil, errors.Join(context.Canceled, err)
}
