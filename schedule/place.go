package schedule

import "queen-rbee/fsm"

// spot is a place for a worker.
type spot struct {
	hive   *fsm.Hive
	device string
	model  fsm.EngineModel
	free   int64 // bytes free on the device before it
}

// fleet is all that a model has, on its way too. Reading it costs time in the number of the
// model's workers, so only those ask who must.
type fleet struct {
	there  []*slot        // workers ready or on their way, on hives that may be given work
	coming []*slot        // those of them on their way
	live   int            // workers not gone nor draining, anywhere
	on     map[string]int // the same by hive
}

func (p *planner) fleetOf(pl *pool) *fleet {
	if pl.fleet != nil {
		return pl.fleet
	}
	f := &fleet{on: map[string]int{}}
	pl.fleet = f
	for w := range p.workersOf(pl.model) {
		if w.State == fsm.WorkerDraining {
			continue
		}
		f.live++
		f.on[w.Hive]++
		h, ok := p.hive(w.Hive)
		if !ok || !usable(h) {
			continue
		}
		s := &slot{worker: w, hive: h}
		f.there = append(f.there, s)
		if w.State != fsm.WorkerReady {
			f.coming = append(f.coming, s)
		}
	}
	return f
}

// grow spawns a worker for a waiting job that found no slot: when none that it could use
// is on its way, the model has fewer than its maximum, and a hive fits.
func (p *planner) grow(pl *pool, j *fsm.Job) {
	for _, s := range p.fleetOf(pl).coming {
		if suits(s.hive, j) && (s.hive.ID != j.Avoid || !p.elsewhere(pl, j)) {
			return
		}
	}
	if !p.mayGrow(pl) {
		return
	}
	at, ok := p.place(pl.model, "", func(h *fsm.Hive) bool { return h.ID != j.Avoid && p.mayHost(pl, h, j) })
	if !ok && j.Avoid != "" {
		at, ok = p.place(pl.model, "", func(h *fsm.Hive) bool { return p.mayHost(pl, h, j) })
	}
	if !ok {
		return
	}
	s := &slot{worker: p.spawn(p.workerID(), at, at.model.Slots), hive: at.hive}
	f := p.fleetOf(pl)
	f.live++
	f.on[at.hive.ID]++
	f.there, f.coming = append(f.there, s), append(f.coming, s)
	delete(p.memory, at.hive.ID)
}

// mayHost tells whether a worker for a job may be spawned on a hive now, if it has room: it
// is not blocked for the model, and by default the model has none there yet. The plan looks
// again when the block ends, and soon where only room may be short: nothing else may tell
// the leader that some has come free.
func (p *planner) mayHost(pl *pool, h *fsm.Hive, j *fsm.Job) bool {
	if p.lim.WorkersPerModel == 0 && p.fleetOf(pl).on[h.ID] > 0 || !suits(h, j) || !largeEnough(h, pl.model) {
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
// have one on each hive, which mayHost sees to.
func (p *planner) mayGrow(pl *pool) bool {
	return p.lim.WorkersPerModel == 0 || p.fleetOf(pl).live < p.lim.WorkersPerModel
}

// place finds the device with most free memory that holds a model, among the usable hives
// that may. A device may be named.
func (p *planner) place(model, device string, may func(*fsm.Hive) bool) (best spot, ok bool) {
	for h := range p.hivesWith(model) {
		if !usable(h) || !may(h) {
			continue
		}
		memory := p.freeMemory(h)
		for _, m := range offered(h, model) {
			for i, d := range h.Facts.Devices {
				if (device != "" && device != d.ID) || m.VRAM > d.Total || m.VRAM > memory[i] {
					continue
				}
				if !ok || memory[i] > best.free {
					best, ok = spot{hive: h, device: d.ID, model: m, free: memory[i]}, true
				}
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
