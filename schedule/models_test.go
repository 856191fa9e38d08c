package schedule

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"queen-rbee/fsm"
)

func TestADroppedModel(t *testing.T) {
	e := born(t)
	e.fileHive("h1", 100)
	e.put(entry("a", 10))
	e.submit("j1", "a")
	e.allReady("h1")
	e.submit("j2", "a")
	if a := e.ask(Request{DropModel: &DropModel{Ref: "a"}}); a.Err != nil {
		t.Fatal(a.Err)
	}
	e.later(period)
	e.want("drains", "a@h1:draining")
	if j := e.job("j2"); j.State != fsm.JobFailed || j.Failure.Code != fsm.CodeModelNotFound {
		t.Errorf("the waiting job is %s: %+v", j.State, j.Failure)
	}
	if j := e.job("j1"); j.State != fsm.JobRunning {
		t.Errorf("the running job is %s", j.State)
	}
	if a := e.ask(Request{Submit: submission("j3", "a")}); a.Err == nil || a.Err.Code != fsm.CodeModelNotFound {
		t.Errorf("a new job: %v", a.Err)
	}
	e.finish("j1")
	e.later(e.lim.RetainMin + period)
	for range e.view.DroppedModels() {
		t.Error("its row stays for ever")
	}
}

// A load is late by its size; one whose file still moves is not, one whose file stands is.
func TestLateLoads(t *testing.T) {
	for name, c := range map[string]struct {
		moved fsm.Time // before the deadline, or -1 for no fetch
		fails string
	}{
		"no fetch": {-1, loadLate}, "a fetch that moves": {time.Second, ""}, "a fetch that stands": {6 * time.Minute, fetchStuck},
	} {
		t.Run(name, func(t *testing.T) {
			e := born(t)
			e.fileHive("h1", 100<<30)
			m := entry("a", 10<<30)
			e.put(m)
			e.submit("j1", "a")
			due := loadTime(&m)
			if due != 5*time.Minute+200*time.Second {
				t.Fatalf("ten GiB may take %s", due)
			}
			e.later(due - time.Second)
			e.want("in time", "a@h1:spawning")
			if c.moved >= 0 {
				h := e.hives["h1"]
				h.Fetches = map[string]Fetched{"a": {Done: 5, Total: 9, Moved: e.now - c.moved}}
				e.hives["h1"] = h
			}
			e.later(2 * time.Second)
			w := slices.Collect(e.view.Workers())[0]
			switch {
			case c.fails == "" && w.State != fsm.WorkerSpawning:
				t.Errorf("the worker is %s: %+v", w.State, w.Failure)
			case c.fails != "" && (w.State != fsm.WorkerFailed || w.Failure.Code != c.fails):
				t.Errorf("the worker is %s: %+v", w.State, w.Failure)
			}
		})
	}
}

func TestFetch(t *testing.T) {
	e := born(t)
	e.fileHive("h1", 60)
	e.fileHive("h2", 100)
	e.put(entry("m", 50))
	fetch := func(f Fetch) Answer { f.Ref = "m"; return e.ask(Request{Fetch: &f}) }
	if a := fetch(Fetch{}); a.Err != nil || !slices.Equal(a.Hives, []string{"h2"}) {
		t.Fatalf("where it fits best: %v, %v", a.Hives, a.Err)
	}
	if y, ok := e.view.Copy("m", "h2"); !ok || !y.Wanted || y.State != fsm.CopyDownloading {
		t.Fatalf("the copy is %+v", y)
	}
	if a := fetch(Fetch{Hives: []string{"h9"}}); a.Err == nil || a.Err.Code != fsm.CodeNotFound {
		t.Errorf("a hive that is not there: %v", a.Err)
	}
	b := e.beatOf("h2")
	b.Copies = []BeatCopy{{Model: "m", State: fsm.CopyFailed, Failure: &fsm.Failure{Code: "digest_mismatch", Message: "other bytes"}}}
	e.ask(Request{Beat: b})
	if y, _ := e.view.Copy("m", "h2"); y.State != fsm.CopyFailed || !y.Wanted || y.Failure.Message != "other bytes" {
		t.Errorf("the copy is %+v", y)
	}
	if a := fetch(Fetch{Drop: true}); a.Err != nil || !slices.Equal(a.Hives, []string{"h2"}) {
		t.Fatalf("dropped on %v, %v", a.Hives, a.Err)
	}
	e.ask(Request{Beat: e.beatOf("h2")})
	if y, ok := e.view.Copy("m", "h2"); ok {
		t.Errorf("what the hive has not is kept: %+v", y)
	}
}

func TestDescriptionsAreChecked(t *testing.T) {
	e := born(t)
	taken := entry("taken", 1)
	taken.Aliases = []string{"t"}
	e.put(taken)
	for field, m := range map[string]fsm.Model{
		"ref":          entry("no name", 1),
		"ref: \"t\"":   entry("t", 1),
		"aliases":      {Ref: "m", Aliases: []string{"../x"}},
		"aliases: \"t": {Ref: "m", Aliases: []string{"taken"}},
		"source":       {Ref: "m", Source: "ftp://x", Engine: "e"},
		"engine":       {Ref: "m", Source: "https://x/y"},
		"digest":       {Ref: "m", Digest: "sha256:AB"},
		"vram_bytes":   {Ref: "m", VRAM: -1},
		"slots":        {Ref: "m", Slots: maxSlots + 1},
		"context":      {Ref: "m", Context: -1},
		"min_replicas": {Ref: "m", MinReplicas: 3, MaxReplicas: 2},
		"max_replicas": {Ref: "m", MaxReplicas: -1},
		"idle_ttl":     {Ref: "m", IdleTTL: 400 * 24 * time.Hour},
		"labels":       {Ref: "m", Labels: []fsm.Label{{}}},
	} {
		if a := e.ask(Request{PutModel: &PutModel{Model: m}}); a.Err == nil || !strings.HasPrefix(a.Err.Message, field) {
			t.Errorf("%s: %v", field, a.Err)
		}
	}
}

// A model of a hive's own configuration may stand in the catalog for its aliases and replicas.
func TestTheCatalogRulesOverAHivesOwnModel(t *testing.T) {
	e := born(t)
	e.hive("h1", "b", 100, model("own", 10, 2))
	e.put(fsm.Model{Ref: "own", Aliases: []string{"mine"}, MaxReplicas: 1, IdleTTL: time.Minute})
	e.submit("j1", "mine")
	e.allReady("h1")
	e.finish("j1")
	e.later(time.Minute)
	e.want("its idle time is over")
	if a := e.ask(Request{DropModel: &DropModel{Ref: "own"}}); a.Err != nil {
		t.Fatal(a.Err)
	}
	e.ask(Request{Beat: e.beatOf("h1")})
	e.submit("j2", "own")
	e.want("as without the catalog", "own@h1:spawning")
}

func TestAnUnknownModelIsRefusedWithWhatThereIs(t *testing.T) {
	e := born(t)
	e.fileHive("h1", 100)
	e.put(entry("b", 10), entry("a", 10))
	if a := e.ask(Request{Submit: submission("j1", "c")}); a.Err == nil || a.Err.Message != `model "c" is not known; known models: a, b` {
		t.Errorf("%v", a.Err)
	}
	for i := range 9 {
		e.put(entry(fmt.Sprintf("m%d", i), 10))
	}
	if a := e.ask(Request{Submit: submission("j1", "c")}); a.Err == nil || !strings.HasSuffix(a.Err.Message, "m4, m5, …") {
		t.Errorf("%v", a.Err)
	}
}
