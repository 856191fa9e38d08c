package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// The HTTP server lingers half a second on a connection that it refused to read.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait"))
}

// patience bounds every wait for another goroutine; nothing passes sooner for a lower value.
const patience = 30 * time.Second

// running is a worker inside the test process.
type running struct {
	*Worker
	t      *testing.T
	url    string
	client *http.Client
	stop   context.CancelFunc
	ended  chan error
}

// start runs a worker and waits until it listens.
func start(t *testing.T, change func(*Worker), args ...string) *running {
	t.Helper()
	w := NewWorker(io.Discard)
	w.Die = func() { t.Error("died") }
	if err := errors.Join(w.ParseFlags(args), w.Validate()); err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(w)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{Worker: w, t: t, stop: cancel, ended: make(chan error, 1), client: &http.Client{Transport: &http.Transport{}}}
	go func() {
		r.ended <- w.Run(ctx)
		close(r.ended)
	}()
	t.Cleanup(func() {
		cancel()
		for range r.ended { // until it is closed
		}
		r.client.CloseIdleConnections()
	})
	select {
	case <-w.Listening():
	case err := <-r.ended:
		t.Fatalf("ended before it listened: %v", err)
	}
	r.url = "http://" + w.Addr()
	return r
}

// ready waits until the model is there.
func (r *running) ready() *running {
	r.t.Helper()
	r.eventually("ready", func() bool {
		status, _ := r.get("/health")
		return status != http.StatusServiceUnavailable
	})
	return r
}

// eventually asks again until it is so.
func (r *running) eventually(what string, so func() bool) {
	r.t.Helper()
	again := time.NewTicker(2 * time.Millisecond)
	defer again.Stop()
	limit := time.After(patience)
	for !so() {
		select {
		case <-again.C:
		case <-limit:
			r.t.Fatalf("not %s within %s", what, patience)
		}
	}
}

func (r *running) get(path string) (int, string) {
	r.t.Helper()
	resp, err := r.client.Get(r.url + path)
	if err != nil {
		r.t.Fatal(err)
	}
	return read(r.t, resp)
}

func (r *running) post(path, body string) (int, string) {
	r.t.Helper()
	resp, err := r.client.Post(r.url+path, "application/json", strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	return read(r.t, resp)
}

func read(t *testing.T, resp *http.Response) (int, string) {
	t.Helper()
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// open begins a stream that the test reads itself.
func (r *running) open(ctx context.Context, body string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.url+"/v1/chat/completions", strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	return r.client.Do(req)
}

// busy is how many slots are in use, and how many requests wait for one.
func (r *running) busy() (used, waiting int) {
	r.t.Helper()
	_, body := r.get("/slots")
	used = strings.Count(body, `"is_processing":true`)
	_, body = r.get("/props")
	var props struct {
		Waiting int `json:"requests_waiting"`
	}
	if err := json.Unmarshal([]byte(body), &props); err != nil {
		r.t.Fatal(err)
	}
	return used, props.Waiting
}

// chunk is the part of a stream's object that tests look at.
type chunk struct {
	Choices []struct {
		Index int
		Delta struct {
			Role    string
			Content *string
		}
		FinishReason *string `json:"finish_reason"`
	}
	Usage *struct {
		Prompt     int `json:"prompt_tokens"`
		Completion int `json:"completion_tokens"`
		Total      int `json:"total_tokens"`
	}
	Error *struct {
		Message, Type string
		Code          any
	}
}

// transcript is everything a stream sent.
type transcript struct {
	chunks []chunk
	tokens []string
	done   bool
	err    error // how the connection ended; nil: cleanly
}

func (s *transcript) text() string { return strings.Join(s.tokens, "") }

func follow(t *testing.T, resp *http.Response, onToken func(n int)) *transcript {
	t.Helper()
	defer resp.Body.Close()
	if got := resp.Header.Get("Content-Type"); resp.StatusCode != 200 || got != "text/event-stream" {
		t.Fatalf("status %d, type %q", resp.StatusCode, got)
	}
	var s transcript
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		data, ok := bytes.CutPrefix(lines.Bytes(), []byte("data: "))
		if !ok {
			continue
		}
		if string(data) == "[DONE]" {
			s.done = true
			continue
		}
		var c chunk
		if err := json.Unmarshal(data, &c); err != nil {
			t.Fatalf("%q: %v", data, err)
		}
		s.chunks = append(s.chunks, c)
		if len(c.Choices) == 1 && c.Choices[0].Delta.Content != nil && c.Choices[0].Delta.Role == "" {
			s.tokens = append(s.tokens, *c.Choices[0].Delta.Content)
			if onToken != nil {
				onToken(len(s.tokens))
			}
		}
	}
	s.err = lines.Err()
	return &s
}

// stream sends a request and reads all of its answer.
func (r *running) stream(body string) *transcript {
	r.t.Helper()
	resp, err := r.open(r.t.Context(), body)
	if err != nil {
		r.t.Fatal(err)
	}
	return follow(r.t, resp, nil)
}
