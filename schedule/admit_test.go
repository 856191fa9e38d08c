package schedule

import (
	"strings"
	"testing"
	"time"

	"queen-rbee/fsm"
)

// TestInvalid: what a client may not ask is refused by the name of its field.
func TestInvalid(t *testing.T) {
	e := born(t)
	e.hive("h1", "b1", 10, model("m", 1, 1))
	for field, spoil := range map[string]func(*Submit){
		"id":               func(s *Submit) { s.Job.ID = "" },
		"tenant":           func(s *Submit) { s.Job.Tenant = "" },
		"model":            func(s *Submit) { s.Job.Model = strings.Repeat("m", maxText+1) },
		"path":             func(s *Submit) { s.Job.Path = "" },
		"api":              func(s *Submit) { s.Job.API = "grpc" },
		"priority":         func(s *Submit) { s.Job.Priority = 0 },
		"on_worker_loss":   func(s *Submit) { s.Job.OnLoss = 9 },
		"grace":            func(s *Submit) { s.Job.Grace = -1 },
		"deadline":         func(s *Submit) { s.Within = -time.Second },
		"body":             func(s *Submit) { s.Job.Body = fsm.Body{} },
		"labels":           func(s *Submit) { s.Job.Labels = []fsm.Label{{}} },
		"labels: at most":  func(s *Submit) { s.Job.Labels = make([]fsm.Label, maxLabels+1) },
		"holders":          func(s *Submit) { s.Job.Holders = nil },
		"session":          func(s *Submit) { s.Job.Session = strings.Repeat("s", maxText+1) },
		"idempotency key":  func(s *Submit) { s.Job.IdempotencyKey = strings.Repeat("k", maxText+1) },
		"hive":             func(s *Submit) { s.Job.Pin = strings.Repeat("h", maxID+1) },
		"holders: an atta": func(s *Submit) { s.Job.Holders[0].Boot = "" },
	} {
		s := submission("j1", "m")
		spoil(s)
		a := e.ask(Request{Submit: s})
		if a.Err == nil || a.Err.Code != fsm.CodeInvalid || !strings.HasPrefix(a.Err.Message, field) {
			t.Errorf("%s: %v", field, a.Err)
		}
	}
	if n := e.view.Counts().Queued; n != 0 {
		t.Errorf("%d jobs were admitted", n)
	}
}

// TestBadFacts: what a hive tells of itself is bounded, too.
func TestBadFacts(t *testing.T) {
	e := born(t)
	for field, spoil := range map[string]func(*Register){
		"id":         func(r *Register) { r.ID = "" },
		"boot":       func(r *Register) { r.Boot = "" },
		"url":        func(r *Register) { r.Facts.URL = "" },
		"devices":    func(r *Register) { r.Facts.Devices = make([]fsm.Device, fsm.MaxDevices+1) },
		"devices: g": func(r *Register) { r.Facts.Devices = []fsm.Device{{ID: "g", Total: -1}} },
		"devices.id": func(r *Register) { r.Facts.Devices = []fsm.Device{{}} },
		"labels":     func(r *Register) { r.Facts.Labels = make([]fsm.Label, fsm.MaxLabels+1) },
		"models":     func(r *Register) { r.Facts.Models = make([]fsm.EngineModel, fsm.MaxModels+1) },
		"models: m":  func(r *Register) { r.Facts.Models = []fsm.EngineModel{model("m", -1, 1)} },
		"mode":       func(r *Register) { r.Mode = strings.Repeat("x", maxID+1) },
		"version":    func(r *Register) { r.Facts.Version = strings.Repeat("x", maxText+1) },
		"labels: keys": func(r *Register) {
			r.Facts.Labels = []fsm.Label{{Key: "zone", Value: strings.Repeat("x", maxText+1)}}
		},
		"devices.kind": func(r *Register) {
			r.Facts.Devices = []fsm.Device{{ID: "g", Kind: strings.Repeat("x", maxID+1)}}
		},
		"models.engine": func(r *Register) {
			r.Facts.Models = []fsm.EngineModel{{Ref: "m", Engine: strings.Repeat("x", maxID+1)}}
		},
		"models.ref": func(r *Register) { r.Facts.Models = []fsm.EngineModel{{}} },
	} {
		r := &Register{ID: "h1", Boot: "b", Facts: fsm.HiveFacts{URL: "http://h1"}}
		spoil(r)
		a := e.ask(Request{Register: r})
		if a.Err == nil || a.Err.Code != fsm.CodeInvalid || !strings.HasPrefix(a.Err.Message, field) {
			t.Errorf("%s: %v", field, a.Err)
		}
	}
}

// TestUnborn: before genesis every request but that is refused.
func TestUnborn(t *testing.T) {
	e := newEnv(t)
	a := e.do(Request{Submit: submission("j1", "m")}, Request{Tick: &Tick{}}, Request{Genesis: &Genesis{}},
		Request{Genesis: &Genesis{ClusterID: "c", Epoch: testEpoch}}, Request{Genesis: &Genesis{ClusterID: "c", Epoch: testEpoch}})
	for i, code := range []string{fsm.CodeNoLeader, fsm.CodeNoLeader, fsm.CodeInvalid, "", ""} {
		if (a[i].Err == nil) != (code == "") || (code != "" && a[i].Err.Code != code) {
			t.Errorf("request %d: %v", i, a[i].Err)
		}
	}
	if m := e.view.Meta(); m.Epoch != testEpoch || m.Index != 1 || a[3].Epoch != testEpoch || a[3].Index != 1 {
		t.Errorf("%+v, answer %+v", m, a[3])
	}
}

// TestBeatFacts: facts, slots and progress enter the log when they change, and only then.
func TestBeatFacts(t *testing.T) {
	e := born(t)
	e.hive("h1", "b1", 10, model("m", 1, 2))
	e.ask(Request{SpawnWorker: &SpawnWorker{ID: "w1", Model: "m"}})
	h, _ := e.view.Hive("h1")
	beat := func(change func(*Beat)) int {
		b := e.beatOf("h1")
		facts := h.Facts
		b.Facts = &facts
		change(b)
		p := e.plan(Request{Beat: b})
		e.apply(p)
		return len(p.Batch.Commands)
	}
	for i, c := range []struct {
		change func(*Beat)
		want   int
	}{
		{func(*Beat) {}, 0},
		{func(b *Beat) { b.Facts.Version = "2" }, 1},
		{func(b *Beat) {
			b.Facts.Version = "2"
			b.Workers[0].State, b.Workers[0].Progress = fsm.WorkerLoading, 0.5
		}, 1},
		{func(b *Beat) { b.Facts.Version = "2"; b.Workers[0].Progress = 0.55 }, 0},
		{func(b *Beat) { b.Facts.Version = "2"; b.Workers[0].Progress = 7 }, 1},
		{func(b *Beat) { b.Facts.Version = "2"; b.Workers[0].State, b.Workers[0].Slots = fsm.WorkerReady, 5 }, 1},
		{func(b *Beat) { b.Facts.Version = "2" }, 0},
		{func(b *Beat) { b.Facts.Devices = make([]fsm.Device, fsm.MaxDevices+1) }, 0},
	} {
		if got := beat(c.change); got != c.want {
			t.Errorf("step %d: want %d commands, got %d", i, c.want, got)
		}
	}
	if w, _ := e.view.Worker("w1"); w.Slots != 5 || w.State != fsm.WorkerReady {
		t.Errorf("%+v", w)
	}
}

// TestMembers: rows and keys are written when they change.
func TestMembers(t *testing.T) {
	e := born(t)
	q := fsm.Queen{ID: "q1", Boot: "b1", Role: fsm.RoleVoter, HTTP: "http://q1", Level: fsm.CurrentLevel}
	k := fsm.Key{Hash: [32]byte{1}, Tenant: "t", Role: fsm.KeyUser, Name: "n"}
	for i, c := range []struct {
		reqs []Request
		want int
	}{
		{[]Request{{Member: &Member{q}}, {Member: &Member{q}}}, 1},
		{[]Request{{Member: &Member{q}}}, 0},
		{[]Request{{PutKey: &PutKey{k}}, {PutKey: &PutKey{k}}}, 1},
		{[]Request{{PutKey: &PutKey{k}}}, 0},
		{[]Request{{Forget: &Forget{"q1"}}, {Forget: &Forget{"q1"}}}, 1},
		{[]Request{{Forget: &Forget{"q1"}}, {Tick: &Tick{}}, {Genesis: &Genesis{}}}, 0},
	} {
		p := e.plan(c.reqs...)
		e.apply(p)
		if len(p.Batch.Commands) != c.want {
			t.Errorf("step %d: want %d commands, got %d", i, c.want, len(p.Batch.Commands))
		}
	}
	for i, r := range []Request{{}, {PutKey: &PutKey{fsm.Key{Tenant: "t", Role: fsm.KeyUser}}}, {PutKey: &PutKey{fsm.Key{Tenant: "t", Hash: [32]byte{1}}}}, {Member: &Member{}}} {
		if a := e.ask(r); a.Err == nil || a.Err.Code != fsm.CodeInvalid {
			t.Errorf("bad request %d: %v", i, a.Err)
		}
	}
}

// TestRetention: beyond RetainJobs, ended jobs older than RetainMin go early; a plan forgets a bounded number.
func TestRetention(t *testing.T) {
	e := born(t)
	e.lim.RetainJobs = 100
	e.hive("h1", "b1", 10, model("m", 1, 1))
	const n = 1500
	for i := range n {
		s := submission(strings.Repeat("j", 1+i/1000)+string(rune('a'+i%26))+time.Duration(i).String(), "m")
		e.do(Request{Submit: s}, Request{Cancel: &Cancel{Job: s.Job.ID}})
	}
	if got := e.view.Counts().Ended; got != n {
		t.Fatalf("%d ended", got)
	}
	e.now += e.lim.RetainMin
	p := e.plan()
	e.apply(p)
	if got := e.view.Counts().Ended; got != n-retireMost || !p.More {
		t.Fatalf("%d are kept, more %v", got, p.More)
	}
	e.do()
	if got := e.view.Counts().Ended; got != 100 {
		t.Fatalf("%d are kept", got)
	}
	e.now += e.lim.Retain
	e.do()
	if got := e.view.Counts().Ended; got != 0 {
		t.Fatalf("%d are kept", got)
	}
}
