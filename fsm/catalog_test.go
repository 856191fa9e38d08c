package fsm

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"
)

// checkCatalog finds the indexes of models, copies and resting workers anew.
func checkCatalog(v *View) error {
	var errs []error
	var kept, dropped, unknown []string
	names := map[string]string{}
	for m := range v.models.all() {
		switch {
		case m.DroppedAt > 0:
			dropped = append(dropped, m.Ref)
			if _, ok := v.Model(m.Ref); ok {
				errs = append(errs, fmt.Errorf("model %s is dropped and found", m.Ref))
			}
			continue
		case m.MinReplicas > 0:
			kept = append(kept, m.Ref)
		}
		if m.Source != "" && m.Failure == nil && (m.Size == 0 || m.Memory == Memory{}) || m.Failure != nil && m.Failure.Code == CodeSourceUnreachable {
			unknown = append(unknown, m.Ref)
		}
		for _, name := range append([]string{m.Ref}, m.Aliases...) {
			if other, taken := names[name]; taken {
				errs = append(errs, fmt.Errorf("%q is the name of %s and of %s", name, other, m.Ref))
			}
			names[name] = m.Ref
		}
	}
	refs := func(seq func(func(*Model) bool)) (list []string) {
		for m := range seq {
			list = append(list, m.Ref)
		}
		return list
	}
	errs = append(errs, same("kept models", refs(v.KeptModels()), kept), same("dropped models", refs(v.DroppedModels()), dropped),
		same("unknown models", refs(v.UnknownModels()), unknown))
	for name, ref := range names {
		if got, ok := v.Resolve(name); !ok || got != ref {
			errs = append(errs, fmt.Errorf("%q resolves to %q, it is %s", name, got, ref))
		}
	}
	if v.aliases.len() != len(names)-v.models.len()+len(dropped) {
		errs = append(errs, fmt.Errorf("%d aliases in the index, of %v", v.aliases.len(), names))
	}
	errs = append(errs, checkCopies(v), checkResting(v), checkSpaces(v))
	return errors.Join(errs...)
}

func checkCopies(v *View) error {
	var errs []error
	on, of, n := map[string][]string{}, map[string][]string{}, 0
	for y := range v.copies.all() {
		on[y.Hive], of[y.Model] = append(on[y.Hive], y.Model), append(of[y.Model], y.Hive)
		if _, ok := v.models.get(y.Model); !ok {
			errs = append(errs, fmt.Errorf("a copy of %s, which is no model", y.Model))
		}
		n++
	}
	for hive, want := range on {
		var got []string
		for y := range v.CopiesOn(hive) {
			got = append(got, y.Model)
		}
		errs = append(errs, same("copies on "+hive, got, want))
	}
	for model, want := range of {
		var got []string
		for y := range v.Copies(model) {
			got = append(got, y.Hive)
		}
		errs = append(errs, same("copies of "+model, got, want))
	}
	if v.copiesOn.len() != n {
		errs = append(errs, fmt.Errorf("%d copies by hive, %d in all", v.copiesOn.len(), n))
	}
	return errors.Join(errs...)
}

// checkResting says once more who rests, until when, who loads, and who is gone but not yet free.
func checkResting(v *View) error {
	type due struct {
		at Time
		id string
	}
	var idle, loads []due
	resting, remaining := map[string][]string{}, map[string][]string{}
	rests, remain := 0, 0
	for w := range v.Workers() {
		if w.Holds {
			remaining[w.Hive], remain = append(remaining[w.Hive], w.ID), remain+1
		}
		if w.LoadFor > 0 && (w.State == WorkerSpawning || w.State == WorkerLoading) {
			loads = append(loads, due{w.Since + w.LoadFor, w.ID})
		}
		if w.State != WorkerReady || v.Running(w.ID) > 0 {
			continue
		}
		resting[w.Hive], rests = append(resting[w.Hive], w.ID), rests+1
		m, ok := v.Model(w.Model)
		keep := Time(-1)
		switch {
		case ok && m.Pin, w.KeepAlive < 0:
		case w.KeepAlive > 0:
			keep = Time(w.KeepAlive - 1)
		case ok && m.IdleTTL > 0:
			keep = m.IdleTTL
		case ok && m.IdleTTL == 0 && m.Source != "":
			keep = DefaultIdleTTL
		}
		if keep >= 0 {
			idle = append(idle, due{w.LastUsed + keep, w.ID})
		}
	}
	var errs []error
	list := func(what string, seq func(func(*Worker, Time) bool), want []due) {
		var got []due
		for w, at := range seq {
			got = append(got, due{at, w.ID})
		}
		slices.SortFunc(want, func(a, b due) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.id, b.id)) })
		if !slices.Equal(got, want) {
			errs = append(errs, fmt.Errorf("%s: index has %v, a scan finds %v", what, got, want))
		}
	}
	list("idle", v.Idle(1<<62), idle)
	list("loads", v.Overdue(1<<62), loads)
	for h := range v.Hives() {
		var rest, left []string
		for w := range v.RestingOn(h.ID) {
			rest = append(rest, w.ID)
		}
		for w := range v.Remaining(h.ID) {
			left = append(left, w.ID)
		}
		errs = append(errs, same("resting on "+h.ID, rest, resting[h.ID]), same("remaining on "+h.ID, left, remaining[h.ID]))
	}
	if v.resting.len() != rests || v.remaining.len() != remain {
		errs = append(errs, fmt.Errorf("%d rest and %d remain by the indexes, %d and %d by a scan", v.resting.len(), v.remaining.len(), rests, remain))
	}
	return errors.Join(errs...)
}

func checkSpaces(v *View) error {
	want := map[string][]string{}
	free := map[string]int64{}
	for h := range v.Hives() {
		for _, d := range h.Facts.Devices {
			left := d.Total
			for w := range v.Workers() {
				if w.Hive == h.ID && w.Device == d.ID && (!w.State.Gone() || w.Holds) {
					left -= w.VRAM
				}
			}
			free[h.ID] = max(free[h.ID], left, 0)
		}
		for _, engine := range h.Facts.Engines {
			if len(h.Facts.Devices) > 0 {
				want[engine] = append(want[engine], h.ID)
			}
		}
	}
	var errs []error
	n := 0
	for engine, hives := range want {
		slices.SortFunc(hives, func(a, b string) int { return cmp.Or(cmp.Compare(free[b], free[a]), cmp.Compare(a, b)) })
		var got []string
		for hive, most := range v.Spaces(engine) {
			got = append(got, hive)
			if most != free[hive] {
				errs = append(errs, fmt.Errorf("hive %s has %d free by the index, %d by a scan", hive, most, free[hive]))
			}
		}
		errs = append(errs, same("spaces of "+engine, got, hives))
		n += len(hives)
	}
	if v.spaces.len() != n {
		errs = append(errs, fmt.Errorf("%d spaces in the index, %d by a scan", v.spaces.len(), n))
	}
	return errors.Join(errs...)
}

// raised is a world of level 2 with a catalog, copies and a worker of it.
func raised(tb testing.TB) *world {
	w := newWorld(tb)
	w.do(&RaiseLevel{Level: 2})
	model := sampleModel()
	w.do(
		&HiveFactsChanged{ID: "h1", Facts: laterFacts()},
		&PutModel{model},
		&PutModel{Model{Ref: "gone", Source: "file:/m.gguf", Engine: "vllm", Slots: 1}},
		&SetCopy{Copy{Model: "qwen", Hive: "h1", State: CopyPresent, Bytes: 9, Digest: "sha256:ab", Wanted: true}},
		&SetCopy{Copy{Model: "gone", Hive: "h1", State: CopyFailed, Failure: &Failure{"not_found", "no such file"}}},
		&DropModel{Ref: "gone"},
		&Spawn{ID: "w2", Hive: "h1", Device: "gpu0", Model: "qwen", Engine: "llama.cpp", Slots: 4, VRAM: 1 << 30, Context: 8192, LoadFor: time.Minute},
		&Spawn{ID: "w3", Hive: "h1", Device: "gpu1", Model: "qwen", Engine: "llama.cpp", Slots: 4, VRAM: 1 << 30, LoadFor: time.Minute},
		&SetWorkerState{ID: "w3", State: WorkerStopped, Holds: true},
	)
	job := laterJob()
	job.ID, job.NotBefore, job.IdempotencyKey = "01JLATER", 0, ""
	w.do(&Submit{Job: job})
	return w
}

// A golden snapshot of level 2 must restore for ever, too.
func TestSnapshotOfTheCatalog(t *testing.T) {
	w := raised(t)
	data := snapshotOf(t, w.State)
	golden(t, "../testdata/fsm/snapshot-2.golden", hexLines(data))
	back, err := Restore(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	sameHash(t, "the restored state", w.State, back)
	if err := checkState(back.View()); err != nil {
		t.Error(err)
	}
	if !bytes.Equal(data, snapshotOf(t, back)) {
		t.Error("the restored state has another snapshot")
	}
}

// Raising the level changes no row but meta's own: queens of both builds agree on the hash
// until something new is said.
func TestALevelAloneChangesNoRow(t *testing.T) {
	w := newWorld(t)
	w.fill(10)
	before := w.hash.minus(w.metaSum)
	w.do(&RaiseLevel{Level: 2})
	if after := w.hash.minus(w.metaSum); after != before {
		t.Errorf("the rows sum to %s, before the level was raised to %s", after, before)
	}
}

func TestResolve(t *testing.T) {
	w := raised(t)
	w.do(&PutModel{Model{Ref: "llama:latest", Aliases: []string{"l:7b"}}})
	v := w.View()
	for name, want := range map[string]string{
		"qwen": "qwen", "qwen:latest": "qwen", "small": "qwen", "small:latest": "qwen", "llama": "llama:latest", "llama:latest": "llama:latest",
		"l:7b": "llama:latest", "l": "", "l:latest": "", "gone": "", "": "", "builtin/markov": "builtin/markov", "builtin/markov:latest": "builtin/markov",
		"latest": "", ":latest": "", "qwen:8b": "",
	} {
		if got, ok := v.Resolve(name); got != want || ok != (want != "") {
			t.Errorf("%q resolves to %q, want %q", name, got, want)
		}
	}
}

func TestNeed(t *testing.T) {
	for _, c := range []struct {
		model Model
		want  int64
	}{
		{Model{}, 0}, {Model{Size: 100}, 120}, {Model{Size: 100, Memory: Memory{50, 20, 7}}, 77}, {Model{Size: 100, Memory: Memory{50, 20, 7}, VRAM: 5}, 5},
	} {
		if got := c.model.Need(); got != c.want {
			t.Errorf("%+v needs %d, want %d", c.model, got, c.want)
		}
	}
}

func TestKeepAlive(t *testing.T) {
	for d, want := range map[time.Duration]string{0: "0s", time.Minute: "1m0s", -1: "-1", MaxKeepAlive: "8760h0m0s", MaxKeepAlive + 1: "-1"} {
		k := KeepFor(d)
		if got, ends := k.For(); k.String() != want || ends != (want != "-1") || ends && got != d {
			t.Errorf("%s: %q, %s %v", d, k, got, ends)
		}
	}
	if _, ends := KeepAlive(0).For(); ends || KeepAlive(0).String() != "" {
		t.Error("nothing said is something")
	}
}

// A changed idle time holds for the workers that are there.
func TestIdleTimeFollowsTheModel(t *testing.T) {
	w := raised(t)
	w.do(&SetWorkerState{ID: "w2", State: WorkerReady})
	due := func() (list []string) {
		for w := range w.View().Idle(1 << 62) {
			list = append(list, w.ID)
		}
		return list
	}
	if got := due(); len(got) > 0 {
		t.Errorf("a worker of a pinned model is to stop: %v", got)
	}
	m := sampleModel()
	m.Pin = false
	w.do(&PutModel{m})
	if got := due(); !slices.Equal(got, []string{"w2"}) {
		t.Errorf("to stop: %v", got)
	}
	m.IdleTTL = -1
	w.do(&PutModel{m})
	if got := due(); len(got) > 0 {
		t.Errorf("a worker that is to stay for ever is to stop: %v", got)
	}
}
