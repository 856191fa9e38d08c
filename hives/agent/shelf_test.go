package agent

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
	"queen-rbee/hives/engine"
	"queen-rbee/hives/models"
	"queen-rbee/hives/models/hubtest"
)

const tiny = "hf:org/repo/tiny.gguf"

// modelRig is a rig with a hub, and with an engine that takes files of the catalog.
func modelRig(t *testing.T, change ...func(*Config)) (*rig, *hubtest.Hub, string) {
	hub := hubtest.New(t)
	digest := hub.Put("org/repo/tiny.gguf", hubtest.GGUF(hubtest.Llama(hubtest.Tiny())))
	change = append([]func(*Config){func(c *Config) {
		c.Engines = append(c.Engines, engine.Definition{Name: "files", Command: []string{"files", "{{.ModelPath}}"}})
		c.Models = models.Options{Endpoint: hub.URL, AllowPrivate: true, AllowHTTP: true, Slack: 1 << 20}
	}}, change...)
	return newRig(t, change...), hub, digest
}

// want wants a model.
func (r *rig) wantModel(ref, source string, change ...func(*hives.DesiredModel)) uint64 {
	return r.queen.Want(func(index uint64, d *hives.Desired) {
		m := hives.DesiredModel{Ref: ref, Index: index, Source: source}
		for _, f := range change {
			f(&m)
		}
		d.Models = append([]hives.DesiredModel{m}, withoutModel(d, ref)...)
	})
}

func (r *rig) unwantModel(ref string) uint64 {
	return r.queen.Want(func(_ uint64, d *hives.Desired) { d.Models = withoutModel(d, ref) })
}

func withoutModel(d *hives.Desired, ref string) (left []hives.DesiredModel) {
	for _, m := range d.Models {
		if m.Ref != ref {
			left = append(left, m)
		}
	}
	return left
}

// wantWorker wants a worker of the engine that takes files.
func (r *rig) wantWorker(id, model string) uint64 {
	return r.queen.Want(func(index uint64, d *hives.Desired) {
		d.Workers = append(d.Workers, hives.DesiredWorker{ID: id, Index: index, Model: model, Engine: "files", Device: "cpu", Slots: 2, Context: 512, VRAMBytes: 5})
	})
}

func modelIn(hb *hives.Heartbeat, ref string) hives.ModelReport {
	for _, m := range hb.Models {
		if m.Ref == ref {
			return m
		}
	}
	return hives.ModelReport{}
}

// awaitModel waits for a heartbeat that says so of a model. It may have been sent already.
func (r *rig) awaitModel(ref, state string) (found hives.ModelReport) {
	r.t.Helper()
	agenttest.Eventually(r.t, ref+" "+state, func() bool {
		if hb := r.queen.Last(); hb != nil {
			found = modelIn(hb, ref)
		}
		return found.State == state
	})
	return found
}

func (r *rig) awaitWorker(id string, state hives.WorkerState) (found hives.WorkerReport) {
	r.t.Helper()
	agenttest.Eventually(r.t, id+" "+string(state), func() bool {
		for _, w := range r.queen.Last().Workers {
			if w.ID == id {
				found = w
			}
		}
		return found.State == state
	})
	return found
}

func TestADesiredModelComesAndGoes(t *testing.T) {
	r, hub, digest := modelRig(t)
	hold := make(chan struct{})
	hub.Break(func(hubtest.Ask) hubtest.Fault { return hubtest.Fault{Hold: hold, After: 1000} })
	r.wantModel("tiny", tiny)
	r.queen.Await(t, "bytes are told", func(hb *hives.Heartbeat) bool {
		m := modelIn(hb, "tiny")
		return m.State == hives.ModelDownloading && m.DoneBytes > 0 && m.TotalBytes > m.DoneBytes && m.Progress > 0
	})
	close(hold)
	m := r.awaitModel("tiny", hives.ModelPresent)
	if m.Digest != digest || m.Bytes < 50_000 || m.Error != nil {
		t.Errorf("%+v", m)
	}
	// The catalog learns the digest from the hive: nothing is fetched again.
	asked := hub.Requests()
	r.wantModel("tiny", tiny, func(d *hives.DesiredModel) { d.Digest, d.Bytes = digest, m.Bytes })
	code, text := r.ask("GET", "/v1/models/list", nil)
	if code != 200 || !strings.Contains(text, digest) || !strings.Contains(text, `"engine":"fake"`) {
		t.Errorf("%d %s", code, text)
	}
	code, text = r.ask("GET", "/v1/models/blob/"+strings.TrimPrefix(digest, "sha256:"), nil)
	if code != 200 || int64(len(text)) != m.Bytes {
		t.Errorf("%d, %d bytes", code, len(text))
	}
	// Wanted no more it stays, until room is needed or it is told to go.
	r.unwantModel("tiny")
	epoch, _ := r.queen.Registered()
	code, text = r.ask("DELETE", "/v1/models/evict", modelBell{Epoch: epoch, DesiredModel: hives.DesiredModel{Ref: "tiny", Index: r.queen.Pass(1)}})
	if code != 200 && code != 202 || hub.Requests() != asked { // 202: who wanted it is just letting go
		t.Errorf("%d %s", code, text)
	}
	r.awaitFiles(1) // the lock
	r.queen.Await(t, "it is told no more", func(hb *hives.Heartbeat) bool { return modelIn(hb, "tiny").Ref == "" })
	code, _ = r.ask("DELETE", "/v1/models/evict", modelBell{Epoch: epoch, DesiredModel: hives.DesiredModel{Ref: "tiny", Index: r.queen.Pass(1)}})
	if code != 404 {
		t.Errorf("a second time: %d", code)
	}
}

// awaitFiles waits until there are so many files in the models directory.
func (r *rig) awaitFiles(n int) {
	r.t.Helper()
	agenttest.Eventually(r.t, fmt.Sprintf("%d files", n), func() bool {
		found := 0
		_ = filepath.WalkDir(r.agent.cfg.Models.Dir, func(_ string, d os.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				found++
			}
			return nil // what has gone meanwhile is not there
		})
		return found == n
	})
}

func TestAWorkerWaitsForItsFile(t *testing.T) {
	r, hub, _ := modelRig(t)
	hold := make(chan struct{})
	hub.Break(func(hubtest.Ask) hubtest.Fault { return hubtest.Fault{Hold: hold, After: 1000} })
	r.wantModel("tiny", tiny)
	r.wantWorker("w1", "tiny")
	r.queen.Await(t, "it spawns while bytes come", func(hb *hives.Heartbeat) bool {
		return len(hb.Workers) == 1 && hb.Workers[0].State == hives.WorkerSpawning && hb.Workers[0].Progress > 0
	})
	if r.worker("w1") != nil {
		t.Fatal("its engine was started before its file was there")
	}
	close(hold)
	r.awaitWorker("w1", hives.WorkerReady)
	l := r.worker("w1").launch
	data, err := os.ReadFile(l.Model.Path)
	if err != nil || string(data[:4]) != "GGUF" || filepath.Base(l.Model.Path) != "tiny.gguf" || l.Slots != 2 || l.Context != 512 || l.Model.VRAMBytes != 5 {
		t.Errorf("%+v, %v", l, err)
	}
	r.list("j1", "w1", "a b c", nil)
	r.queen.Await(t, "a run on it", func(hb *hives.Heartbeat) bool { return agenttest.Ended(hb, "j1") != nil })
	// It is not taken from under the worker, and goes with it.
	r.unwantModel("tiny")
	epoch, _ := r.queen.Registered()
	code, text := r.ask("DELETE", "/v1/models/evict", modelBell{Epoch: epoch, DesiredModel: hives.DesiredModel{Ref: "tiny", Index: r.queen.Pass(1)}})
	if _, err := os.Stat(l.Model.Path); code != 202 || err != nil {
		t.Errorf("%d %s, %v", code, text, err)
	}
	r.queen.Want(func(_ uint64, d *hives.Desired) { d.Workers = nil })
	r.awaitFiles(1) // it goes with its worker
}

func TestAWorkerWhoseModelCannotBeHad(t *testing.T) {
	r, hub, _ := modelRig(t)
	r.wantModel("gone", "hf:org/repo/gone.gguf")
	r.wantWorker("w1", "gone")
	if w := r.awaitWorker("w1", hives.WorkerFailed); !strings.Contains(w.Error, "404") {
		t.Errorf("%+v", w)
	}
	if m := r.awaitModel("gone", hives.ModelFailed); m.Error == nil || m.Error.Code != models.CodeNotThere {
		t.Errorf("%+v", m.Error)
	}
	// Nobody knows this one.
	r.wantWorker("w2", "nobody's")
	if w := r.awaitWorker("w2", hives.WorkerFailed); !strings.Contains(w.Error, "neither an engine of it nor the cluster's catalog names it") {
		t.Errorf("%+v", w)
	}
	// A worker that comes later has it tried at once, not in a minute.
	hub.Put("org/repo/gone.gguf", hubtest.Noise(1, 5000))
	r.wantWorker("w3", "gone")
	r.awaitWorker("w3", hives.WorkerReady)
	r.awaitModel("gone", hives.ModelPresent)
}

// A worker that is stopped while it waits ends at once.
func TestAWaitingWorkerIsStopped(t *testing.T) {
	r, hub, _ := modelRig(t)
	hold := make(chan struct{})
	defer close(hold)
	hub.Break(func(hubtest.Ask) hubtest.Fault { return hubtest.Fault{Hold: hold, After: 1000} })
	r.wantModel("tiny", tiny)
	r.wantWorker("w1", "tiny")
	r.awaitWorker("w1", hives.WorkerSpawning)
	r.queen.Want(func(_ uint64, d *hives.Desired) { d.Workers, d.Models = nil, nil })
	agenttest.Eventually(t, "it is stopped", func() bool {
		return r.queen.Heard(func(hb *hives.Heartbeat) bool { return agenttest.State(hb, "w1") == hives.WorkerStopped })
	})
	agenttest.Eventually(t, "nothing comes any more", func() bool { return len(r.queen.Last().Models) == 0 })
	if r.spawned() != 0 {
		t.Error("an engine was started")
	}
}

func TestModelDoorbells(t *testing.T) {
	r, _, digest := modelRig(t)
	epoch, _ := r.queen.Registered()
	bell := func(epoch string, index uint64) modelBell {
		return modelBell{Epoch: epoch, DesiredModel: hives.DesiredModel{Ref: "tiny", Index: index, Source: tiny, Digest: digest}}
	}
	for what, b := range map[string]modelBell{"of another epoch": bell("e0", r.queen.Pass(1)), "old": bell(epoch, 1)} {
		for method, path := range map[string]string{"POST": "/v1/models/provision", "DELETE": "/v1/models/evict"} {
			if code, text := r.ask(method, path, b); code != 409 || !strings.Contains(text, hives.CodeStale) {
				t.Errorf("%s %s: %d %s", what, path, code, text)
			}
		}
	}
	bad := bell(epoch, r.queen.Pass(1))
	bad.Source = "hf:../../etc/passwd"
	if code, text := r.ask("POST", "/v1/models/provision", bad); code != 400 || !strings.Contains(text, "cannot stand in a path") {
		t.Errorf("%d %s", code, text)
	}
	if code, text := r.ask("POST", "/v1/models/provision", bell(epoch, r.queen.Pass(1))); code != 202 {
		t.Errorf("%d %s", code, text)
	}
	r.awaitModel("tiny", hives.ModelPresent)
}

func TestInspectRoute(t *testing.T) {
	r, _, digest := modelRig(t)
	code, text := r.ask("POST", "/v1/models/inspect", hives.Inspect{Source: tiny, Slots: 2, Context: 256})
	var in hives.Inspected
	if err := json.Unmarshal([]byte(text), &in); err != nil || code != 200 || in.Digest != digest || in.Memory.KV == 0 || in.Architecture != "llama" || in.ContextMax != 2048 {
		t.Errorf("%d %s", code, text)
	}
	for source, want := range map[string]string{"hf:org/repo/no.gguf": "422 " + models.CodeNotThere, "file:/etc/passwd": "422 " + models.CodeRefused,
		"nonsense": "400 " + hives.CodeInvalid} {
		code, text := r.ask("POST", "/v1/models/inspect", hives.Inspect{Source: source})
		status, wanted, _ := strings.Cut(want, " ")
		if fmt.Sprint(code) != status || !strings.Contains(text, wanted) {
			t.Errorf("%s: %d %s", source, code, text)
		}
	}
	if code, _ := r.ask("GET", "/v1/models/blob/nothex", nil); code != 400 {
		t.Errorf("a blob without a digest: %d", code)
	}
	if code, _ := r.ask("GET", "/v1/models/blob/"+strings.Repeat("0", 64), nil); code != 404 {
		t.Errorf("a blob that is not here: %d", code)
	}
	resp, err := http.Get(r.agent.URL() + "/v1/models/blob/" + strings.Repeat("0", 64))
	if err != nil || resp.StatusCode != 401 {
		t.Fatalf("without the hive token: %v, %v", resp, err)
	}
	_ = resp.Body.Close()
}

// The next hive fetches from the first, and the hub is left alone.
func TestAHiveFetchesFromAnother(t *testing.T) {
	first, hub, digest := modelRig(t)
	first.wantModel("tiny", tiny)
	first.awaitModel("tiny", hives.ModelPresent)
	asked := hub.Requests()
	second, other, _ := modelRig(t)
	second.wantModel("tiny", tiny, func(m *hives.DesiredModel) { m.Digest, m.Peers = digest, []string{first.agent.URL()} })
	if m := second.awaitModel("tiny", hives.ModelPresent); m.Digest != digest {
		t.Errorf("%+v", m)
	}
	if hub.Requests() != asked || other.Requests() != 0 {
		t.Errorf("the hubs were asked %d and %d times", hub.Requests()-asked, other.Requests())
	}
}

// A restart goes on with a download.
func TestADownloadOutlivesItsAgent(t *testing.T) {
	r, hub, digest := modelRig(t)
	hold := make(chan struct{})
	hub.Break(func(hubtest.Ask) hubtest.Fault { return hubtest.Fault{Hold: hold, After: 50_000} })
	r.wantModel("tiny", tiny)
	r.queen.Await(t, "half is here", func(hb *hives.Heartbeat) bool { return modelIn(hb, "tiny").DoneBytes >= 50_000 })
	r.cancelAndWait()
	hub.Break(nil)
	close(hold)
	before := len(hub.Asks())
	r.start()
	if m := r.awaitModel("tiny", hives.ModelPresent); m.Digest != digest {
		t.Errorf("%+v", m)
	}
	if asks := hub.Asks()[before:]; len(asks) != 1 || asks[0].From != 50_000 {
		t.Errorf("it asked for %+v", asks)
	}
}
