package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"queen-rbee/hives"
	"queen-rbee/hives/agent/agenttest"
)

// box is an OpenAI server that runs already. It wants a key, and knows its model by one name.
type box struct {
	mu    sync.Mutex
	asked []string // models of completions
}

func newBox(t *testing.T) (*box, string) {
	b := &box{}
	s := httptest.NewServer(b)
	t.Cleanup(s.Close)
	return b, s.URL
}

func (b *box) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Header.Get("Authorization") != "Bearer sk-box":
		w.WriteHeader(http.StatusUnauthorized)
	case r.URL.Path == "/v1/models":
		_, _ = fmt.Fprint(w, `{"object":"list","data":[{"id":"/models/qwen 3.gguf","owned_by":"vllm","max_model_len":4096}]}`)
	case r.URL.Path == "/v1/chat/completions":
		var req struct{ Model string }
		_ = json.NewDecoder(r.Body).Decode(&req) // an empty model is the answer then
		b.mu.Lock()
		b.asked = append(b.asked, req.Model)
		b.mu.Unlock()
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = fmt.Fprint(w, `data: {"choices":[{"index":0,"delta":{"content":"from the box"}}]}`+"\n\n"+
			`data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}`+"\n\ndata: [DONE]\n\n")
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

func TestAServerThatRunsAlreadyJoinsInOneLine(t *testing.T) {
	b, url := newBox(t)
	t.Setenv("BOX7_KEY", "sk-box")
	q := agenttest.New(t)
	dir := t.TempDir()
	p := command(t, dir, "serve", "--id", "h1", "--addr", "127.0.0.1:0", "--queen", q.URL, "--data-dir", filepath.Join(dir, "data"),
		"--external", "box7="+url+"/v1", "--external-key-env", "BOX7_KEY")
	hb := q.Await(t, "its model offered", func(hb *hives.Heartbeat) bool { return len(hb.Engines) > 0 && len(hb.Engines[0].Models) == 1 })
	if e := hb.Engines[0]; len(hb.Engines) != 1 || e.Name != "box7" || e.TakesFiles || e.Models[0] != (hives.EngineModel{Ref: "qwen-3.gguf", Slots: 32, Context: 4096}) {
		t.Fatalf("%+v", hb.Engines)
	}
	q.Want(func(index uint64, d *hives.Desired) {
		d.Workers = []hives.DesiredWorker{{ID: "w1", Index: index, Model: "qwen-3.gguf", Engine: "box7", Device: "cpu", Slots: 32}}
	})
	q.Await(t, "worker ready", func(hb *hives.Heartbeat) bool { return agenttest.State(hb, "w1") == hives.WorkerReady })
	text, end := read(t, q, assign(t, q, "j1", 3), 1<<62)
	if end == nil || end.Outcome != hives.Complete || !strings.Contains(text, "from the box") {
		t.Fatalf("%+v\n%s", end, text)
	}
	b.mu.Lock()
	if len(b.asked) != 1 || b.asked[0] != "/models/qwen 3.gguf" {
		t.Errorf("the server was asked for %q", b.asked)
	}
	b.mu.Unlock()
	if strings.Contains(p.said(), "sk-box") {
		t.Error("the key is in the log")
	}
	p.stop()
}

func TestAHiveSaysWhyAServerCannotBeUsed(t *testing.T) {
	_, url := newBox(t)
	q := agenttest.New(t)
	dir := t.TempDir()
	p := command(t, dir, "serve", "--id", "h1", "--addr", "127.0.0.1:0", "--queen", q.URL, "--data-dir", filepath.Join(dir, "data"), "--external", url)
	agenttest.Eventually(t, "what is wrong said", func() bool { return strings.Contains(p.said(), "the server wants an API key") })
	hb := q.Await(t, "registered", func(hb *hives.Heartbeat) bool { return hb.Index > 0 })
	if len(hb.Engines) != 1 || hb.Engines[0].Name != "127.0.0.1" || len(hb.Engines[0].Models) != 0 {
		t.Fatalf("%+v", hb.Engines)
	}
	p.stop()
}
