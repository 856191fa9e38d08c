package fleet

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"queen-rbee/fsm"
	"queen-rbee/hives"
	"queen-rbee/schedule"
)

// catalog is a state with a model that is wanted on h1, runs on h2 and is held by h3.
func catalog(t *testing.T) *fsm.State {
	s := fsm.New()
	facts := func(id string) fsm.HiveFacts {
		return fsm.HiveFacts{URL: "http://" + id, Engines: []string{"llama.cpp"}, Devices: []fsm.Device{{ID: "gpu0", Total: 100}}}
	}
	apply(t, s,
		&fsm.Genesis{ClusterID: "c", Epoch: fsm.Epoch{1}, Level: fsm.CurrentLevel},
		&fsm.RegisterHive{ID: "h1", Boot: "b", Incarnation: 1, Facts: facts("h1")},
		&fsm.RegisterHive{ID: "h2", Boot: "b", Incarnation: 1, Facts: facts("h2")},
		&fsm.RegisterHive{ID: "h3", Boot: "b", Incarnation: 1, Facts: facts("h3")},
		&fsm.PutModel{Model: fsm.Model{Ref: "m", Source: "hf:o/r/f", Engine: "llama.cpp", Digest: "sha256:aa", Size: 7, Slots: 1}},
		&fsm.SetCopy{Copy: fsm.Copy{Model: "m", Hive: "h1", State: fsm.CopyDownloading, Wanted: true}},
		&fsm.SetCopy{Copy: fsm.Copy{Model: "m", Hive: "h3", State: fsm.CopyPresent, Bytes: 7, Digest: "sha256:aa"}},
		&fsm.Spawn{ID: "w", Hive: "h2", Device: "gpu0", Model: "m", Engine: "llama.cpp", Slots: 1, VRAM: 5, Context: 512, LoadFor: time.Minute},
	)
	return s
}

func apply(t *testing.T, s *fsm.State, cmds ...fsm.Command) {
	t.Helper()
	m := s.View().Meta()
	out := s.Apply(&fsm.Batch{Base: m.Index, Epoch: m.Epoch, Now: m.Now + 1, Level: m.Level, Commands: cmds})
	for i, err := range append(out.Errs, out.Refused) {
		if err != nil {
			t.Fatalf("command %d: %v", i, err)
		}
	}
}

func TestDesiredModels(t *testing.T) {
	s := catalog(t)
	v := s.View()
	want := hives.DesiredModel{Ref: "m", Index: 1, Source: "hf:o/r/f", Digest: "sha256:aa", Bytes: 7, Peers: []string{"http://h3"}}
	for _, hive := range []string{"h1", "h2"} {
		got := desiredModels(v, hive)
		if len(got) != 1 || got[0].Ref != want.Ref || got[0].Index != want.Index || got[0].Source != want.Source ||
			got[0].Digest != want.Digest || got[0].Bytes != want.Bytes || !slices.Equal(got[0].Peers, want.Peers) {
			t.Errorf("on %s: %+v, want %+v", hive, got, want)
		}
	}
	if got := desiredModels(v, "h3"); len(got) != 0 {
		t.Errorf("what a hive only holds is desired there: %+v", got)
	}
	apply(t, s, &fsm.SetHiveStatus{ID: "h3", Status: fsm.HiveOffline})
	if got := desiredModels(s.View(), "h1"); len(got[0].Peers) != 0 {
		t.Errorf("a hive that is offline is a peer: %v", got[0].Peers)
	}
}

// What a hive says of its files enters the log when the state has it otherwise, and only then.
func TestFilesEnterTheLog(t *testing.T) {
	v := catalog(t).View()
	present := schedule.BeatCopy{Model: "m", State: fsm.CopyPresent, Bytes: 7, Digest: "sha256:aa"}
	coming := schedule.BeatCopy{Model: "m", State: fsm.CopyDownloading}
	for name, c := range map[string]struct {
		hive   string
		acted  uint64
		copies []schedule.BeatCopy
		want   bool
	}{
		"as the state has it":          {"h3", 9, []schedule.BeatCopy{present}, false},
		"no longer there":              {"h3", 9, nil, true},
		"not there, and not yet acted": {"h3", 0, nil, false},
		"of other bytes":               {"h3", 9, []schedule.BeatCopy{{Model: "m", State: fsm.CopyPresent, Bytes: 7, Digest: "sha256:bb"}}, true},
		"on its way":                   {"h1", 9, []schedule.BeatCopy{coming}, false},
		"farther on its way":           {"h1", 9, []schedule.BeatCopy{{Model: "m", State: fsm.CopyDownloading, Bytes: 5}}, false},
		"wanted and not heard of":      {"h1", 9, nil, false},
		"come":                         {"h1", 9, []schedule.BeatCopy{present}, true},
		"of no model of the catalog":   {"h3", 9, []schedule.BeatCopy{present, {Model: "x", State: fsm.CopyPresent}}, false},
	} {
		if got := copiesChange(v, &schedule.Beat{Hive: c.hive, Acted: c.acted, Copies: c.copies}); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// So does that a stopped worker is over on its hive.
func TestLetGo(t *testing.T) {
	s := catalog(t)
	apply(t, s, &fsm.SetWorkerState{ID: "w", State: fsm.WorkerStopped, Holds: true})
	v := s.View()
	ends := func(state fsm.WorkerState) []schedule.BeatWorker {
		return []schedule.BeatWorker{{ID: "w", State: state}}
	}
	for name, c := range map[string]struct {
		acted   uint64
		workers []schedule.BeatWorker
		want    bool
	}{
		"not named":               {2, nil, true},
		"not named, not acted":    {1, nil, false},
		"still there":             {2, ends(fsm.WorkerReady), false},
		"stopped, before it acts": {1, ends(fsm.WorkerStopped), true},
	} {
		if got := letGo(v, &schedule.Beat{Hive: "h2", Acted: c.acted, Workers: c.workers}); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestFetchesMove(t *testing.T) {
	report := func(done int64) []hives.ModelReport {
		return []hives.ModelReport{{Ref: "m", State: hives.ModelDownloading, DoneBytes: done, TotalBytes: 9}, {Ref: "there", State: hives.ModelPresent}}
	}
	first := fetchesOf(report(1), nil, time.Second)
	stands := fetchesOf(report(1), first, time.Minute)
	moves := fetchesOf(report(2), stands, time.Hour)
	for what, c := range map[string]struct {
		got  map[string]schedule.Fetched
		done int64
		at   fsm.Time
	}{"first": {first, 1, time.Second}, "stands": {stands, 1, time.Second}, "moves": {moves, 2, time.Hour}} {
		if f := c.got["m"]; len(c.got) != 1 || f != (schedule.Fetched{Done: c.done, Total: 9, Moved: c.at}) {
			t.Errorf("%s: %+v", what, c.got)
		}
	}
}

func TestFilesAreChecked(t *testing.T) {
	for name, m := range map[string]hives.ModelReport{
		"no ref": {State: hives.ModelPresent}, "a state of its own": {Ref: "m", State: "dreaming"}, "less than nothing": {Ref: "m", State: hives.ModelPresent, Bytes: -1},
	} {
		if _, err := beat("h", &hives.Heartbeat{Models: []hives.ModelReport{m}}); !errors.Is(err, &fsm.Error{Code: fsm.CodeInvalid}) || !strings.Contains(err.Error(), "models:") {
			t.Errorf("%s: %v", name, err)
		}
	}
	b, err := beat("h", &hives.Heartbeat{Models: []hives.ModelReport{{Ref: "m", State: hives.ModelFailed, Error: hives.Errorf("disk_full", "no room")}},
		Workers: []hives.WorkerReport{{ID: "w", State: hives.WorkerFailed, Error: "oom", Code: hives.CodeOutOfMemory}}})
	if err != nil || b.Copies[0].State != fsm.CopyFailed || *b.Copies[0].Failure != (fsm.Failure{Code: "disk_full", Message: "no room"}) || b.Workers[0].Code != hives.CodeOutOfMemory {
		t.Errorf("%+v, %v", b, err)
	}
	f, err := facts("http://h", "", nil, nil, []hives.Engine{{Name: "vllm", TakesFiles: true}, {Name: "own"}, {Name: "llama.cpp", TakesFiles: true}})
	if err != nil || !slices.Equal(f.Engines, []string{"llama.cpp", "vllm"}) {
		t.Errorf("engines %v, %v", f.Engines, err)
	}
}

// looked is a hive's answer to an inspection, and a queen that notes what comes of it.
type looked struct {
	Queen
	view   *fsm.View
	answer hives.Inspected
	err    error
	asked  []string
	got    []schedule.Inspected
}

func (l *looked) View() *fsm.View { return l.view }
func (l *looked) Do(_ context.Context, r schedule.Request) (schedule.Answer, error) {
	l.got = append(l.got, *r.Inspected)
	return schedule.Answer{}, nil
}
func (l *looked) Inspect(_ context.Context, url string, ask hives.Inspect) (hives.Inspected, error) {
	l.asked = append(l.asked, url+" "+ask.Source)
	return l.answer, l.err
}

func TestInspect(t *testing.T) {
	v := catalog(t).View()
	found := hives.Inspected{Bytes: 7, Digest: "sha256:aa", Memory: hives.Memory{Weights: 5, KV: 1, Overhead: 1}}
	for name, c := range map[string]struct {
		err  error
		left bool
		want schedule.Inspected
	}{
		"found":   {nil, false, schedule.Inspected{Digest: "sha256:aa", Size: 7, Memory: fsm.Memory{Weights: 5, KV: 1, Overhead: 1}}},
		"refused": {hives.Errorf("not_found", "404"), false, schedule.Inspected{Failure: &fsm.Failure{Code: "not_found", Message: "hive h3: 404"}}},
		"away":    {errors.New("connection refused"), true, schedule.Inspected{}},
	} {
		l := &looked{view: v, answer: found, err: c.err}
		left := (&Fleet{queen: l}).inspectAll(t.Context(), l, map[string]time.Time{})
		if left != c.left || !slices.Equal(l.asked, []string{"http://h3 hf:o/r/f"}) { // h3 holds the file
			t.Errorf("%s: asked %v, left %v", name, l.asked, left)
		}
		if c.left {
			if len(l.got) > 0 {
				t.Errorf("%s: it says %+v", name, l.got)
			}
			continue
		}
		got := l.got[0]
		if got.Ref != "m" || got.Source != "hf:o/r/f" || got.Slots != 1 || got.Size != c.want.Size || got.Digest != c.want.Digest || got.Memory != c.want.Memory ||
			(got.Failure == nil) != (c.want.Failure == nil) || got.Failure != nil && *got.Failure != *c.want.Failure {
			t.Errorf("%s: it says %+v", name, got)
		}
	}
}

// A source that could not be reached is looked at again, but not all the time.
func TestASourceThatWasAwayIsAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := catalog(t)
		apply(t, s, &fsm.PutModel{Model: fsm.Model{Ref: "m", Source: "hf:o/r/f", Engine: "llama.cpp", Slots: 1,
			Failure: &fsm.Failure{Code: hives.CodeSourceUnreachable, Message: "no answer"}}})
		l := &looked{view: s.View(), err: hives.Errorf(hives.CodeSourceUnreachable, "no answer")}
		f, tried := &Fleet{queen: l}, map[string]time.Time{}
		f.inspectAll(t.Context(), l, tried)
		if left := f.inspectAll(t.Context(), l, tried); !left || len(l.asked) != 1 {
			t.Errorf("at once: asked %v, left %v", l.asked, left)
		}
		<-time.After(inspectAgain)
		if f.inspectAll(t.Context(), l, tried); len(l.asked) != 2 {
			t.Errorf("later: asked %v", l.asked)
		}
	})
}
