package schedule

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"queen-rbee/fsm"
)

// A place found by the indexes of the View is the one that a look at every hive finds, whatever
// the plan has changed before.
func TestPlaceIsTheBestOfAll(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := anyFleet(t)
		for range rapid.IntRange(0, 6).Draw(t, "changes") {
			shift(t, p)
		}
		p.memory = nil
		want := wish{model: anyModel(t), again: rapid.Bool().Draw(t, "again"), device: rapid.SampledFrom([]string{"", "", "d1"}).Draw(t, "device")}
		may := func(h *fsm.Hive) bool { return !hasLabel(h, fsm.Label{Key: "old"}) }
		got, ok := p.place(want, may)
		best, fits := spot{}, false
		for h := range p.current(p.view.Hives()) {
			if !usable(h) || !may(h) || !want.again && p.holds(h.ID, want.model) {
				continue
			}
			if at, ok := p.fit(want, h); ok && (!fits || at.free > best.free) {
				best, fits = at, true
			}
		}
		if ok != fits || ok && (got.hive.ID != best.hive.ID || got.device != best.device || got.model != best.model || got.free != best.free) {
			t.Fatalf("place for %+v is %v %+v; of all hives the best is %v %+v", want, ok, got, fits, best)
		}
	})
}

func anyModel(t *rapid.T) string { return rapid.SampledFrom([]string{"m1", "m2"}).Draw(t, "model") }

func anyHive(t *rapid.T) string { return fmt.Sprint("h", rapid.IntRange(1, 6).Draw(t, "hive")) }

func anyFacts(t *rapid.T) fsm.HiveFacts {
	f := fsm.HiveFacts{URL: "u", Labels: rapid.SampledFrom([][]fsm.Label{nil, nil, nil, {{Key: "old"}}}).Draw(t, "labels")}
	for _, d := range []string{"d1", "d2"}[:rapid.IntRange(1, 2).Draw(t, "devices")] {
		f.Devices = append(f.Devices, fsm.Device{ID: d, Total: rapid.Int64Range(3, 6).Draw(t, "total")})
	}
	for _, m := range []string{"m1", "m2"}[rapid.IntRange(0, 1).Draw(t, "models"):] {
		f.Models = append(f.Models, fsm.EngineModel{Engine: "e", Ref: m, VRAM: rapid.Int64Range(1, 4).Draw(t, "vram"), Slots: 1})
	}
	return f
}

// anyFleet is a plan on six hives with some workers, of some of which the memory was measured.
func anyFleet(t *rapid.T) *planner {
	s, w := fsm.New(), World{Hives: map[string]HiveTelemetry{}, Limits: Defaults()}
	cmds := []fsm.Command{&fsm.Genesis{ClusterID: "c", Epoch: fsm.Epoch{1}, Level: fsm.CurrentLevel}}
	for n := range 6 {
		id := fmt.Sprint("h", n+1)
		cmds = append(cmds, &fsm.RegisterHive{ID: id, Boot: "b", Incarnation: 1, Facts: anyFacts(t)})
		if rapid.IntRange(0, 3).Draw(t, "measured") == 0 {
			w.Hives[id] = HiveTelemetry{Free: map[string]int64{"d1": rapid.Int64Range(0, 4).Draw(t, "free")}}
		}
	}
	for n := range rapid.IntRange(0, 6).Draw(t, "workers") {
		id := fmt.Sprint("w", n)
		cmds = append(cmds, &fsm.Spawn{ID: id, Hive: anyHive(t), Device: "d1", Model: anyModel(t), Engine: "e", Slots: 1, VRAM: rapid.Int64Range(1, 3).Draw(t, "vram")},
			&fsm.SetWorkerState{ID: id, State: rapid.SampledFrom([]fsm.WorkerState{fsm.WorkerReady, fsm.WorkerDraining, fsm.WorkerStopped}).Draw(t, "state")})
	}
	if out := s.Apply(&fsm.Batch{Level: fsm.CurrentLevel, Commands: cmds}); out.Refused != nil {
		t.Fatal(out.Refused)
	}
	w.View = s.View()
	return &planner{draft: newDraft(w, 0), world: w}
}

// shift changes something of the fleet in the draft.
func shift(t *rapid.T, p *planner) {
	h, ok := p.hive(anyHive(t))
	if !ok {
		return
	}
	switch rapid.IntRange(0, 4).Draw(t, "change") {
	case 0:
		p.setFacts(h, anyFacts(t))
	case 1:
		p.dropHive(h)
	case 2:
		p.setStatus(h, fsm.HiveOffline)
	case 3:
		p.spawn(p.workerID(), spot{hive: h, device: "d1", model: fsm.EngineModel{Engine: "e", Ref: anyModel(t), VRAM: 1}}, 1)
	default:
		for w := range p.workersOn(h.ID) {
			p.setWorker(w, fsm.SetWorkerState{State: rapid.SampledFrom([]fsm.WorkerState{fsm.WorkerDraining, fsm.WorkerStopped}).Draw(t, "state")})
			return
		}
	}
}
