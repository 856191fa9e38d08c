package schedule

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"queen-rbee/fsm"
)

// fileHive registers a hive with one device and an engine that takes files.
func (e *env) fileHive(id string, memory int64, labels ...fsm.Label) {
	e.t.Helper()
	a := e.ask(Request{Register: &Register{ID: id, Boot: "b", Replaces: newest(e.view, id), Mode: "network", Facts: fsm.HiveFacts{
		URL: "http://" + id, Devices: []fsm.Device{{ID: "gpu0", Kind: "cuda", Total: memory}}, Engines: []string{"llama.cpp"}, Labels: labels}}})
	if a.Err != nil {
		e.t.Fatalf("register: %v", a.Err)
	}
}

// entry is a model of the catalog that takes so much memory.
func entry(ref string, vram int64) fsm.Model {
	return fsm.Model{Ref: ref, Source: "hf:o/r/" + ref, Engine: "llama.cpp", VRAM: vram, Slots: 1}
}

func (e *env) put(models ...fsm.Model) {
	e.t.Helper()
	for _, m := range models {
		if a := e.ask(Request{PutModel: &PutModel{Model: m}}); a.Err != nil {
			e.t.Fatalf("put %s: %v", m.Ref, a.Err)
		}
	}
}

// later lets time pass and plans once more.
func (e *env) later(d time.Duration) {
	e.t.Helper()
	for id, h := range e.hives { // they beat on
		h.LastBeat = e.now + d
		e.hives[id] = h
	}
	e.now += d
	e.do()
}

// alive lists the live workers as model@hive:state.
func (e *env) alive() []string {
	var list []string
	for w := range e.view.Workers() {
		if !w.State.Gone() {
			list = append(list, fmt.Sprintf("%s@%s:%s", w.Model, w.Hive, w.State))
		}
	}
	slices.Sort(list)
	return list
}

func (e *env) want(what string, want ...string) {
	e.t.Helper()
	if got := e.alive(); !slices.Equal(got, want) {
		e.t.Fatalf("%s: workers are %v, want %v", what, got, want)
	}
}

func (e *env) submit(id, model string) {
	e.t.Helper()
	s := submission(id, model)
	s.Job.Detached, s.Job.Holders = true, nil
	if a := e.ask(Request{Submit: s}); a.Err != nil {
		e.t.Fatalf("submit %s: %v", id, a.Err)
	}
}

func (e *env) finish(id string) {
	e.t.Helper()
	j, _ := e.view.Job(id)
	if j.State != fsm.JobRunning {
		e.t.Fatalf("job %s is %s", id, j.State)
	}
	if a := e.ask(Request{Finished: &Finished{Job: id, Attempt: j.Attempt, Outcome: fsm.JobComplete}}); a.Err != nil {
		e.t.Fatalf("finish: %v", a.Err)
	}
}

func (e *env) job(id string) *fsm.Job {
	j, ok := e.view.Job(id)
	if !ok {
		e.t.Fatalf("no job %s", id)
	}
	return j
}

func TestACatalogModelIsPlacedWhereItFits(t *testing.T) {
	e := born(t)
	e.fileHive("small", 10)
	e.fileHive("large", 100)
	e.fileHive("labelled", 200, fsm.Label{Key: "zone", Value: "eu"})
	m := entry("m", 50)
	m.Aliases = []string{"alias"}
	e.put(m)
	e.submit("j1", "alias")
	e.want("with room", "m@labelled:spawning")
	if j := e.job("j1"); j.Model != "m" {
		t.Errorf("the job's model is %s", j.Model)
	}
	w := slices.Collect(e.view.WorkersOf("m"))[0]
	if w.LoadFor != loadTime(&m) || w.Slots != 1 || w.VRAM != 50 {
		t.Errorf("spawned as %+v", w)
	}
	eu := entry("eu", 30)
	eu.Labels = []fsm.Label{{Key: "zone", Value: "us"}}
	e.put(eu)
	s := submission("j2", "eu")
	if a := e.ask(Request{Submit: s}); a.Err == nil || a.Err.Code != fsm.CodeNoHiveFits {
		t.Errorf("a model that no hive's labels allow: %v", a.Err)
	}
}

// A hive that holds the file is chosen before one with more room.
func TestTheHiveThatHoldsTheFileComesFirst(t *testing.T) {
	e := born(t)
	e.fileHive("h1", 60)
	e.fileHive("h2", 100)
	e.put(entry("m", 50))
	b := e.beatOf("h1")
	b.Copies = []BeatCopy{{Model: "m", State: fsm.CopyPresent, Bytes: 9, Digest: "sha256:aa"}}
	e.ask(Request{Beat: b})
	if m, _ := e.view.Model("m"); m.Digest != "sha256:aa" || m.Size != 9 {
		t.Errorf("the catalog has not learnt from the copy: %+v", m)
	}
	e.submit("j1", "m")
	e.want("held", "m@h1:spawning")
}

// What nobody knows the size of waits for an inspection, and is refused once that has failed.
func TestAnUnknownModelWaitsToBeInspected(t *testing.T) {
	e := born(t)
	e.fileHive("h1", 100)
	m := entry("m", 0)
	m.Slots, m.Context = 2, 512
	e.put(m)
	e.submit("j1", "m")
	e.want("unknown")
	e.ask(Request{Inspected: &Inspected{Ref: "m", Source: m.Source, Slots: 2, Context: 1024, Size: 500}}) // of another description
	e.later(period)
	e.want("still unknown")
	e.ask(Request{Inspected: &Inspected{Ref: "m", Source: m.Source, Slots: 2, Context: 512, Size: 40, Memory: fsm.Memory{Weights: 40, KV: 10, Overhead: 5}}})
	e.later(period)
	e.want("inspected", "m@h1:spawning")
	bad := entry("bad", 0)
	e.put(bad)
	e.ask(Request{Inspected: &Inspected{Ref: "bad", Source: bad.Source, Slots: 1, Failure: &fsm.Failure{Code: "not_found", Message: "404 of the hub"}}})
	a := e.ask(Request{Submit: submission("j2", "bad")})
	if a.Err == nil || a.Err.Code != fsm.CodeNoHiveFits || !strings.Contains(a.Err.Message, "404 of the hub") {
		t.Errorf("refused with %v", a.Err)
	}
}

// Three models that need the same device take turns: whoever is loaded serves all that waits
// for it, and a place is taken only when the device is free by its hive's word.
func TestModelsTakeTurnsOnADevice(t *testing.T) {
	e := born(t)
	e.fileHive("h1", 100)
	e.put(entry("a", 80), entry("b", 80), entry("c", 80))
	for i, model := range []string{"a", "b", "c", "a", "b", "c"} {
		e.submit(fmt.Sprintf("j%d", i), model)
		e.now += time.Millisecond
	}
	var loads []string
	for i, model := range []string{"a", "b", "c"} {
		e.want("loading", model+"@h1:spawning")
		loads = append(loads, model)
		e.allReady("h1")
		e.want("ready", model+"@h1:ready")
		e.finish(fmt.Sprintf("j%d", i))
		if j := e.job(fmt.Sprintf("j%d", i+3)); j.State != fsm.JobRunning {
			t.Fatalf("%s waits while its model is loaded", j.ID)
		}
		e.later(e.lim.EvictIdle)
		e.want("while it runs", model+"@h1:ready")
		e.finish(fmt.Sprintf("j%d", i+3))
		e.later(e.lim.EvictIdle / 2)
		e.want("just used", model+"@h1:ready")
		e.later(e.lim.EvictIdle / 2)
		if i == 2 {
			e.want("nobody waits any more", "c@h1:ready")
			break
		}
		e.want("evicted")
		e.later(time.Minute)
		e.want("not free by the hive's word")
		e.ask(Request{Beat: e.beatOf("h1")})
		e.later(period)
	}
	if !slices.Equal(loads, []string{"a", "b", "c"}) {
		t.Errorf("loaded %v", loads)
	}
}

// A model under a load without end gives way to one that has waited for long: it is drained.
func TestABusyModelGivesWayInTime(t *testing.T) {
	e := born(t)
	e.fileHive("h1", 100)
	e.put(entry("a", 80), entry("b", 80))
	e.submit("a0", "a")
	e.allReady("h1")
	e.submit("a1", "a")
	e.submit("b0", "b")
	e.later(e.lim.SwapAfter - time.Second)
	e.finish("a0")
	e.want("not long enough", "a@h1:ready")
	e.submit("a2", "a")
	e.later(time.Second)
	e.want("drained", "a@h1:draining")
	if j := e.job("a1"); j.State != fsm.JobRunning {
		t.Fatalf("the run in flight is %s", j.State)
	}
	e.finish("a1")
	e.want("over")
	e.ask(Request{Beat: e.beatOf("h1")})
	e.later(period)
	e.want("its turn", "b@h1:spawning")
}

func TestPinnedAndKeptWorkersStay(t *testing.T) {
	e := born(t)
	e.fileHive("h1", 100)
	pinned, kept := entry("pinned", 40), entry("kept", 40)
	pinned.Pin, pinned.MinReplicas, pinned.IdleTTL = true, 1, time.Second
	kept.MinReplicas, kept.IdleTTL = 1, time.Second
	e.put(pinned, kept, entry("other", 40))
	e.later(period)
	e.want("without demand", "kept@h1:spawning", "pinned@h1:spawning")
	e.allReady("h1")
	e.submit("j1", "other")
	e.later(time.Hour)
	e.want("an hour later", "kept@h1:ready", "pinned@h1:ready")
	kept.MinReplicas = 0
	e.put(kept)
	e.later(period)
	e.want("kept no more", "pinned@h1:ready")
}

// The fewest go, on one device: one large worker rather than two small ones, and of equal ones
// that with the shortest keep-alive.
func TestTheFewestAreEvicted(t *testing.T) {
	e := born(t)
	e.fileHive("h1", 100)
	long, short, large := entry("long", 20), entry("short", 20), entry("large", 50)
	long.IdleTTL = time.Hour
	e.put(long, short, large, entry("half", 55), entry("little", 25))
	for _, m := range []string{"long", "short", "large"} {
		e.submit("j-"+m, m)
		e.allReady("h1")
		e.finish("j-" + m)
	}
	e.later(e.lim.EvictIdle)
	e.submit("j4", "little")
	e.want("one small one", "large@h1:ready", "long@h1:ready")
	e.ask(Request{Beat: e.beatOf("h1")})
	e.later(period)
	e.allReady("h1")
	e.finish("j4")
	e.later(e.lim.EvictIdle)
	e.submit("j5", "half")
	e.want("one large one", "little@h1:ready", "long@h1:ready")
}

// A load that nobody waits for any more is given up when another needs the room, and not
// before.
func TestALoadNobodyWaitsForIsGivenUp(t *testing.T) {
	e := born(t)
	e.fileHive("h1", 100)
	e.put(entry("a", 80), entry("b", 80))
	e.submit("j1", "a")
	e.later(e.lim.EvictIdle)
	e.submit("j2", "b")
	e.want("somebody waits", "a@h1:spawning")
	e.ask(Request{Cancel: &Cancel{Job: "j1"}})
	e.later(period)
	e.want("nobody waits")
	e.ask(Request{Beat: e.beatOf("h1")})
	e.later(period)
	e.want("the other", "b@h1:spawning")
}

func TestKeepAlive(t *testing.T) {
	e := born(t)
	e.fileHive("h1", 100)
	e.put(entry("a", 10))
	run := func(id string, keep fsm.KeepAlive) {
		s := submission(id, "a")
		s.Job.Detached, s.Job.Holders, s.Job.KeepAlive = true, nil, keep
		if a := e.ask(Request{Submit: s}); a.Err != nil {
			t.Fatal(a.Err)
		}
		e.allReady("h1")
		e.finish(id)
	}
	run("j1", 0)
	e.later(fsm.DefaultIdleTTL - time.Second)
	e.want("by default", "a@h1:ready")
	run("j2", fsm.KeepFor(10*time.Second))
	e.later(9 * time.Second)
	e.want("as asked", "a@h1:ready")
	e.later(time.Second)
	e.want("over")
	e.ask(Request{Beat: e.beatOf("h1")})
	run("j3", fsm.KeepForever)
	e.later(24 * time.Hour)
	e.want("for ever", "a@h1:ready")
	run("j4", fsm.KeepFor(0))
	e.later(period)
	e.want("at once")
}

// A load that dies for lack of memory is tried once more when what rests has left; then jobs
// end with the numbers.
func TestALoadWithoutMemory(t *testing.T) {
	e := born(t)
	e.fileHive("h1", 100)
	e.put(entry("a", 10), entry("b", 20))
	e.submit("j1", "a")
	e.allReady("h1")
	e.finish("j1")
	e.submit("j2", "b")
	die := func() {
		b := e.beatOf("h1")
		for i := range b.Workers {
			if w, _ := e.view.Worker(b.Workers[i].ID); w.Model == "b" {
				b.Workers[i].State, b.Workers[i].Error, b.Workers[i].Code = fsm.WorkerFailed, "cudaMalloc failed", outOfMemory
			}
		}
		if a := e.ask(Request{Beat: b}); a.Err != nil {
			t.Fatal(a.Err)
		}
	}
	e.want("both", "a@h1:ready", "b@h1:spawning")
	die()
	e.want("room is made")
	e.ask(Request{Beat: e.beatOf("h1")})
	e.later(e.lim.MemoryPause)
	e.want("once more", "b@h1:spawning")
	die()
	e.later(period)
	j := e.job("j2")
	if j.State != fsm.JobFailed || !strings.Contains(j.Failure.Message, "takes 20 bytes") || !strings.Contains(j.Failure.Message, "has 100 in all") {
		t.Errorf("the job is %s: %+v", j.State, j.Failure)
	}
}
