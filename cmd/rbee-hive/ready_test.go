package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"queen-rbee/hives"
	"queen-rbee/hives/agent/agenttest"
)

func TestEnginesOnPathAreOfferedWithoutAConfig(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "llama-server"), []byte("#!/bin/true\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+string(os.PathListSeparator)+filepath.Dir(workerBinary))
	q := agenttest.New(t)
	p := command(t, dir, "serve", "--id", "h1", "--addr", "127.0.0.1:0", "--queen", q.URL, "--data-dir", filepath.Join(dir, "data"))
	hb := q.Await(t, "registered", func(hb *hives.Heartbeat) bool { return hb.Index > 0 })
	var names []string
	for _, e := range hb.Engines {
		names = append(names, e.Name)
		if e.TakesFiles != (e.Name != "builtin") {
			t.Errorf("%+v", e)
		}
	}
	if got := strings.Join(names, " "); got != "builtin llama.cpp llama.cpp-embedding llama.cpp-rerank" {
		t.Error(got)
	}
	for _, want := range []string{"engine offered: engine=llama.cpp takes_files=true", `programs=["ollama", "sglang", "vllm"]`} {
		if !strings.Contains(p.said(), want) {
			t.Errorf("not said: %s", want)
		}
	}
	p.stop()
}
