package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"queen-rbee/hives"
	"queen-rbee/hives/agent/agenttest"
	"queen-rbee/hives/models/hubtest"
)

// catalogHive starts an agent whose engine takes models of the catalog. The engine is our own:
// it reads no file, but is told of one.
func catalogHive(t *testing.T, q *agenttest.Queen, hub *hubtest.Hub, dir string) *process {
	t.Helper()
	config := filepath.Join(dir, "hive.yaml")
	text := fmt.Sprintf(`
engines:
  files: {command: [%q, --addr, "{{.Addr}}", --model, "{{.Model}}", --slots, "{{.Slots}}"], env: {MODEL_FILE: "{{.ModelPath}}"}, health: /health}
devices: [{id: gpu0, kind: cuda, total_bytes: 1GiB}]
models: {hub: {endpoint: %q}, allow_private: true, allow_http: true, keep_free: 1MiB, parts: 3}
`, workerBinary, hub.URL)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return command(t, dir, "serve", "--id", "h1", "--addr", "127.0.0.1:0", "--queen", q.URL, "--data-dir", filepath.Join(dir, "data"),
		"--models-dir", filepath.Join(dir, "models"), "--config", config)
}

func wantCatalogModel(index uint64, d *hives.Desired) {
	d.Models = []hives.DesiredModel{{Ref: "big", Index: index, Source: "hf:org/repo/big.gguf"}}
	d.Workers = []hives.DesiredWorker{{ID: "w1", Index: index, Model: "big", Engine: "files", Device: "gpu0", Slots: 2}}
}

// Killed in mid-download, a hive loses no more than what came since the last second began, and
// its worker starts under the next agent; killed then, the engine goes on with its file.
func TestAHiveKilledInMidDownload(t *testing.T) {
	q, hub := agenttest.New(t), hubtest.New(t)
	const size, held = 48 << 20, 10 << 20
	digest := hub.Put("org/repo/big.gguf", hubtest.Noise(1, size))
	hold := make(chan struct{})
	hub.Break(func(a hubtest.Ask) hubtest.Fault { return hubtest.Fault{Hold: hold, After: held} })
	dir := t.TempDir()
	p := catalogHive(t, q, hub, dir)
	q.Want(wantCatalogModel)
	q.Await(t, "three parts stand still", func(hb *hives.Heartbeat) bool { return len(hb.Models) == 1 && hb.Models[0].DoneBytes == 3*held })
	state := filepath.Join(dir, "models", "partial", "*", "big.gguf.part.json")
	agenttest.Eventually(t, "the state says so", func() bool {
		found, _ := filepath.Glob(state)
		if len(found) != 1 {
			return false
		}
		data, err := os.ReadFile(found[0])
		return err == nil && strings.Count(string(data), fmt.Sprintf(`"done":%d`, held)) == 3
	})
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	p.code()
	hub.Break(nil)
	close(hold)
	before := len(hub.Asks())

	p = catalogHive(t, q, hub, dir)
	readyAs(t, q, 2)
	hb := q.Last()
	if m := hb.Models; len(m) != 1 || m[0].State != hives.ModelPresent || m[0].Digest != digest || m[0].Bytes != size {
		t.Errorf("%+v", m)
	}
	asked := int64(0)
	for _, a := range hub.Asks()[before:] {
		asked += a.To - a.From
	}
	if asked != size-3*held {
		t.Errorf("%d bytes of %d were asked for, though %d were there", asked, size, 3*held)
	}
	t.Logf("killed with %d of %d bytes; the next agent asked for %d", 3*held, size, asked)
	if left, _ := filepath.Glob(filepath.Join(dir, "models", "partial", "*")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}

	one := p.kill()
	q.Want(func(_ uint64, d *hives.Desired) { d.Models = nil }) // its file stays all the same
	p = catalogHive(t, q, hub, dir)
	readyAs(t, q, 3)
	if now := p.oneEngine(); now != one {
		t.Errorf("the engine was %+v and is %+v", one, now)
	}
	if all := len(hub.Asks()) - before; all > 3 {
		t.Errorf("%d requests: it was fetched again", all)
	}
	p.stop()
}

func TestModelsSectionIsChecked(t *testing.T) {
	for text, want := range map[string]string{
		"models: {parts: 100}":                                "parts: use 1 to 64",
		"models: {files: [relative]}":                         "absolute paths",
		"models: {cache_limit: much}":                         "is not a size",
		"models: {hub: {endpoint: nowhere}}":                  "is not a URL",
		"models: {hub: {token_env: RBEE_TEST_NO_SUCH_TOKEN}}": "RBEE_TEST_NO_SUCH_TOKEN",
		"models: {mirror: x}":                                 "mirror",
	} {
		config := filepath.Join(t.TempDir(), "hive.yaml")
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		s := NewServe(os.Stderr)
		err := s.ParseFlags([]string{"--id", "h1", "--addr", "127.0.0.1:0", "--queen", "http://127.0.0.1:1", "--token", "t", "--data-dir", t.TempDir(),
			"--external", "box=http://127.0.0.1:1", "--config", config})
		if err == nil {
			err = s.Validate()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}
