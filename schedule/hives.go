package schedule

import (
	"cmp"

	"queen-rbee/fsm"
)

func compareLabels(a, b fsm.Label) int {
	return cmp.Or(cmp.Compare(a.Key, b.Key), cmp.Compare(a.Value, b.Value))
}

func compareModels(a, b fsm.EngineModel) int {
	return cmp.Or(cmp.Compare(a.Ref, b.Ref), cmp.Compare(a.Engine, b.Engine))
}

// wishHive notes what an operator wants of a hive; the pass over the hives makes it so.
func (p *planner) wishHive(w *HiveWish) *fsm.Error {
	h, ok := p.hive(w.ID)
	switch {
	case !ok:
		return fsm.Errorf(fsm.CodeNotFound, "no hive %s", w.ID)
	case w.Desired != fsm.HiveRun && w.Desired != fsm.HiveDrain && w.Desired != fsm.HiveStop:
		return fsm.Errorf(fsm.CodeInvalid, "desired: want running, draining or stopped")
	case h.Desired != w.Desired:
		p.setDesired(h, w.Desired)
	}
	return nil
}

// drop forgets a hive that is over: offline, or stopped with nothing left on it.
func (p *planner) drop(r *DropHive) *fsm.Error {
	h, ok := p.hive(r.ID)
	if !ok {
		return nil // a repeat
	}
	if h.Status == fsm.HiveOnline && h.Desired != fsm.HiveStop {
		return fsm.Errorf(fsm.CodeConflict, "hive %s is online: stop it first", r.ID)
	}
	for range p.runsOn(h.ID) {
		return fsm.Errorf(fsm.CodeConflict, "hive %s still has runs", r.ID)
	}
	for range p.workersOn(h.ID) {
		return fsm.Errorf(fsm.CodeConflict, "hive %s still has workers", r.ID)
	}
	if h.Status == fsm.HiveOnline {
		p.setStatus(h, fsm.HiveOffline)
		h, _ = p.hive(r.ID)
	}
	p.dropHive(h)
	return nil
}

// watchHives looks at every hive: for silence, for what an operator wishes of it, for its
// leaving, for what is left on it when it is offline. Each part goes on in the next plan where it was cut.
func (p *planner) watchHives() {
	for _, h := range p.silent() {
		if !p.room() {
			return
		}
		p.setStatus(h, fsm.HiveOffline)
	}
	for h := range p.current(p.view.Hives()) {
		if h.Status == fsm.HiveOffline {
			p.clear(h)
		} else if h.Desired != fsm.HiveRun || h.Leaving {
			p.empty(h)
		}
	}
}

// clear settles what was on a hive that is offline.
func (p *planner) clear(h *fsm.Hive) {
	why := fsm.Failure{Code: lostHive, Message: "hive " + h.ID + " is silent"}
	if h.Leaving {
		why.Message = "hive " + h.ID + " has stopped"
	}
	for j := range p.runsOn(h.ID) {
		if !p.room() {
			return
		}
		p.lose(j, why)
	}
	for w := range p.workersOn(h.ID) {
		if !p.room() {
			return
		}
		p.stop(w, fsm.SetWorkerState{State: fsm.WorkerStopped, Failure: &why})
	}
}

// empty drains a hive's workers; a hive that is to stop does not wait for their runs.
func (p *planner) empty(h *fsm.Hive) {
	for w := range p.workersOn(h.ID) {
		if w.State == fsm.WorkerDraining {
			continue
		}
		if !p.room() {
			return
		}
		p.drain(w)
	}
	if h.Desired != fsm.HiveStop {
		return
	}
	for j := range p.runsOn(h.ID) {
		if j.Ending != fsm.EndNone {
			continue
		}
		if !p.room() {
			return
		}
		p.wishEnd(j, fsm.EndDrained)
	}
}
