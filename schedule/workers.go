package schedule

import "queen-rbee/fsm"

// spawnWorker desires a worker as an operator asks for it: the model's maximum and a
// block of the named hive do not bind him, free memory does.
func (p *planner) spawnWorker(a *Answer, s *SpawnWorker) {
	if a.Err = text("id", s.ID, maxID, true); a.Err != nil {
		return
	}
	if w, ok := p.worker(s.ID); ok {
		a.Worker, a.WorkerState = w.ID, w.State
		return
	}
	if s.Slots < 0 || s.Slots > maxSlots {
		a.Err = fsm.Errorf(fsm.CodeInvalid, "slots: want 0 to %d", maxSlots)
		return
	}
	known, fits := false, false
	for h := range p.hivesWith(s.Model) {
		known = true
		fits = fits || (usable(h) && (s.Hive == "" || s.Hive == h.ID) && p.largeEnough(h, s.Model))
	}
	switch {
	case !known:
		a.Err = p.unknownModel(s.Model)
		return
	case s.Hive != "" && !p.knowsHive(s.Hive):
		a.Err = fsm.Errorf(fsm.CodeNotFound, "no hive %s", s.Hive)
		return
	}
	at, ok := spot{}, false
	if fits {
		p.memory = nil // of an earlier request
		at, ok = p.place(wish{model: s.Model, hive: s.Hive, device: s.Device, again: true}, func(h *fsm.Hive) bool {
			return s.Hive == h.ID || !p.blocked(s.Model, h.ID)
		})
	}
	if !ok {
		a.Err = fsm.Errorf(fsm.CodeNoHiveFits, "no hive that is online and asked for has room for model %s now", s.Model)
		a.Err.RetryAfter = clampRetry(p.lim.HiveTimeout)
		return
	}
	slots := s.Slots
	if slots == 0 {
		slots = at.model.Slots
	}
	w := p.spawn(s.ID, at, slots)
	p.memory = nil
	a.Worker, a.WorkerState = w.ID, w.State
}

const maxSlots = 4096

func (p *planner) knowsHive(id string) bool { _, ok := p.hive(id); return ok }

// stopWorker drains a worker, and by force wishes its runs to end.
func (p *planner) stopWorker(a *Answer, s *StopWorker) {
	w, ok := p.worker(s.ID)
	if !ok {
		a.Err = fsm.Errorf(fsm.CodeNotFound, "no worker %s", s.ID)
		return
	}
	p.drain(w)
	if s.Force {
		for j := range p.runsOf(w.ID) {
			if j.Ending == fsm.EndNone {
				p.wishEnd(j, fsm.EndDrained)
			}
		}
	}
	w, _ = p.worker(s.ID)
	a.Worker, a.WorkerState = w.ID, w.State
}
