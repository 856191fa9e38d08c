package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"queen-rbee/hives"
	"queen-rbee/hives/agent/agenttest"
)

// swapFile is a llama-swap config of one model: our own worker, by the command line that its
// author would type.
func swapFile(t *testing.T, dir string) string {
	t.Helper()
	path := filepath.Join(dir, "config.yaml")
	text := fmt.Sprintf(`
healthCheckTimeout: 60
groups: {all: {members: [bees]}}
macros: {"worker": "'%s' --addr 127.0.0.1:${PORT}"}
models:
  "bees":
    cmd: |
      ${worker}
      # of its own choice
      --model builtin/markov
    useModelName: builtin/markov
    concurrencyLimit: 2
    aliases: [gpt-4o-mini]
    ttl: 300
`, workerBinary)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestALlamaSwapConfigIsServed(t *testing.T) {
	q := agenttest.New(t)
	dir := t.TempDir()
	p := command(t, dir, "serve", "--id", "h1", "--addr", "127.0.0.1:0", "--queen", q.URL, "--data-dir", filepath.Join(dir, "data"),
		"--llama-swap", swapFile(t, dir), "--port-range", "20000-29999")
	hb := q.Await(t, "registered", func(hb *hives.Heartbeat) bool { return hb.Index > 0 })
	if e := hb.Engines[len(hb.Engines)-1]; e.Name != "bees" || e.Models[0] != (hives.EngineModel{Ref: "bees", Slots: 2}) {
		t.Fatalf("%+v", hb.Engines)
	}
	q.Want(func(index uint64, d *hives.Desired) {
		d.Workers = []hives.DesiredWorker{{ID: "w1", Index: index, Model: "bees", Engine: "bees", Device: hb.Devices[0].ID, Slots: 2}}
	})
	ready := q.Await(t, "worker ready", func(hb *hives.Heartbeat) bool { return agenttest.State(hb, "w1") == hives.WorkerReady })
	if port := ready.Workers[0].Port; port < 20000 || port > 29999 {
		t.Error(port)
	}
	e := assign(t, q, "j1", 5)
	e.Body = []byte(strings.Replace(string(e.Body), "builtin/markov", "gpt-4o-mini", 1))
	if text, end := read(t, q, e, 1<<62); end == nil || end.Outcome != hives.Complete || end.Usage.CompletionTokens != 5 {
		t.Fatalf("%+v\n%s", end, text)
	}
	for _, want := range []string{"not used: groups", "what memory it takes is not known", "--print-models"} {
		if !strings.Contains(p.said(), want) {
			t.Errorf("not said: %s", want)
		}
	}
	p.stop()
}

func TestAliasesOfALlamaSwapConfigArePrintedForTheCatalog(t *testing.T) {
	var out, problems bytes.Buffer
	ctx := context.Background()
	code := run(ctx, ctx, []string{"serve", "--llama-swap", swapFile(t, t.TempDir()), "--print-models"}, &out, &problems)
	if want := "models:\n    - ref: bees\n      aliases:\n        - gpt-4o-mini\n      idle_ttl: 5m0s\n"; code != 0 || out.String() != want {
		t.Fatalf("%d %s\n%s", code, problems.String(), out.String())
	}
	code = run(ctx, ctx, []string{"serve", "--llama-swap", "/no/such/file", "--print-models"}, &out, &problems)
	if code != 2 || !strings.Contains(problems.String(), "--llama-swap: open /no/such/file") {
		t.Fatal(code, problems.String())
	}
}
