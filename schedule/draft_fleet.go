package schedule

import (
	"iter"
	"slices"
	"strings"

	"queen-rbee/fsm"
)

// worker finds a worker as it stands in the draft; a forgotten one is not found.
func (d *draft) worker(id string) (*fsm.Worker, bool) {
	if w, ok := d.workers[id]; ok {
		return w, w != nil
	}
	return d.view.Worker(id)
}

func (d *draft) editWorker(w *fsm.Worker) *fsm.Worker {
	if own := d.workers[w.ID]; own != nil {
		return own
	}
	c := *w
	d.workers[w.ID] = &c
	d.touched[w.Model] = append(d.touched[w.Model], w.ID)
	return &c
}

// running counts the runs on a worker.
func (d *draft) running(worker string) int { return d.view.Running(worker) + d.busy[worker] }

// workersOf yields the workers of a model that are not gone: those of the View in order of
// id, then those spawned by this plan.
func (d *draft) workersOf(model string) iter.Seq[*fsm.Worker] {
	return d.alive(d.view.WorkersOf(model), func(w *fsm.Worker) bool { return w.Model == model })
}

// comingOf yields the workers of a model that are spawning or loading.
func (d *draft) comingOf(model string) iter.Seq[*fsm.Worker] {
	coming := func(w *fsm.Worker) bool { return w.State == fsm.WorkerSpawning || w.State == fsm.WorkerLoading }
	return func(yield func(*fsm.Worker) bool) {
		for w := range d.view.Coming(model) {
			if _, touched := d.workers[w.ID]; !touched && !yield(w) {
				return
			}
		}
		for _, id := range d.touched[model] {
			if w := d.workers[id]; w != nil && coming(w) && !yield(w) {
				return
			}
		}
		for _, w := range d.spawned {
			if w.Model == model && coming(w) && !yield(w) {
				return
			}
		}
	}
}

// workersOn yields the workers on a hive that are not gone.
func (d *draft) workersOn(hive string) iter.Seq[*fsm.Worker] {
	return d.alive(d.view.WorkersOn(hive), func(w *fsm.Worker) bool { return w.Hive == hive })
}

func (d *draft) alive(known iter.Seq[*fsm.Worker], mine func(*fsm.Worker) bool) iter.Seq[*fsm.Worker] {
	return func(yield func(*fsm.Worker) bool) {
		for w := range known {
			if own, ok := d.workers[w.ID]; ok {
				w = own
			}
			if w == nil || w.State.Gone() {
				continue
			}
			if !yield(w) {
				return
			}
		}
		for _, w := range d.spawned {
			if mine(w) && !w.State.Gone() && !yield(w) {
				return
			}
		}
	}
}

// holds tells whether a hive has a worker of a model that neither is gone nor drains.
func (d *draft) holds(hive, model string) bool {
	for w := range d.workersOn(hive) {
		if w.Model == model && w.State != fsm.WorkerDraining {
			return true
		}
	}
	return false
}

// spawn desires a worker.
func (d *draft) spawn(id string, at spot, slots int) *fsm.Worker {
	slots = max(slots, 1)
	w := &fsm.Worker{ID: id, Hive: at.hive.ID, Device: at.device, Model: at.model.Ref, Engine: at.model.Engine,
		State: fsm.WorkerSpawning, Slots: slots, VRAM: at.model.VRAM, LastUsed: d.now, Since: d.now, Index: d.index, Changed: d.index}
	if m, ok := d.fromFile(at.hive, w.Model); ok {
		w.Context, w.LoadFor = m.Context, loadTime(m)
	}
	d.emit(&fsm.Spawn{ID: w.ID, Hive: w.Hive, Device: w.Device, Model: w.Model, Engine: w.Engine, Slots: w.Slots, VRAM: w.VRAM,
		Context: w.Context, LoadFor: w.LoadFor})
	d.workers[w.ID] = w
	d.spawned = append(d.spawned, w)
	d.shifted = with(d.shifted, w.Hive)
	return w
}

// setWorker moves a worker to a state; ID of the command is filled in here.
func (d *draft) setWorker(w *fsm.Worker, cmd fsm.SetWorkerState) {
	cmd.ID = w.ID
	d.emit(&cmd)
	own := d.editWorker(w)
	if own.State != cmd.State {
		own.Since, own.Holds = d.now, cmd.Holds
	}
	if cmd.Holds {
		d.held = append(d.held, w.ID)
	}
	own.State, own.Progress = cmd.State, cmd.Progress
	if cmd.Slots > 0 {
		own.Slots = cmd.Slots
	}
	if cmd.State >= fsm.WorkerDraining {
		own.Index = d.index
		d.shifted = with(d.shifted, w.Hive)
	}
	if cmd.State == fsm.WorkerDraining {
		d.emptying = append(d.emptying, w.ID)
	}
	if cmd.State.Gone() {
		own.GoneAt = d.now
	}
}

// drain ends a worker when its last run has ended: at once when it has none.
func (d *draft) drain(w *fsm.Worker) { d.drainFor(w, nil) }

// drainFor does so for a reason that the worker's row shows.
func (d *draft) drainFor(w *fsm.Worker, why *fsm.Failure) {
	switch {
	case w.State.Gone() || w.State == fsm.WorkerDraining:
	case d.running(w.ID) == 0:
		d.stop(w, fsm.SetWorkerState{State: fsm.WorkerStopped, Failure: why})
	default:
		d.setWorker(w, fsm.SetWorkerState{State: fsm.WorkerDraining, Failure: why})
	}
}

// stop ends a worker of which the hive has not said that it is over: until it does, the memory
// of its device stays taken.
func (d *draft) stop(w *fsm.Worker, cmd fsm.SetWorkerState) {
	cmd.Holds = d.meta.Level >= fsm.LevelCatalog && w.VRAM > 0
	d.setWorker(w, cmd)
}

// stopEmptied stops the draining workers whose last run has ended.
func (d *draft) stopEmptied() {
	for _, id := range d.emptying {
		if w, ok := d.worker(id); ok && w.State == fsm.WorkerDraining && d.running(id) == 0 {
			d.stop(w, fsm.SetWorkerState{State: fsm.WorkerStopped, Failure: w.Failure})
		}
	}
	d.emptying = nil
}

// forgetWorker expires a worker that is gone.
func (d *draft) forgetWorker(w *fsm.Worker) {
	d.emit(&fsm.ExpireWorker{ID: w.ID})
	d.workers[w.ID] = nil
}

// hive finds a hive as it stands in the draft.
func (d *draft) hive(id string) (*fsm.Hive, bool) {
	if h, ok := d.hives[id]; ok {
		return h, h != nil
	}
	return d.view.Hive(id)
}

func (d *draft) editHive(h *fsm.Hive) *fsm.Hive {
	if own := d.hives[h.ID]; own != nil {
		return own
	}
	c := *h
	d.hives[h.ID] = &c
	return &c
}

// hivesWith yields the hives that could be asked for a model: those that list it, then those
// that could run its file, then those of which this plan has the facts.
func (d *draft) hivesWith(model string) iter.Seq[*fsm.Hive] {
	return func(yield func(*fsm.Hive) bool) {
		for h := range d.current(d.view.HivesWith(model)) {
			if !d.told(h.ID) && !yield(h) {
				return
			}
		}
		if m, ok := d.sourced(model); ok {
			for h := range d.current(d.view.HivesWithEngine(m.Engine)) {
				if !d.told(h.ID) && len(listed(h, model)) == 0 && !yield(h) {
					return
				}
			}
		}
		for _, id := range d.facts {
			if h := d.hives[id]; h != nil && d.serves(h, model) && !yield(h) {
				return
			}
		}
	}
}

// told tells a hive of which this plan has the facts.
func (d *draft) told(hive string) bool {
	_, ok := slices.BinarySearch(d.facts, hive)
	return ok
}

// hivesFor yields the hives that offer a job's model and are not another than its pin.
func (d *draft) hivesFor(j *fsm.Job) iter.Seq[*fsm.Hive] {
	if j.Pin == "" {
		return d.hivesWith(j.Model)
	}
	return func(yield func(*fsm.Hive) bool) {
		if h, ok := d.hive(j.Pin); ok && d.serves(h, j.Model) {
			yield(h)
		}
	}
}

// current yields hives as they stand in the draft.
func (d *draft) current(hives iter.Seq[*fsm.Hive]) iter.Seq[*fsm.Hive] {
	if len(d.hives) == 0 {
		return hives
	}
	return func(yield func(*fsm.Hive) bool) {
		for was := range hives {
			h, changed := d.hives[was.ID]
			if !changed {
				h = was
			}
			if h != nil && !yield(h) {
				return
			}
		}
	}
}

// listed are the entries of a model in a hive's own configuration, one per engine that serves it.
func listed(h *fsm.Hive, model string) []fsm.EngineModel {
	models := h.Facts.Models
	from, _ := slices.BinarySearchFunc(models, model, func(m fsm.EngineModel, ref string) int { return strings.Compare(m.Ref, ref) })
	to := from
	for to < len(models) && models[to].Ref == model {
		to++
	}
	return models[from:to]
}

// registerHive takes a start of a hive's agent in.
func (d *draft) registerHive(cmd *fsm.RegisterHive) {
	d.emit(cmd)
	own := &fsm.Hive{ID: cmd.ID, Desired: fsm.HiveRun}
	if h, ok := d.hive(cmd.ID); ok {
		own = d.editHive(h)
		own.Superseded = fsm.Supersede(h.Boot, h.Superseded)
	}
	own.Mode, own.Facts, own.Boot = cmd.Mode, cmd.Facts, cmd.Boot
	own.Incarnation, own.Status, own.Leaving = cmd.Incarnation, fsm.HiveOnline, false
	d.hives[cmd.ID] = own
	d.noteFacts(cmd.ID)
}

// noteFacts notes that the View's indexes of what a hive offers do not hold any more.
func (d *draft) noteFacts(hive string) {
	d.facts = with(d.facts, hive)
	d.shifted = with(d.shifted, hive)
}

// with adds a word to those in order.
func with(words []string, word string) []string {
	at, known := slices.BinarySearch(words, word)
	if known {
		return words
	}
	return slices.Insert(words, at, word)
}

// setFacts replaces what a hive tells of itself.
func (d *draft) setFacts(h *fsm.Hive, facts fsm.HiveFacts) {
	d.emit(&fsm.HiveFactsChanged{ID: h.ID, Facts: facts})
	d.editHive(h).Facts = facts
	d.noteFacts(h.ID)
}

func (d *draft) setStatus(h *fsm.Hive, status fsm.HiveStatus) {
	d.emit(&fsm.SetHiveStatus{ID: h.ID, Status: status})
	d.editHive(h).Status = status
}

// leave notes that a hive's agent stops.
func (d *draft) leave(h *fsm.Hive) {
	d.emit(&fsm.HiveLeaving{ID: h.ID})
	d.editHive(h).Leaving = true
}

func (d *draft) setDesired(h *fsm.Hive, wish fsm.HiveWish) {
	d.emit(&fsm.SetHiveDesired{ID: h.ID, Desired: wish})
	d.editHive(h).Desired = wish
}

func (d *draft) dropHive(h *fsm.Hive) {
	d.emit(&fsm.DropHive{ID: h.ID})
	d.hives[h.ID] = nil
	d.noteFacts(h.ID)
}

// block finds the block of a hive for a model.
func (d *draft) block(model, hive string) (*fsm.Block, bool) {
	if b, ok := d.blocks[blockKey{model, hive}]; ok {
		return b, b != nil
	}
	return d.view.Block(model, hive)
}

// setBlock passes a hive over, or lifts the block when Fails is 0.
func (d *draft) setBlock(b fsm.Block) {
	d.emit(&fsm.BlockHive{Model: b.Model, Hive: b.Hive, Fails: b.Fails, Until: b.Until, Failure: b.Failure})
	if b.Fails == 0 {
		d.blocks[blockKey{b.Model, b.Hive}] = nil
		return
	}
	d.blocks[blockKey{b.Model, b.Hive}] = &b
}
