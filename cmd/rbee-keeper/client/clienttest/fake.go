// Package clienttest is a cluster of fake queens for tests of the client and the commands:
// httptest servers that share one set of jobs and speak the part of the API the keeper uses.
// Faults are put in from outside, one queen at a time.
package clienttest

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"time"
)

// Fake is the cluster.
type Fake struct {
	Queens []*Queen

	// Pace is the time between two frames of a stream.
	Pace time.Duration

	mu     sync.Mutex
	jobs   map[string]*Job
	byKey  map[string]string
	order  []string
	Answer map[string]any // JSON answers of plain calls by "METHOD /path"
	seen   []string
}

// Queen is one fake queen.
type Queen struct {
	*httptest.Server
	fake *Fake
	id   string

	mu     sync.Mutex
	faults []Fault
}

// Fault is what happens to one request, once. The zero Fault does nothing.
type Fault struct {
	Match string // part of "METHOD /path"; "" is any request

	Status     int    // answer this...
	Code       string // ...with this code
	Header     map[string]string
	Drop       bool // close the connection without an answer, nothing done
	DropAfter  bool // do it, then close the connection without an answer
	Frames     int  // streams: close the connection after so many frames
	MidFrame   bool // ...and half of the next
	Then       func()
	Silent     bool                    // after Frames, send nothing more until the client goes
	EditFrames func([]string) []string // streams: what the client gets instead
}

// Job is a fake job: its whole run is known from the start.
type Job struct {
	ID     string
	Task   map[string]any
	Frames []string // SSE frames without their closing empty line, id lines included
	Text   string
	State  string
	Runs   int // times it was really created
}

// Events is the Answer to a call that streams: SSE frames without their closing empty line.
type Events []string

// Answers fills in Answer while the queens serve already.
func (f *Fake) Answers(set func(answer map[string]any)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	set(f.Answer)
}

// Test is what New needs of a test: testing.TB has it.
type Test interface{ Cleanup(func()) }

// New starts n fake queens that end with the test.
func New(t Test, n int) *Fake {
	f := &Fake{jobs: map[string]*Job{}, byKey: map[string]string{}, Answer: map[string]any{}}
	for i := range n {
		q := &Queen{fake: f, id: fmt.Sprintf("queen-%d", i+1)}
		q.Server = httptest.NewServer(q)
		t.Cleanup(func() { q.CloseClientConnections(); q.Close() })
		f.Queens = append(f.Queens, q)
	}
	return f
}

// URLs of all queens.
func (f *Fake) URLs() []string {
	var u []string
	for _, q := range f.Queens {
		u = append(u, q.URL)
	}
	return u
}

// Seen lists "queen METHOD /path?query" of every request so far, with the body of one about a model.
func (f *Fake) Seen() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.seen...)
}

// Say sets the JSON answer to "METHOD /path", or to "QUEEN METHOD /path" of one queen alone.
func (f *Fake) Say(call string, v any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.Answer[call] = v
}

// SetState sets the state that a job is shown in.
func (f *Fake) SetState(id, state string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.jobs[id].State = state
}

// Jobs in order of submission.
func (f *Fake) Jobs() []*Job {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []*Job
	for _, id := range f.order {
		out = append(out, f.jobs[id])
	}
	return out
}

// Die ends a queen as SIGKILL would: connections break, nobody listens.
func (q *Queen) Die() {
	_ = q.Listener.Close()
	q.CloseClientConnections()
}

// Rise starts a dead queen again at its old address.
func (q *Queen) Rise(t Test) error {
	l, err := net.Listen("tcp", q.Listener.Addr().String())
	if err != nil {
		return err
	}
	s := httptest.NewUnstartedServer(q)
	_ = s.Listener.Close()
	s.Listener = l
	s.Start()
	q.mu.Lock()
	q.Server = s
	q.mu.Unlock()
	t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	return nil
}

// Fail queues faults for the next requests that match them.
func (q *Queen) Fail(faults ...Fault) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.faults = append(q.faults, faults...)
}

func (q *Queen) fault(r *http.Request) Fault {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i, f := range q.faults {
		if strings.Contains(r.Method+" "+r.URL.Path, f.Match) {
			q.faults = append(q.faults[:i:i], q.faults[i+1:]...)
			return f
		}
	}
	return Fault{}
}

// Problem writes a problem+json.
func Problem(w http.ResponseWriter, status int, code, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"type": "about:blank", "title": http.StatusText(status), "status": status, "detail": detail, "code": code})
}

func (q *Queen) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f := q.fake
	seen := fmt.Sprintf("%s %s %s", q.id, r.Method, r.URL.RequestURI())
	if strings.HasPrefix(r.URL.Path, "/v2/models/") && r.Body != nil {
		body, _ := io.ReadAll(io.LimitReader(r.Body, 1<<20))
		seen = strings.TrimSpace(seen + " " + string(body))
	}
	f.mu.Lock()
	f.seen = append(f.seen, seen)
	f.mu.Unlock()
	fault := q.fault(r)
	for k, v := range fault.Header {
		w.Header().Set(k, v)
	}
	w.Header().Set("X-Rbee-Queen", q.id)
	switch {
	case fault.Drop:
		panic(http.ErrAbortHandler)
	case fault.Status != 0:
		Problem(w, fault.Status, fault.Code, "made to fail")
		return
	case r.Header.Get("Authorization") != "Bearer key" && !strings.HasPrefix(r.URL.Path, "/ready"):
		Problem(w, 401, "unauthenticated", "no or bad API key")
		return
	}
	if fault.DropAfter {
		rec := httptest.NewRecorder()
		q.serve(rec, r, Fault{})
		panic(http.ErrAbortHandler)
	}
	q.serve(w, r, fault)
}

func (q *Queen) serve(w http.ResponseWriter, r *http.Request, fault Fault) {
	f := q.fake
	call := r.Method + " " + r.URL.Path
	rest, isJob := strings.CutPrefix(r.URL.Path, "/v2/jobs/")
	id, sub, _ := strings.Cut(rest, "/")
	switch {
	case call == "POST /v2/tasks":
		f.task(w, r, fault)
	case isJob:
		f.job(w, r, id, sub, fault)
	case call == "GET /v2/jobs":
		f.mu.Lock()
		items := []any{}
		for _, id := range f.order {
			items = append(items, f.jobs[id].show())
		}
		f.mu.Unlock()
		answer(w, map[string]any{"items": items, "next_cursor": ""})
	default:
		f.mu.Lock()
		a, ok := f.Answer[q.id+" "+call] // one queen's own word, or everybody's
		if !ok {
			a, ok = f.Answer[call]
		}
		f.mu.Unlock()
		if !ok {
			Problem(w, 404, "not_found", "no such thing: "+call)
			return
		}
		if frames, ok := a.(Events); ok && strings.Contains(r.Header.Get("Accept"), "text/event-stream") {
			f.stream(w, r, &Job{Frames: frames}, fault)
			return
		}
		answer(w, a)
	}
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}
