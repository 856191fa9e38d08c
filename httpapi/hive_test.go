package httpapi

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"queen-rbee/hives"
)

// patience is how long a test waits for something that must come.
const patience = 20 * time.Second

// playedHive is a gateway whose every reader the test serves by hand.
type playedHive struct {
	t      *testing.T
	srv    *httptest.Server
	reads  chan *playedRead
	leaves chan hives.Leave
	gone   chan struct{}
}

// playedRead is one open POST /execute. What the test does with it runs in its handler.
type playedRead struct {
	t    *testing.T
	Req  hives.Execute
	acts chan func(http.ResponseWriter) (over bool)
	gone chan struct{} // closed when the handler has returned
}

func newPlayedHive(t *testing.T) *playedHive {
	h := &playedHive{t: t, reads: make(chan *playedRead, 16), leaves: make(chan hives.Leave, 16), gone: make(chan struct{})}
	h.srv = httptest.NewServer(http.HandlerFunc(h.serve))
	return h
}

func (h *playedHive) close() {
	close(h.gone)
	h.srv.Close()
}

func (h *playedHive) serve(w http.ResponseWriter, r *http.Request) {
	if strings.HasSuffix(r.URL.Path, "/leave") {
		var l hives.Leave
		if err := json.NewDecoder(r.Body).Decode(&l); err != nil {
			h.t.Error(err)
		}
		h.leaves <- l
		w.WriteHeader(http.StatusNoContent)
		return
	}
	read := &playedRead{t: h.t, acts: make(chan func(http.ResponseWriter) bool), gone: make(chan struct{})}
	defer close(read.gone)
	if err := json.NewDecoder(r.Body).Decode(&read.Req); errors.Is(err, io.ErrUnexpectedEOF) {
		return // its client has gone meanwhile
	} else if err != nil {
		h.t.Error(err)
	}
	select {
	case h.reads <- read:
	case <-h.gone:
		return
	}
	for {
		select {
		case act := <-read.acts:
			if act(w) {
				return
			}
		case <-r.Context().Done():
			return
		case <-h.gone:
			return
		}
	}
}

// act runs something in the handler, unless the queen has gone.
func (r *playedRead) act(f func(http.ResponseWriter) (over bool)) {
	select {
	case r.acts <- f:
	case <-r.gone:
	}
}

// next waits for the next reader.
func (h *playedHive) next() *playedRead {
	h.t.Helper()
	select {
	case r := <-h.reads:
		return r
	case <-time.After(patience):
		h.t.Fatal("no reader came to the hive")
		return nil
	}
}

func (r *playedRead) send(format string, args ...any) {
	r.act(func(w http.ResponseWriter) bool {
		_, _ = fmt.Fprintf(w, format, args...)
		_ = http.NewResponseController(w).Flush()
		return false
	})
}

// tokens sends records from..to natively, `started` being 1.
func (r *playedRead) tokens(from, to int) {
	var b strings.Builder
	for n := from; n <= to; n++ {
		if n == 1 {
			fmt.Fprintf(&b, "event: started\nid: %d.1\ndata: {\"model\":\"m\"}\n\n", r.Req.Attempt)
			continue
		}
		fmt.Fprintf(&b, "event: token\nid: %d.%d\ndata: {\"t\":\"t%d \",\"i\":%d}\n\n", r.Req.Attempt, n, n-2, n-2)
	}
	r.send("%s", b.String())
}

// end sends the end mark and what is behind it, and closes.
func (r *playedRead) end(t hives.Terminal, rest string) {
	t.JobID, t.Attempt = r.Req.JobID, r.Req.Attempt
	data, err := json.Marshal(t)
	if err != nil {
		r.t.Fatal(err)
	}
	r.send("%s%s\n%s", hives.EndMark, data, rest)
	r.act(func(http.ResponseWriter) bool { return true })
}

// breakOff ends the connection in the middle.
func (r *playedRead) breakOff() {
	r.act(func(w http.ResponseWriter) bool {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			r.t.Error(err)
			return true
		}
		_ = conn.Close()
		return true
	})
}

func completed(events uint64) hives.Terminal {
	return hives.Terminal{
		Outcome: hives.Complete, FinishReason: "stop", Events: events, TTFTMillis: 5,
		Usage: hives.Usage{PromptTokens: 3, CompletionTokens: int64(events) - 1},
	}
}

// frame is one SSE frame a client got.
type frame struct{ event, id, data, retry string }

// streamOf reads frames of an answer until it closes.
type streamOf struct {
	t    *testing.T
	resp *http.Response
	sc   *bufio.Scanner
}

// next is the next frame that is no comment and not the reconnection time; ok is false at the close.
func (s *streamOf) next() (frame, bool) {
	s.t.Helper()
	var f frame
	for s.sc.Scan() {
		line := s.sc.Text()
		name, value, _ := strings.Cut(line, ": ")
		switch {
		case line == "":
			if f.event+f.data != "" {
				return f, true
			}
		case name == "event":
			f.event = value
		case name == "id":
			f.id = value
		case name == "data":
			f.data = value
		case name == "retry":
			f.retry = value
		}
	}
	return frame{}, false
}

// want reads a frame and compares its event and id.
func (s *streamOf) want(event, id string) frame {
	s.t.Helper()
	f, ok := s.next()
	if !ok || f.event != event || f.id != id {
		s.t.Fatalf("got frame %+v (open: %v), want event %q with id %q", f, ok, event, id)
	}
	return f
}

// past is the next frame that is not of the given event.
func (s *streamOf) past(event string) frame {
	s.t.Helper()
	for {
		f, ok := s.next()
		if !ok || f.event != event {
			return f
		}
	}
}

func (s *streamOf) wantClosed() {
	s.t.Helper()
	if f, ok := s.next(); ok {
		s.t.Fatalf("got frame %+v after the end", f)
	}
}

// call makes a request with the API key; headers come in pairs.
func (w *world) call(method, path, body string, headers ...string) *http.Response {
	w.Helper()
	req, err := http.NewRequestWithContext(w.Context(), method, w.http.URL+path, bytes.NewReader([]byte(body)))
	if err != nil {
		w.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+apiKey)
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { _ = resp.Body.Close() })
	return resp
}

// read is call for answers that end.
func (w *world) read(method, path, body string, headers ...string) (int, string, http.Header) {
	w.Helper()
	resp := w.call(method, path, body, headers...)
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		w.Fatal(err)
	}
	return resp.StatusCode, string(data), resp.Header
}

// stream is call for an SSE answer.
func (w *world) stream(method, path, body string, headers ...string) *streamOf {
	w.Helper()
	resp := w.call(method, path, body, headers...)
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "text/event-stream" {
		data, _ := io.ReadAll(resp.Body)
		w.Fatalf("%s %s: %s: %s", method, path, resp.Status, data)
	}
	return &streamOf{t: w.T, resp: resp, sc: bufio.NewScanner(resp.Body)}
}

// later is stream for an answer whose headers wait for the hive: a resumed one.
func (w *world) later(method, path, body string, headers ...string) func() *streamOf {
	got := make(chan *streamOf, 1)
	go func() { got <- w.stream(method, path, body, headers...) }()
	return func() *streamOf { return <-got }
}

// awaitJob waits until a job's row is as the test wants it.
func (w *world) awaitJob(id, state string) {
	w.Helper()
	over := time.After(patience)
	watch := w.queen.Watch(jobRow(id))
	defer watch.Close()
	for {
		j, ok := w.queen.View().Job(id)
		if ok && jobStates[j.State] == state {
			return
		}
		select {
		case <-watch.C():
		case <-over:
			w.Fatalf("job %s is not %s: %+v", id, state, j)
		}
	}
}
