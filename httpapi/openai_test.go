package httpapi

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"queen-rbee/hives"
	"queen-rbee/hives/runlog"
	"queen-rbee/schedule"
)

const chat = `{"model":"builtin/markov","messages":[{"role":"user","content":"hi"}],"stream":true}`

// sdkEvents reads a stream with the semantics of the OpenAI SDKs: a blank line is an event
// with or without data, and data that is not JSON is an error.
func sdkEvents(r io.Reader) (events []string, err error) {
	data := ""
	for sc := bufio.NewScanner(r); sc.Scan(); {
		line := sc.Text()
		name, value, _ := strings.Cut(line, ":")
		switch {
		case line == "":
			if data == "[DONE]" {
				return events, nil
			}
			if !json.Valid([]byte(data)) {
				return events, fmt.Errorf("event %d holds %q", len(events)+1, data)
			}
			events, data = append(events, data), ""
		case name == "data":
			data += strings.TrimPrefix(value, " ")
		}
	}
	return events, io.ErrUnexpectedEOF
}

// TestOpenAIStreamSuitsSDKs reads everything that a stream can hold, as it is served: waiting,
// comments, records with many chunks and with none, and the end.
func TestOpenAIStreamSuitsSDKs(t *testing.T) {
	w := newWorld(t)
	w.api.keepAlive = time.Millisecond
	w.register()
	resp := w.call("POST", "/v1/chat/completions", chat)
	body := bufio.NewReader(resp.Body)
	head := ""
	for !strings.Contains(head, ": keep-alive") { // queued, and for long
		line, err := body.ReadString('\n')
		if err != nil {
			t.Fatalf("%v after %q", err, head)
		}
		head += line
	}
	a := w.queen.must(schedule.Request{SpawnWorker: &schedule.SpawnWorker{ID: "w-1", Model: testModel}})
	w.beat(func(hb *hives.Heartbeat) {
		hb.Workers = []hives.WorkerReport{{ID: a.Worker, State: hives.WorkerReady, Slots: 2}}
	})
	r := w.hive.next()
	said := []string{
		`{"choices":[{"index":0,"delta":{"role":"assistant"}}]}`, `{"choices":[{"index":0,"delta":{"content":"a"}}]}`,
		`{"choices":[{"index":0,"delta":{"content":"b"}}]}`, `{"choices":[{"index":0,"delta":{"content":"c"},"finish_reason":"stop"}]}`,
	}
	before, end, after := gatewayStream(t, r.Req, said)
	for _, line := range strings.SplitAfter(before, "\n") { // as slowly as a network can be
		r.send("%s", line)
	}
	r.send(": \n")
	r.end(end, after)
	events, err := sdkEvents(io.MultiReader(strings.NewReader(head), body))
	if err != nil || strings.Join(events, "\n") != strings.Join(said, "\n") {
		t.Errorf("%v: an SDK reads\n%s\nwant\n%s", err, strings.Join(events, "\n"), strings.Join(said, "\n"))
	}
	for _, want := range []string{"retry: 250\n", ": queued\n", ": keep-alive\n"} {
		if !strings.Contains(head, want) {
			t.Errorf("%q is not in the stream's head %q", want, head)
		}
	}
}

// gatewayStream is what a hive's gateway sends of a complete run to an OpenAI reader: the
// records, and what is behind the end mark. The first chunk carries no content.
func gatewayStream(t *testing.T, e hives.Execute, chunks []string) (before string, end hives.Terminal, after string) {
	t.Helper()
	store, err := runlog.Open(t.TempDir(), runlog.Limits{}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	log, err := store.Create(runlog.Meta{JobID: e.JobID, Attempt: e.Attempt, API: e.API, Path: e.Path, Model: testModel})
	if err == nil {
		err = log.Start()
	}
	for i, c := range chunks {
		if err == nil {
			err = log.Append(json.RawMessage(c), i > 0, "x", i == len(chunks)-1)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	if end, err = log.End(completed(0)); err != nil {
		t.Fatal(err)
	}
	s, err := log.Stream(runlog.Form{API: hives.APIOpenAI}, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var out []byte
	for err == nil {
		out, err = s.Next(t.Context(), out)
	}
	before, after, _ = strings.Cut(string(out), hives.EndMark)
	_, after, _ = strings.Cut(after, "\n")
	if !strings.HasPrefix(before, "id: 1.1\n") {
		t.Fatalf("the first record is no id alone: %q", before)
	}
	return before, end, after
}

// TestOpenAIErrorHasItsStatus: what fails before its first chunk is told by the status, also
// when the run has started; later, and on a stream that had to begin, inside it.
func TestOpenAIErrorHasItsStatus(t *testing.T) {
	w := newWorld(t)
	w.ready()
	type answer struct {
		status int
		body   string
		again  string // whether an SDK should ask again, where it is told
	}
	refused := hives.Terminal{Outcome: hives.Failed, Events: 1, Error: hives.Errorf(hives.CodeInvalid, "no tools here")}
	late := hives.Terminal{Outcome: hives.Failed, Events: 1, Error: hives.Errorf(hives.CodeDeadlineExceeded, "too late")}
	for name, tc := range map[string]struct {
		before string
		end    hives.Terminal
		status int
		says   string
	}{
		"refused":        {"id: 1.1\n", refused, http.StatusBadRequest, "no tools here"},
		"too late":       {"id: 1.1\n", late, http.StatusGatewayTimeout, "too late"},
		"a chunk came":   {"data: {}\nid: 1.2\n\n", refused, http.StatusOK, "no tools here"},
		"a comment came": {": \n", refused, http.StatusOK, "no tools here"},
		"cancelled":      {"id: 1.1\n", hives.Terminal{Outcome: hives.Cancelled, Events: 1}, http.StatusOK, "given up"},
	} {
		t.Run(name, func(t *testing.T) {
			got := make(chan answer, 1)
			go func() {
				status, body, h := w.read("POST", "/v1/chat/completions", chat)
				got <- answer{status, body, h.Get("X-Should-Retry")}
			}()
			r := w.hive.next()
			r.send("%s", tc.before)
			r.end(tc.end, "")
			a := <-got
			if a.status != tc.status || !strings.Contains(a.body, tc.says) || strings.Contains(a.body, "data: ") != (tc.status == http.StatusOK) {
				t.Errorf("%d %s", a.status, a.body)
			}
			if (a.again == "false") != (a.status == http.StatusGatewayTimeout) {
				t.Errorf("%d says X-Should-Retry: %q", a.status, a.again)
			}
		})
	}
}

// TestSilentHive is attached to anew, and its client gets comments meanwhile: the headers of an
// OpenAI stream come with the first.
func TestSilentHive(t *testing.T) {
	w := newWorld(t)
	w.api.keepAlive, w.api.silence = time.Millisecond, 30*time.Millisecond
	w.ready()
	answered := w.later("POST", "/v1/chat/completions", chat)
	first := w.hive.next()
	if len(first.Req.Body) == 0 {
		t.Error("the first reader brings no body")
	}
	s := answered()
	for s.sc.Scan() && s.sc.Text() != ": keep-alive" {
	}
	w.hive.next()
	over := make(chan struct{})
	defer close(over)
	go func() { // the hive is back
		for {
			select {
			case r := <-w.hive.reads:
				r.end(completed(0), "data: [DONE]\nid: 1.1\n\n")
			case <-over:
				return
			}
		}
	}()
	s.want("", "1.1")
	s.wantClosed()
}
