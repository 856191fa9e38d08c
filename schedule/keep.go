package schedule

import "queen-rbee/fsm"

// serveCatalog does what the catalog asks for without a job: replicas to keep, workers that
// have rested long enough, loads that take too long, models that have left.
func (p *planner) serveCatalog() {
	p.settleDropped()
	p.watchFetches()
	p.watchLoads()
	p.keepReplicas()
	p.stopIdle()
}

// keepReplicas spawns what is missing of the workers that models are to have.
func (p *planner) keepReplicas() {
	for was := range p.view.KeptModels() {
		m, ok := p.model(was.Ref)
		if !ok {
			continue
		}
		for n := p.live(m.Ref); n < m.MinReplicas; n++ {
			if !p.room() {
				return
			}
			at, ok := p.place(wish{model: m.Ref, again: m.MaxReplicas > 0 || m.MinReplicas > 1}, func(h *fsm.Hive) bool {
				return p.mayHost(p.pool(m.Ref), h, &fsm.Job{Model: m.Ref})
			})
			if !ok {
				p.lack(m.Ref, nil)
				break
			}
			p.spawn(p.workerID(), at, at.model.Slots)
			delete(p.memory, at.hive.ID)
		}
	}
}

// live counts the workers of a model that neither are gone nor drain.
func (p *planner) live(model string) int {
	n := 0
	for w := range p.workersOf(model) {
		if w.State != fsm.WorkerDraining {
			n++
		}
	}
	return n
}

// spare tells how many workers a model may lose.
func (p *planner) spare(model string) int {
	m, ok := p.model(model)
	if !ok || m.MinReplicas == 0 {
		return fsm.MaxSlots
	}
	return max(p.live(model)-m.MinReplicas, 0)
}

// stopIdle stops the workers that have rested as long as they may.
func (p *planner) stopIdle() {
	for was, at := range p.view.Idle(forever) {
		if at > p.now {
			p.wake(at)
			return
		}
		w, ok := p.worker(was.ID)
		if !ok || w.State != fsm.WorkerReady || p.running(w.ID) > 0 || p.spare(w.Model) == 0 {
			continue
		}
		if keep, ends := p.keepOf(w); !ends || w.LastUsed+keep > p.now {
			continue
		}
		if !p.room() {
			return
		}
		p.drainFor(w, &fsm.Failure{Code: idled, Message: "nobody used it for as long as it was to stay"})
	}
}

// keepOf is how long a worker may rest by what this plan has decided, too.
func (p *planner) keepOf(w *fsm.Worker) (fsm.Time, bool) {
	if m, changed := p.models[w.Model]; changed && (m.Pin || m.Dropped()) {
		return 0, false // another look with the next plan
	}
	return p.view.KeepOf(w)
}
