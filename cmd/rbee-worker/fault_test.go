package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestDieAfter(t *testing.T) {
	died := make(chan struct{}, 10)
	r := start(t, func(w *Worker) { w.Die = func() { died <- struct{}{} } }, "--fault-die-after=5").ready()
	s := r.stream(`{` + hello + `,"stream":true}`)
	if len(s.tokens) != 5 || s.done || s.err == nil {
		t.Errorf("%d tokens, done %v, error %v; want 5, false, a broken connection", len(s.tokens), s.done, s.err)
	}
	<-died
}

func TestHangAfter(t *testing.T) {
	r := start(t, nil, "--fault-hang-after=3").ready()
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	resp, err := r.open(ctx, `{`+hello+`,"stream":true}`)
	if err != nil {
		t.Fatal(err)
	}
	s := follow(t, resp, func(n int) {
		if n == 3 {
			if status, body := r.get("/health"); status != 200 {
				t.Errorf("health of a hanging engine: %d %s", status, body)
			}
			leave() // nothing else would end the stream
		}
	})
	if len(s.tokens) != 3 || !errors.Is(s.err, context.Canceled) {
		t.Errorf("%d tokens, error %v", len(s.tokens), s.err)
	}
	r.eventually("idle", func() bool { used, _ := r.busy(); return used == 0 })
}

func TestErrorAfter(t *testing.T) {
	r := start(t, nil, "--fault-error-after=4").ready()
	s := r.stream(`{` + hello + `,"stream":true}`)
	if len(s.tokens) != 4 || s.done || s.err != nil {
		t.Fatalf("%d tokens, done %v, error %v; want 4, false and a clean end", len(s.tokens), s.done, s.err)
	}
	last := s.chunks[len(s.chunks)-1]
	if last.Error == nil || last.Error.Type != "server_error" || last.Error.Code != 500.0 {
		t.Errorf("last object %+v", last)
	}
	if status, body := r.post("/v1/chat/completions", `{`+hello+`}`); status != 500 || !strings.Contains(body, "server_error") {
		t.Errorf("not streamed: %d %s", status, body)
	}
}

func TestHealthFail(t *testing.T) {
	r := start(t, nil, "--fault-health-fail").ready()
	if status, _ := r.get("/health"); status != 500 {
		t.Errorf("health %d", status)
	}
	if s := r.stream(`{` + hello + `,"max_tokens":2,"stream":true}`); !s.done {
		t.Error("and yet it should work")
	}
}

func TestEverythingIs503WhileLoading(t *testing.T) {
	r := start(t, nil, "--load-delay=1h")
	for _, path := range []string{"/health", "/v1/models", "/slots", "/nowhere"} {
		status, body := r.get(path)
		if status != 503 || strings.TrimSpace(body) != `{"error":{"message":"Loading model","type":"unavailable_error","param":null,"code":503}}` {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	if status, _ := r.post("/v1/chat/completions", `{}`); status != 503 {
		t.Errorf("chat: %d", status)
	}
	r.stop()
	if err := <-r.ended; err != nil {
		t.Errorf("ended with %v while loading", err)
	}
}

// As llama-server does: at once, no [DONE], no finish_reason, no clean end, exit 0.
func TestEndCutsStreams(t *testing.T) {
	for name, end := range map[string]func(*running){
		"signal": func(r *running) { r.stop() },
		"close":  func(r *running) { r.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t, nil, "--fault-hang-after=2").ready()
			resp, err := r.open(t.Context(), `{`+hello+`,"stream":true}`)
			if err != nil {
				t.Fatal(err)
			}
			s := follow(t, resp, func(n int) {
				if n == 2 {
					end(r)
				}
			})
			if s.done || s.err == nil {
				t.Errorf("done %v, error %v", s.done, s.err)
			}
			if err := <-r.ended; err != nil {
				t.Errorf("Run returned %v", err)
			}
			if _, err := r.client.Get(r.url + "/health"); err == nil {
				t.Error("still listening")
			}
		})
	}
}

func TestModelPath(t *testing.T) {
	path := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(path, []byte(strings.Repeat("one two three four. ", 8)), 0o600); err != nil {
		t.Fatal(err)
	}
	r := start(t, nil, "--model-path", path).ready()
	s := r.stream(`{` + hello + `,"max_tokens":8,"stream":true}`)
	if got := strings.TrimRight(s.text(), "."); !strings.Contains("one two three four. one two three four. one two three four", got) {
		t.Errorf("%q is not made of the file's words", got)
	}
}

func TestRunExitCodes(t *testing.T) {
	dir := t.TempDir()
	short := filepath.Join(dir, "short")
	if err := os.WriteFile(short, []byte("too few words"), 0o600); err != nil {
		t.Fatal(err)
	}
	taken := start(t, nil)
	tests := []struct {
		name   string
		args   []string
		code   int
		stdout string
		stderr string
	}{
		{"version", []string{"--version"}, 0, "rbee-worker dev (commit ", ""},
		{"help", []string{"--help"}, 0, "--tokens-per-second", ""},
		{"unknown flag", []string{"--nope"}, 2, "", "--nope"},
		{"argument", []string{"serve"}, 2, "", `"serve" is no flag`},
		{"slots", []string{"--slots=0"}, 2, "", "--slots: is 0"},
		{"context", []string{"--context=1"}, 2, "", "--context"},
		{"address", []string{"--addr=nowhere"}, 2, "", "--addr"},
		{"rate", []string{"--tokens-per-second=-1"}, 2, "", "--tokens-per-second"},
		{"rate NaN", []string{"--tokens-per-second=NaN"}, 2, "", "--tokens-per-second"},
		{"delay", []string{"--load-delay=-1s"}, 2, "", "--load-delay"},
		{"fault", []string{"--fault-hang-after=-2"}, 2, "", "--fault-hang-after"},
		{"log level", []string{"--log-level=loud"}, 2, "", "--log-level"},
		{"told to exit", []string{"--fault-start-exit=7"}, 7, "", "code 7"},
		{"port taken", []string{"--addr", taken.Addr()}, 1, "", "cannot listen"},
		{"no such text", []string{"--model-path", filepath.Join(dir, "none")}, 1, "", "model-path"},
		{"text too short", []string{"--model-path", short}, 1, "", "at least 16"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			code := run(t.Context(), tt.args, &stdout, &stderr)
			if code != tt.code || !strings.Contains(stdout.String(), tt.stdout) || !strings.Contains(stderr.String(), tt.stderr) {
				t.Errorf("got %d\nstdout %s\nstderr %s", code, &stdout, &stderr)
			}
		})
	}
}

func TestEnvironment(t *testing.T) {
	t.Setenv("RBEE_WORKER_SLOTS", "5")
	t.Setenv("RBEE_WORKER_MODEL", "from/env")
	w := NewWorker(io.Discard)
	if err := errors.Join(w.ParseFlags([]string{"--model=from/flag"}), w.Validate()); err != nil {
		t.Fatal(err)
	}
	if w.Options.Slots != 5 || w.Options.Model != "from/flag" {
		t.Errorf("got %+v", w.Options)
	}
	t.Setenv("RBEE_WORKER_SLOTS", "0")
	w = NewWorker(io.Discard)
	if err := errors.Join(w.ParseFlags(nil), w.Validate()); err == nil || !strings.Contains(err.Error(), "RBEE_WORKER_SLOTS") {
		t.Errorf("got %v, want it to name the variable", err)
	}
}

// The real thing: a process of its own that ends as if killed from outside.
func TestDieEndsTheProcess(t *testing.T) {
	if os.Getenv("TEST_DIE_NOW") != "" {
		die()
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestDieEndsTheProcess$")
	cmd.Env = append(os.Environ(), "TEST_DIE_NOW=1")
	err := cmd.Run()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Exited() {
		t.Errorf("got %v, want the end by a signal", err)
	}
}
