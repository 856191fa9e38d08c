package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"queen-rbee/hives"
	"queen-rbee/hives/agent/agenttest"
	"queen-rbee/hives/engine/enginetest"
)

// llamaHive starts an agent whose engine keeps its streams.
func llamaHive(t *testing.T, q *agenttest.Queen, dir string) *process {
	t.Helper()
	env, _ := json.Marshal(enginetest.EnvLlama())
	config := filepath.Join(dir, "hive.yaml")
	text := fmt.Sprintf("engines:\n  llama: {command: [%q], env: %s, stop_grace: 1s, models: [{ref: m, path: /m, slots: 2}]}\ndevices: [{id: gpu0, kind: cuda, total_bytes: 1GiB}]\n", os.Args[0], env)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return command(t, dir, "serve", "--id", "h1", "--addr", "127.0.0.1:0", "--queen", q.URL, "--data-dir", filepath.Join(dir, "data"), "--config", config)
}

// A run outlives its agent in an engine that keeps it: the next agent reads on where the log
// ends. Records go on without gap or repeat, the end is the engine's, and the engine is ready for
// others meanwhile, in the slot that is left.
func TestARunGoesOnUnderTheNextAgent(t *testing.T) {
	q := agenttest.New(t)
	dir := t.TempDir()
	p := llamaHive(t, q, dir)
	q.Want(func(index uint64, d *hives.Desired) {
		d.Workers = []hives.DesiredWorker{{ID: "w1", Index: index, Model: "m", Engine: "llama", Device: "gpu0", Slots: 2}}
	})
	readyAs(t, q, 1)
	e := assign(t, q, "j1", 6)
	e.Body = json.RawMessage(`{"max_tokens":6}`)
	step := func(n int) {
		t.Helper()
		resp, err := http.Post(fmt.Sprintf("http://127.0.0.1:%d/test/step?n=%d", q.Last().Workers[0].Port, n), "", nil)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
	}
	defer http.DefaultClient.CloseIdleConnections()
	step(2)
	before, _ := read(t, q, e, 3) // started, t0, t1
	one := p.kill()
	step(1) // said while nobody listens
	p = llamaHive(t, q, dir)
	readyAs(t, q, 2)
	if again := p.oneEngine(); again.PID != one.PID {
		t.Fatalf("the engine is another one: %v, was %v", again, one)
	}
	if hb := q.Last(); hb.Workers[0].Busy != 1 || len(hb.Runs) != 1 || len(hb.Ended) != 0 {
		t.Errorf("the run has its slot: %+v %+v %+v", hb.Workers, hb.Runs, hb.Ended)
	}
	e.From, e.Body = 3, nil
	step(3)
	after, end := read(t, q, e, 1<<62)
	if end == nil || end.Outcome != hives.Complete || end.Events != 7 || end.Usage.CompletionTokens != 6 || end.FinishReason != "length" {
		t.Fatalf("%+v", end)
	}
	said := ""
	for line := range strings.Lines(before + after) {
		if data, ok := strings.CutPrefix(line, "data: {\"t\":"); ok {
			said += data[:5]
		}
	}
	if said != `"t0 ""t1 ""t2 ""t3 ""t4 ""t5 "` || !strings.Contains(after, "id: 1.4\n") || strings.Contains(after, "id: 1.3\n") {
		t.Errorf("%s\n%s\n---\n%s", said, before, after)
	}
}
