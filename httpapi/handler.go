package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/gorilla/mux"
	"github.com/oklog/ulid/v2"

	"queen-rbee/fsm"
)

// Headers of this API.
const (
	headerJob         = "X-Rbee-Job-Id"
	headerIndex       = "X-Rbee-Index"
	headerQueen       = "X-Rbee-Queen"
	headerRequest     = "X-Rbee-Request-Id"
	headerKnownLeader = "X-Rbee-Known-Leader"
	headerLastContact = "X-Rbee-Last-Contact"
	headerGrace       = "X-Rbee-Grace"
)

// request is a request that has passed the wrapper: its caller is known, its body read, and
// the view it asked for is at hand.
type request struct {
	*http.Request
	tenant    string
	admin     bool
	body      []byte
	said      []byte // what identifies the body, where that is not its bytes
	unread    bool   // a body comes that was not read
	vars      map[string]string
	view      *fsm.View
	graceTime time.Duration // of X-Rbee-Grace, below 0 when not given
	budget    *budget
	held      int64 // bytes of the budget
}

// statusWriter remembers what was answered.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *statusWriter) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach the connection.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// wrap makes a route into a handler: identity, bounds and consistency before it, errors
// and the log after it.
func (s *Server) wrap(rt route) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, hr *http.Request) {
		began := time.Now()
		w := &statusWriter{ResponseWriter: rw}
		if !s.join() {
			s.leaveBody(w)
			writeFailure(w, failureOf(errDraining()), hr.URL.Path)
			return
		}
		defer s.background.Done()
		// The deadlines of the connection's last answer are not this one's.
		_ = http.NewResponseController(rw).SetWriteDeadline(time.Time{})
		id := ulid.Make().String()
		w.Header().Set(headerQueen, s.cfg.Name)
		w.Header().Set(headerRequest, id)
		if speaksOpenAI(hr.URL.Path) {
			w.Header().Set("X-Request-Id", id) // where the OpenAI SDKs look for it
		}
		if speaksAnthropic(hr.URL.Path) {
			w.Header().Set("Request-Id", id) // where Anthropic's do
		}
		r := &request{Request: hr, vars: map[string]string{}, graceTime: -1, budget: s.budgetOf(rt.access), unread: hr.ContentLength != 0}
		err := s.serve(rt, w, r)
		r.releaseBody()
		if err != nil {
			s.answerError(w, r, id, err)
		}
		s.metrics.requests.WithLabelValues(rt.method, rt.path, strconv.Itoa(w.status)).Inc()
		s.log.Debug("request", "id", id, "method", hr.Method, "path", hr.URL.Path, "status", w.status, "took", time.Since(began))
	})
}

// serve brings a request to its handler.
func (s *Server) serve(rt route, w http.ResponseWriter, r *request) error {
	hr := r.Request
	if err := s.identify(rt.access, r); err != nil {
		return err
	}
	for k, v := range mux.Vars(hr) {
		plain, err := url.PathUnescape(v)
		if err != nil {
			return errField(k, "%.100q is not escaped as a path: %v", v, err)
		}
		if len(plain) > maxPathID {
			return errField(k, "%d bytes in the path, at most %d", len(plain), maxPathID)
		}
		r.vars[k] = plain
	}
	if g := hr.Header.Get(headerGrace); g != "" {
		d, err := time.ParseDuration(g)
		if err != nil || d < 0 || d > time.Hour {
			return errField(headerGrace, "%.40q must be a duration of 0s to 1h", g)
		}
		r.graceTime = d
	}
	if _, err := url.ParseQuery(hr.URL.RawQuery); err != nil {
		return errField("query", "does not parse: %v", err)
	}
	if rt.body != 0 {
		limit := rt.body
		if limit == large {
			limit = int64(s.cfg.BodyLimit)
		}
		if err := s.readBody(w, r, limit); err != nil {
			return err
		}
	} else if r.unread {
		s.leaveBody(w)
	}
	if err := s.consistency(w, r, rt.access == public); err != nil {
		return err
	}
	return rt.handle(s, w, r)
}

// consistency finds the view a request asked for: local, at least at an index, or strong.
func (s *Server) consistency(w http.ResponseWriter, r *request, always bool) error {
	r.view = s.queen.View()
	if always {
		return nil
	}
	defer func() { s.index(w, r.view.Meta().Index) }()
	if h := r.Header.Get(headerIndex); h != "" {
		index, err := strconv.ParseUint(h, 10, 64)
		if err != nil {
			return errField(headerIndex, "%.40q is not an index", h)
		}
		ctx, cancel := context.WithTimeout(r.Context(), 5*time.Second)
		defer cancel()
		v, err := s.queen.WaitIndex(ctx, index)
		if err != nil {
			return err
		}
		r.view = v
	}
	switch c := r.URL.Query().Get("consistency"); c {
	case "strong":
		v, err := s.queen.Strong(r.Context())
		if err != nil {
			return err
		}
		r.view = v
	case "", "local":
		if r.Method == http.MethodGet {
			st := s.queen.Status()
			w.Header().Set(headerKnownLeader, strconv.FormatBool(st.Leader != ""))
			w.Header().Set(headerLastContact, strconv.FormatInt(st.LastContact, 10))
		}
	default:
		return errField("consistency", "%.40q must be local or strong", c)
	}
	return nil
}

// grace is how long the run waits when this client goes; the header changes it.
func (r *request) grace(standard time.Duration) time.Duration {
	if r.graceTime >= 0 {
		return r.graceTime
	}
	return standard
}

// idempotencyKey is the key under which a repeat is the same request, empty when there is none.
func (r *request) idempotencyKey() (string, error) {
	keys := r.Header.Values("Idempotency-Key")
	if len(keys) == 0 {
		return "", nil
	}
	unfit := func(c rune) bool { return c < ' ' || c > '~' }
	if k := keys[0]; len(keys) > 1 || k == "" || len(k) > maxIdempotencyKey || strings.ContainsFunc(k, unfit) {
		return "", errField("Idempotency-Key", "give one of 1 to %d printable ASCII characters, or none", maxIdempotencyKey)
	}
	return keys[0], nil
}

// answerError tells the client, and the log what the client is not told.
func (s *Server) answerError(w *statusWriter, r *request, id string, err error) {
	if errors.Is(err, errWritten) {
		return
	}
	if s.drain.Err() != nil && errors.Is(err, context.Canceled) {
		err = errDraining()
	}
	f := failureOf(err)
	if f.code == fsm.CodeInternal {
		s.log.Error("request failed", "id", id, "method", r.Method, "path", r.URL.Path, "error", err)
	}
	if w.status != 0 { // after the first byte nothing can be told: break off
		if r.Context().Err() == nil {
			s.log.Warn("answer broke off", "id", id, "path", r.URL.Path, "error", err)
			panic(http.ErrAbortHandler)
		}
		return
	}
	if r.unread {
		s.leaveBody(w)
	}
	writeFailure(w, f, r.URL.Path)
}

// leaveBody ends the connection after the answer: the rest of a body that nobody reads must
// keep nobody waiting.
func (s *Server) leaveBody(w http.ResponseWriter) {
	w.Header().Set("Connection", "close")
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(min(time.Second, s.cfg.BodyTimeout)))
}

// isGone tells that there is nobody left to answer.
func isGone(err error) bool {
	return errors.Is(err, errClient) || errors.Is(err, context.Canceled)
}

func (s *Server) index(w http.ResponseWriter, index uint64) {
	w.Header().Set(headerIndex, strconv.FormatUint(index, 10))
}

// answerFor is how long an answer that is no stream may take to be read.
const answerFor = 30 * time.Second

// writeBytes answers with JSON as it is.
func writeBytes(w http.ResponseWriter, body []byte) error {
	w.Header().Set("Content-Type", "application/json")
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(answerFor))
	_, err := w.Write(body)
	return err
}

func writeJSON(w http.ResponseWriter, status int, v any) error {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(answerFor))
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	return json.NewEncoder(w).Encode(v)
}

// listJSON is the shape of every list.
type listJSON[T any] struct {
	Items      []T    `json:"items"`
	NextCursor string `json:"next_cursor,omitempty"`
}

// writePage answers with the items after ?cursor=, at most ?limit= of them. Items come in
// order of their ids and are made only when they are on the page.
func writePage[T any](w http.ResponseWriter, r *request, items iter.Seq2[string, func() T]) error {
	limit, err := limitOf(r)
	if err != nil {
		return err
	}
	cursor, err := cursorOf(r)
	if err != nil {
		return err
	}
	last := ""
	out := listJSON[T]{Items: []T{}}
	for id, item := range items {
		if id <= cursor {
			continue
		}
		if len(out.Items) == limit {
			out.NextCursor = last
			break
		}
		out.Items = append(out.Items, item())
		last = id
	}
	return writeJSON(w, http.StatusOK, out)
}
