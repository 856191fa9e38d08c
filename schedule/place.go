package schedule

import (
	"slices"

	"queen-rbee/fsm"
)

// spot is a place for a worker.
type spot struct {
	hive   *fsm.Hive
	device string
	model  fsm.EngineModel
	free   int64 // bytes free on the device before it
}

// fleet is what a plan has asked of a model's workers, those on their way among them. Reading
// all of them costs time in their number, so only those ask who must.
type fleet struct {
	there  []*slot // workers ready or on their way, on hives that may be given work
	coming []*slot // those of them on their way
	live   int     // workers not gone nor draining, anywhere; no more are counted than may be
	read   struct{ there, coming, live bool }
}

// reach is a worker on a hive that may be given work.
func (p *planner) reach(w *fsm.Worker) (*slot, bool) {
	h, ok := p.hive(w.Hive)
	return &slot{worker: w, hive: h}, ok && usable(h)
}

// there are the workers of a model that are ready or on their way.
func (p *planner) there(pl *pool) []*slot {
	f := &pl.fleet
	if f.read.there {
		return f.there
	}
	f.read.there = true
	for w := range p.workersOf(pl.model) {
		if s, ok := p.reach(w); ok && w.State != fsm.WorkerDraining {
			f.there = append(f.there, s)
		}
	}
	return f.there
}

// coming are the workers of a model that are on their way.
func (p *planner) coming(pl *pool) []*slot {
	f := &pl.fleet
	if f.read.coming {
		return f.coming
	}
	f.read.coming = true
	for w := range p.comingOf(pl.model) {
		if s, ok := p.reach(w); ok {
			f.coming = append(f.coming, s)
		}
	}
	return f.coming
}

// grow spawns a worker for a waiting job that found no slot: when none that it could use
// is on its way, the model has fewer than its maximum, and a hive fits.
func (p *planner) grow(pl *pool, j *fsm.Job) {
	for _, s := range p.coming(pl) {
		if suits(s.hive, j) && (s.hive.ID != j.Avoid || !p.elsewhere(pl, j)) {
			return
		}
	}
	if !p.mayGrow(pl) {
		return
	}
	at, ok := p.placeFor(pl, j, j.Avoid)
	if !ok && j.Avoid != "" {
		at, ok = p.placeFor(pl, j, "")
	}
	if !ok {
		p.lack(pl.model, j)
		return
	}
	s := &slot{worker: p.spawn(p.workerID(), at, at.model.Slots), hive: at.hive}
	f := &pl.fleet
	f.live++
	f.coming = append(f.coming, s)
	if f.read.there {
		f.there = append(f.there, s)
	}
	delete(p.memory, at.hive.ID)
}

// placeFor finds where a worker for a job may be spawned now, not on the hive to avoid. By
// default a model has one worker on a hive.
func (p *planner) placeFor(pl *pool, j *fsm.Job, avoid string) (spot, bool) {
	want := wish{model: pl.model, hive: j.Pin, again: p.mostWorkers(pl.model) > 0}
	return p.place(want, func(h *fsm.Hive) bool { return h.ID != avoid && p.mayHost(pl, h, j) })
}

// mayHost tells whether a worker for a job may be spawned on a hive now, if it has room: it
// is not blocked for the model. The plan looks again when the block ends, and soon where what
// was measured may leave no room: nothing else may tell the leader that some has come free.
func (p *planner) mayHost(pl *pool, h *fsm.Hive, j *fsm.Job) bool {
	if !suits(h, j) {
		return false
	}
	if b, ok := p.block(pl.model, h.ID); ok && b.Until > p.now {
		p.wake(b.Until)
		return false
	}
	p.wake(p.now + recheck)
	return true
}

// mayGrow tells whether the model has fewer workers than its limit. Without a limit it may
// have one on each hive, which place sees to.
func (p *planner) mayGrow(pl *pool) bool {
	most, f := p.mostWorkers(pl.model), &pl.fleet
	if most == 0 {
		return true
	}
	if !f.read.live {
		f.read.live = true
		for w := range p.workersOf(pl.model) {
			if w.State == fsm.WorkerDraining {
				continue
			}
			if f.live++; f.live == most {
				break
			}
		}
	}
	return f.live < most
}

// mostWorkers is how many workers a model may have, 0 for one on each hive.
func (p *planner) mostWorkers(model string) int {
	if m, ok := p.model(model); ok && m.MaxReplicas > 0 {
		return m.MaxReplicas
	}
	return p.lim.WorkersPerModel
}

// wish is what a place is sought for.
type wish struct {
	model, hive, device string // the last two may be empty
	again               bool   // a hive may do that has a worker of the model already
}

// place finds the device with most free memory that holds a model, among the usable hives
// that may; the first of them by id. It costs time in the hives that have room by the state's
// account, and mostly looks at the one of them with most.
func (p *planner) place(want wish, may func(*fsm.Hive) bool) (best spot, ok bool) {
	look := func(id string) {
		h, known := p.hive(id)
		if !known || !usable(h) || !p.largeEnough(h, want.model) || !may(h) {
			return
		}
		if at, fits := p.fit(want, h); fits && (!ok || at.free > best.free || at.free == best.free && id < best.hive.ID) {
			best, ok = at, true
		}
	}
	if want.hive != "" {
		if want.again || !p.holds(want.hive, want.model) {
			look(want.hive)
		}
		return best, ok
	}
	m, file := p.sourced(want.model)
	if file { // a hive that holds it need not fetch it
		for y := range p.copiesOf(want.model) {
			if y.State == fsm.CopyPresent && (want.again || !p.holds(y.Hive, want.model)) {
				look(y.Hive)
			}
		}
		if ok {
			return best, ok
		}
	}
	for _, id := range p.shifted {
		if want.again || !p.holds(id, want.model) {
			look(id)
		}
	}
	for _, held := range []bool{false, true} {
		if held && !want.again {
			break
		}
		for id, free := range p.view.Rooms(want.model, held) {
			if ok && (free < best.free || free == best.free && id > best.hive.ID) {
				break // those behind have no more
			}
			if _, shifted := slices.BinarySearch(p.shifted, id); !shifted {
				look(id)
			}
		}
	}
	if !file {
		return best, ok
	}
	for id, free := range p.view.Spaces(m.Engine) {
		if free < m.Need() || ok && (free < best.free || free == best.free && id > best.hive.ID) {
			break
		}
		if _, shifted := slices.BinarySearch(p.shifted, id); !shifted && (want.again || !p.holds(id, want.model)) {
			look(id)
		}
	}
	return best, ok
}

// fit finds the device of a hive with most free memory that holds a model.
func (p *planner) fit(want wish, h *fsm.Hive) (best spot, ok bool) {
	memory := p.freeMemory(h)
	for _, m := range p.offered(h, want.model) {
		for i, d := range h.Facts.Devices {
			free := memory[i] - p.promised[device{h.ID, d.ID}]
			if (want.device != "" && want.device != d.ID) || m.VRAM > d.Total || m.VRAM > free {
				continue
			}
			if !ok || free > best.free {
				best, ok = spot{hive: h, device: d.ID, model: m, free: free}, true
			}
		}
	}
	return best, ok
}

// freeMemory is what is free on each device of a hive: what its workers leave of the
// total, or what was measured, less what workers on their way will still take, if that is
// less. Never below 0.
func (p *planner) freeMemory(h *fsm.Hive) []int64 {
	if known, ok := p.memory[h.ID]; ok {
		return known
	}
	taken, coming := map[string]int64{}, map[string]int64{}
	for w := range p.workersOn(h.ID) {
		taken[w.Device] += w.VRAM
		if w.State == fsm.WorkerSpawning || w.State == fsm.WorkerLoading {
			coming[w.Device] += w.VRAM
		}
	}
	for w := range p.remaining(h.ID) {
		taken[w.Device] += w.VRAM
	}
	measured := p.world.Hives[h.ID].Free
	memory := make([]int64, len(h.Facts.Devices))
	for i, d := range h.Facts.Devices {
		memory[i] = d.Total - taken[d.ID]
		if m, ok := measured[d.ID]; ok {
			memory[i] = min(memory[i], m-coming[d.ID])
		}
		memory[i] = max(memory[i], 0)
	}
	if p.memory == nil {
		p.memory = map[string][]int64{}
	}
	p.memory[h.ID] = memory
	return memory
}
