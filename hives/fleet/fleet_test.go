package fleet

import (
	"errors"
	"strings"
	"testing"
	"time"

	"queen-rbee/fsm"
	"queen-rbee/hives"
	"queen-rbee/schedule"
)

func TestFactsAreSortedAndBounded(t *testing.T) {
	f, err := facts("http://127.0.0.1:1", "v", []hives.Device{{ID: "gpu0", Kind: "cuda", TotalBytes: 5}},
		map[string]string{"b": "2", "a": "1"}, []hives.Engine{
			{Name: "z", Models: []hives.EngineModel{{Ref: "m", Slots: 1}}},
			{Name: "a", Models: []hives.EngineModel{{Ref: "m", Slots: 2}, {Ref: "b", Slots: 1}}},
		})
	if err != nil {
		t.Fatal(err)
	}
	if f.Labels[0].Key != "a" || f.Models[0].Ref != "b" || f.Models[1].Engine != "a" || f.Models[2].Engine != "z" {
		t.Errorf("not sorted: %+v", f)
	}
	many := make([]hives.Device, maxDevices+1)
	for i := range many {
		many[i].ID = "d"
	}
	long := strings.Repeat("x", maxText+1)
	for name, try := range map[string]func() error{
		"url":     func() error { _, err := facts("ftp://x", "", nil, nil, nil); return err },
		"devices": func() error { _, err := facts("http://h", "", many, nil, nil); return err },
		"labels":  func() error { _, err := facts("http://h", "", nil, map[string]string{long: ""}, nil); return err },
		"engines": func() error {
			_, err := facts("http://h", "", nil, nil, []hives.Engine{{Name: "e", Models: []hives.EngineModel{{Ref: "m"}}}})
			return err
		},
	} {
		err := try()
		if !errors.Is(err, &fsm.Error{Code: fsm.CodeInvalid}) || !strings.Contains(err.Error(), name+":") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestBeatIsChecked(t *testing.T) {
	for name, hb := range map[string]*hives.Heartbeat{
		"state":   {Workers: []hives.WorkerReport{{ID: "w", State: "dancing"}}},
		"outcome": {Ended: []hives.Terminal{{JobID: "j", Outcome: "perhaps"}}},
		"at most": {Workers: make([]hives.WorkerReport, maxWorkers+1)},
	} {
		if _, err := beat("h", hb); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	b, err := beat("h", &hives.Heartbeat{Index: 7, Leaving: true, Ended: []hives.Terminal{{
		JobID: "j", Attempt: 2, Outcome: hives.Failed, Events: 3, TTFTMillis: 12,
		Error: hives.Errorf("worker_died", "%s", strings.Repeat("x", 2*maxError)), Usage: hives.Usage{PromptTokens: -1, CompletionTokens: 4},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	e := b.Ended[0]
	if b.Acted != 7 || !b.Leaving || e.Outcome != fsm.JobFailed || e.TTFT != 12*time.Millisecond || e.Usage.Prompt != 0 ||
		e.Usage.Completion != 4 || len(e.Failure.Message) != maxError {
		t.Errorf("got %+v", b)
	}
}

// TestStatusEntersTheLog: a beat is proposed when it brings its hive online, begins its
// leaving or ends it, and not again.
func TestStatusEntersTheLog(t *testing.T) {
	alive := []schedule.BeatWorker{{ID: "w", State: fsm.WorkerReady}}
	over := []schedule.BeatWorker{{ID: "w", State: fsm.WorkerStopped}}
	for name, c := range map[string]struct {
		hive fsm.Hive
		beat schedule.Beat
		want bool
	}{
		"as it was":              {fsm.Hive{Status: fsm.HiveOnline}, schedule.Beat{Workers: alive}, false},
		"heard again":            {fsm.Hive{Status: fsm.HiveOffline}, schedule.Beat{}, true},
		"begins to leave":        {fsm.Hive{Status: fsm.HiveOnline}, schedule.Beat{Leaving: true, Workers: alive}, true},
		"still leaves":           {fsm.Hive{Status: fsm.HiveOnline, Leaving: true}, schedule.Beat{Leaving: true, Workers: alive}, false},
		"runs on while it does":  {fsm.Hive{Status: fsm.HiveOnline, Leaving: true}, schedule.Beat{Leaving: true, Runs: []schedule.BeatRun{{}}}, false},
		"its last":               {fsm.Hive{Status: fsm.HiveOnline, Leaving: true}, schedule.Beat{Leaving: true, Workers: over}, true},
		"after its last":         {fsm.Hive{Status: fsm.HiveOffline, Leaving: true}, schedule.Beat{Leaving: true}, false},
		"from before it, behind": {fsm.Hive{Status: fsm.HiveOffline, Leaving: true}, schedule.Beat{Workers: alive}, false},
	} {
		if got := statusChanges(&c.hive, &c.beat); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestDrainRate(t *testing.T) {
	var d drain
	now := time.Second
	d.rate(0, now)
	for i := range 200 {
		now += time.Second
		d.rate(uint64(10*(i+1)), now)
	}
	if r := d.rate(2000, now); r < 9.9 || r > 10.1 {
		t.Errorf("ten a second measured as %g", r)
	}
	for range 100 {
		now += time.Second
		d.rate(2000, now)
	}
	if r := d.rate(2000, now); r > 0.01 {
		t.Errorf("nothing a second measured as %g", r)
	}
	if d.rate(5, now+time.Second) < 0 {
		t.Error("a state that was replaced made the rate negative")
	}
}

// TestStaleBeats drops what was overtaken or comes from an earlier incarnation's life.
func TestOvertakenBeat(t *testing.T) {
	f := &Fleet{queen: clockOnly{}, heard: map[string]*heard{}}
	free, share, heat := int64(5), 0.5, 61.0
	hb := func(inc, seq uint64) *hives.Heartbeat {
		return &hives.Heartbeat{Incarnation: inc, Seq: seq, Devices: []hives.Device{{ID: "g", FreeBytes: &free, Utilisation: &share, TemperatureC: &heat, Note: "as it was"}, {ID: "n"}}}
	}
	for _, step := range []struct {
		boot     string
		inc, seq uint64
		stale    bool
	}{
		{"a", 1, 1, false}, {"a", 1, 3, false}, {"a", 1, 2, true}, {"a", 1, 3, true},
		{"b", 2, 1, false}, {"b", 2, 1, true}, {"b", 2, 2, false},
		{"c", 1, 1, false}, {"c", 1, 1, true}, // dropped and added again: its new row counts from 1
	} {
		done, err := f.hear(t.Context(), "h", step.boot, hb(step.inc, step.seq))
		if done != nil {
			done()
		}
		if errors.Is(err, &fsm.Error{Code: fsm.CodeStale}) != step.stale {
			t.Errorf("beat %s/%d.%d: %v", step.boot, step.inc, step.seq, err)
		}
	}
	_, got := f.Heard("h")
	if g, n := got["g"], got["n"]; *g.FreeBytes != 5 || *g.Utilisation != share || *g.TemperatureC != heat || g.Note != "as it was" || n.ID != "n" || n.FreeBytes != nil {
		t.Errorf("devices %+v", got)
	}
}

// clockOnly is a queen of which only the clock is asked.
type clockOnly struct{ Queen }

func (clockOnly) Now() fsm.Time { return time.Second }
