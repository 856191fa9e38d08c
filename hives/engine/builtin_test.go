package engine

import (
	"context"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"queen-rbee/hives"
)

// builtinEngine builds our own rbee-worker and returns its definition with more config keys.
func builtinEngine(t *testing.T, keys string) Definition {
	t.Helper()
	binary := filepath.Join(t.TempDir(), builtinBinary)
	if out, err := exec.Command("go", "build", "-o", binary, "queen-rbee/cmd/rbee-worker").CombinedOutput(); err != nil {
		t.Fatalf("building rbee-worker: %v\n%s", err, out)
	}
	got, err := decode("engines: {builtin: {binary: " + binary + keys + "}}")
	if err != nil {
		t.Fatal(err)
	}
	return got[0]
}

func TestTheBuiltinEngine(t *testing.T) {
	if testing.Short() {
		t.Skip("builds a program")
	}
	w := runWorker(t, builtinEngine(t, `, slots: 3, args: [--tokens-per-second, "500"]`), nil)
	s := w.ready()
	if s.Slots != 3 {
		t.Fatalf("%+v", s)
	}
	opts := StreamOptions{Key: s.Key, OnBytes: func() { w.Alive(s.Generation) }}
	for _, c := range []struct{ path, body string }{
		{chatPath, `{"model":"builtin/markov","messages":[{"role":"user","content":"Hello"}],"max_tokens":9,"seed":1}`},
		{"/v1/completions", `{"model":"builtin/markov","prompt":"Once","max_tokens":9,"seed":1}`},
	} {
		got, res, err := collect(context.Background(), s.BaseURL, c.path, c.body, opts)
		if err != nil {
			t.Fatalf("%s: %v", c.path, err)
		}
		if got.text == "" || res.FinishReason == "" || int64(res.Content) != res.Usage.CompletionTokens || res.Usage.PromptTokens == 0 || res.Content > 9 {
			t.Errorf("%s: %q %+v", c.path, got.text, res)
		}
		checkChunks(t, c.path, got.chunks, true)
	}
	_, _, err := collect(context.Background(), s.BaseURL, chatPath, `{"model":"builtin/markov","messages":7}`, opts)
	if hives.CodeOf(err) != hives.CodeInvalid || !strings.Contains(err.Error(), "messages") {
		t.Error(err)
	}

	_, gone := w.Generation()
	_, err = Stream(context.Background(), s.BaseURL, chatPath, []byte(`{"model":"builtin/markov","messages":[{"role":"user","content":"Hi"}],"max_tokens":4000}`), opts,
		func(c Chunk) error {
			if c.Content {
				_ = syscall.Kill(s.PID, syscall.SIGKILL)
			}
			return nil
		})
	if hives.CodeOf(err) != hives.CodeWorkerDied {
		t.Error(err)
	}
	<-gone.Done()
	w.until("ready again", func(s Snapshot) bool { return s.State == hives.WorkerReady && s.Generation == 2 })
}
