package schedule

import (
	"cmp"
	"slices"

	"queen-rbee/fsm"
)

// register takes a start of a hive's agent in. A repeat of the same start is the same
// incarnation; every other start gets the next, if it names the newest as the one that it
// replaces. So a registration that comes late takes the hive from nobody: another start has
// replaced that incarnation since. A start that was superseded has lost for good.
func (p *planner) register(a *Answer, r *Register) {
	if a.Err = checkRegister(r); a.Err != nil {
		return
	}
	h, known := p.hive(r.ID)
	if known && slices.Contains(h.Superseded, r.Boot) {
		a.Err = fsm.Errorf(fsm.CodeStale, "hive %s runs as incarnation %d by now; this registration is of an earlier start", r.ID, h.Incarnation)
		return
	}
	newest := uint64(0)
	if known {
		newest = h.Incarnation
	}
	repeat := known && h.Boot == r.Boot
	if !repeat && r.Replaces != newest {
		a.Err = fsm.Errorf(fsm.CodeConflict, "hive %s is at incarnation %d and this registration replaces %d: read the newest and register again", r.ID, newest, r.Replaces)
		return
	}
	p.hear(r.ID)
	facts := p.sortedFacts(r.Facts)
	if repeat {
		a.Incarnation = h.Incarnation
		if h.Status != fsm.HiveOnline && !h.Leaving {
			p.setStatus(h, fsm.HiveOnline)
		}
		if !sameFacts(h.Facts, facts) {
			p.setFacts(h, facts)
		}
		return
	}
	cmd := &fsm.RegisterHive{ID: r.ID, Boot: r.Boot, Incarnation: newest + 1, Mode: r.Mode, Facts: facts}
	if !known && p.meta.Level >= fsm.LevelCatalog {
		cmd.Incarnation = p.index // one that was dropped and is back counts on: no number comes twice
	}
	p.registerHive(cmd)
	a.Incarnation = cmd.Incarnation
}

func checkRegister(r *Register) *fsm.Error {
	if err := text("id", r.ID, maxID, true); err != nil {
		return err
	}
	if err := text("boot", r.Boot, maxID, true); err != nil {
		return err
	}
	if err := text("mode", r.Mode, maxID, false); err != nil {
		return err
	}
	return checkFacts(&r.Facts)
}

// checkFacts holds what a hive tells of itself to the bounds of the state.
func checkFacts(f *fsm.HiveFacts) *fsm.Error {
	invalid := func(format string, args ...any) *fsm.Error { return fsm.Errorf(fsm.CodeInvalid, format, args...) }
	switch {
	case len(f.Devices) > fsm.MaxDevices:
		return invalid("devices: at most %d", fsm.MaxDevices)
	case len(f.Labels) > fsm.MaxLabels:
		return invalid("labels: at most %d", fsm.MaxLabels)
	case len(f.Models) > fsm.MaxModels:
		return invalid("models: at most %d", fsm.MaxModels)
	}
	for _, word := range []struct {
		name, value string
		needed      bool
	}{{"url", f.URL, true}, {"version", f.Version, false}} {
		if err := text(word.name, word.value, maxText, word.needed); err != nil {
			return err
		}
	}
	for _, l := range f.Labels {
		if err := checkLabel(l); err != nil {
			return err
		}
	}
	if len(f.Engines) > fsm.MaxEngines {
		return invalid("engines: at most %d that take files", fsm.MaxEngines)
	}
	for _, name := range f.Engines {
		if err := text("engines.name", name, maxID, true); err != nil {
			return err
		}
	}
	for _, d := range f.Devices {
		if err := text("devices.id", d.ID, maxID, true); err != nil {
			return err
		}
		if err := text("devices.kind", d.Kind, maxID, false); err != nil {
			return err
		}
		if d.Total < 0 {
			return invalid("devices: %s has %d bytes", d.ID, d.Total)
		}
	}
	for _, m := range f.Models {
		if err := text("models.ref", m.Ref, maxText, true); err != nil {
			return err
		}
		if err := text("models.engine", m.Engine, maxID, true); err != nil {
			return err
		}
		if m.VRAM < 0 || m.Slots < 0 || m.Slots > maxSlots {
			return invalid("models: %s has %d bytes and %d slots; want 0 or more bytes and at most %d slots", m.Ref, m.VRAM, m.Slots, maxSlots)
		}
	}
	return nil
}

// hear notes that a hive spoke in this gather, whatever the telemetry says.
func (p *planner) hear(hive string) {
	if p.heard == nil {
		p.heard = map[string]bool{}
	}
	p.heard[hive] = true
	p.wake(p.now + p.lim.HiveTimeout + 1)
}

// beat takes in what a heartbeat changes.
func (p *planner) beat(a *Answer, b *Beat) {
	h, ok := p.hive(b.Hive)
	switch {
	case !ok:
		a.Err = fsm.Errorf(fsm.CodeNotFound, "hive %s is not registered", b.Hive)
		return
	case h.Incarnation != b.Incarnation:
		a.Err = fsm.Errorf(fsm.CodeStale, "hive %s runs as incarnation %d by now, this is %d", b.Hive, h.Incarnation, b.Incarnation)
		return
	}
	if b.Facts != nil {
		if a.Err = checkFacts(b.Facts); a.Err != nil {
			return
		}
		if facts := p.sortedFacts(*b.Facts); !sameFacts(h.Facts, facts) {
			p.setFacts(h, facts)
		}
	}
	p.hear(h.ID)
	switch {
	case b.Leaving && !h.Leaving:
		p.leave(h)
	case h.Status != fsm.HiveOnline && !h.Leaving:
		p.setStatus(h, fsm.HiveOnline)
	}
	a.Again = !p.beatEnded(b) || !p.beatWorkers(b) || !p.beatRuns(b) || !p.beatCopies(b)
	if h, _ = p.hive(b.Hive); !a.Again && b.Last() && h.Status == fsm.HiveOnline {
		p.setStatus(h, fsm.HiveOffline) // nothing more will come
	}
}

// beatEnded takes terminal records in; false when it had to stop for lack of room.
func (p *planner) beatEnded(b *Beat) bool {
	for i := range b.Ended {
		if !p.room() {
			return false
		}
		if j, ok := p.job(b.Ended[i].Job); !ok || j.Hive != b.Hive {
			continue
		}
		_ = p.finishedJob(&b.Ended[i]) // an outcome that is none changes nothing
	}
	return true
}

// beatRuns loses the runs that the hive has seen listed and does not name.
func (p *planner) beatRuns(b *Beat) bool {
	type run struct {
		job     string
		attempt uint32
	}
	named := make(map[run]bool, len(b.Runs)+len(b.Ended))
	for _, r := range b.Runs {
		named[run{r.Job, r.Attempt}] = true
	}
	for i := range b.Ended {
		named[run{b.Ended[i].Job, b.Ended[i].Attempt}] = true
	}
	for j := range p.runsOn(b.Hive) {
		if j.AssignedIndex > b.Acted || named[run{j.ID, j.Attempt}] {
			continue
		}
		if !p.room() {
			return false
		}
		p.lose(j, fsm.Failure{Code: lostRun, Message: "hive " + b.Hive + " no longer has the run"})
	}
	return true
}

// beatWorkers follows the hive's word on its workers and loses those that it has seen
// listed and does not name.
func (p *planner) beatWorkers(b *Beat) bool {
	named := make(map[string]*BeatWorker, len(b.Workers))
	for i := range b.Workers {
		named[b.Workers[i].ID] = &b.Workers[i]
	}
	for w := range p.workersOn(b.Hive) {
		if !p.room() {
			return false
		}
		if said := named[w.ID]; said != nil {
			p.follow(w, said)
			continue
		}
		if w.Index <= b.Acted {
			p.setWorker(w, fsm.SetWorkerState{State: fsm.WorkerStopped,
				Failure: &fsm.Failure{Code: lostRun, Message: "hive " + b.Hive + " no longer has the worker"}})
		}
	}
	return p.beatRemaining(b, named)
}

// beatRemaining frees the memory of workers that are over by the hive's word: it says so, or
// has seen that they are not listed and names them no more.
func (p *planner) beatRemaining(b *Beat, named map[string]*BeatWorker) bool {
	for w := range p.remaining(b.Hive) {
		said := named[w.ID]
		if said != nil && !said.State.Gone() || said == nil && w.Index > b.Acted {
			continue
		}
		if !p.room() {
			return false
		}
		p.free(w)
	}
	return true
}

// follow takes a hive's word on one worker. A draining worker stays so, however healthy.
func (p *planner) follow(w *fsm.Worker, said *BeatWorker) {
	draining := w.State == fsm.WorkerDraining
	cmd := fsm.SetWorkerState{State: said.State, Progress: progress(said.Progress)}
	switch said.State {
	case fsm.WorkerFailed:
		cmd.Failure = p.causeOf(w, said)
		p.setWorker(w, cmd)
		switch {
		case draining:
		case cmd.Failure.Code == outOfMemory:
			p.outOfMemory(w, *cmd.Failure)
		default:
			p.blame(w, *cmd.Failure)
		}
	case fsm.WorkerStopped:
		p.setWorker(w, cmd)
	case fsm.WorkerReady:
		cmd.Slots, cmd.Progress = p.slotsOf(w, said), 1
		if !draining && (w.State != fsm.WorkerReady || cmd.Slots != w.Slots) {
			p.setWorker(w, cmd)
		}
		if b, ok := p.block(w.Model, w.Hive); ok && !draining {
			p.setBlock(fsm.Block{Model: b.Model, Hive: b.Hive})
		}
	case fsm.WorkerSpawning, fsm.WorkerLoading:
		if !draining && (w.State != said.State || cmd.Progress >= w.Progress+progressStep) {
			p.setWorker(w, cmd)
		}
	}
}

// slotsOf are the slots of a worker by its engine's word, never fewer than its runs.
func (p *planner) slotsOf(w *fsm.Worker, said *BeatWorker) int {
	if said.Slots <= 0 {
		return w.Slots
	}
	return max(min(said.Slots, maxSlots), p.running(w.ID))
}

// progress is a share of 1, whatever was said.
func progress(said float64) float64 {
	if !(said > 0) { // not so for NaN either
		return 0
	}
	return min(said, 1)
}

// progressStep is how far a load must have come on before the state hears of it again.
const progressStep = 0.1

// blame passes a hive over for a model: for BlockFirst, then twice as long with each
// failure in a row.
// A hive that does not offer the model any more needs no block.
func (p *planner) blame(w *fsm.Worker, why fsm.Failure) {
	if h, ok := p.hive(w.Hive); !ok || !p.serves(h, w.Model) {
		return
	}
	next := fsm.Block{Model: w.Model, Hive: w.Hive, Fails: 1, Failure: why}
	if b, ok := p.block(w.Model, w.Hive); ok {
		next.Fails = b.Fails + 1
	}
	next.Until = p.now + doubled(p.lim.BlockFirst, next.Fails-1, p.lim.BlockMax)
	p.setBlock(next)
	p.wake(next.Until)
}

// sortedFacts orders what the state keeps ordered, and leaves out what its level does not know.
func (p *planner) sortedFacts(f fsm.HiveFacts) fsm.HiveFacts {
	f = FactsAt(p.meta.Level, f)
	f.Engines = sorted(slices.Clone(f.Engines))
	f.Devices, f.Labels, f.Models = slices.Clone(f.Devices), slices.Clone(f.Labels), slices.Clone(f.Models)
	slices.SortFunc(f.Devices, func(a, b fsm.Device) int { return cmp.Compare(a.ID, b.ID) })
	slices.SortFunc(f.Labels, compareLabels)
	slices.SortFunc(f.Models, compareModels)
	return f
}

// FactsAt is what a state of a level can keep of facts.
func FactsAt(level fsm.Level, f fsm.HiveFacts) fsm.HiveFacts {
	if level < fsm.LevelCatalog {
		f.Engines = nil
	}
	return f
}

func sameFacts(a, b fsm.HiveFacts) bool {
	return a.URL == b.URL && a.Version == b.Version && slices.Equal(a.Devices, b.Devices) &&
		slices.Equal(a.Labels, b.Labels) && slices.Equal(a.Models, b.Models) && slices.Equal(a.Engines, b.Engines)
}
