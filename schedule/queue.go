package schedule

import (
	"slices"

	"queen-rbee/fsm"
)

// lookahead is how many constraints that find no slot are passed over in one model's queue,
// each with all the jobs that have it.
const lookahead = 128

// serveQueues gives free slots to waiting jobs, and then sees to those that found none, the
// longest waiting model first: to the first job that waits at all at once, to the others when
// the plan is thorough, so that a newer model takes no room that an older one waits for. Models
// without waiting jobs are not even looked at, nor, if the plan is not thorough, those without a
// vacant worker.
func (p *planner) serveQueues() {
	models := p.waitingModels(p.thorough)
	for _, model := range models {
		p.serveQueue(p.pool(model), false)
	}
	if !p.thorough && p.pressed() {
		return // the next thorough plan decides
	}
	for _, model := range p.byHead(models) {
		p.serveQueue(p.pool(model), true)
	}
}

// pressed tells whether some model may be waiting for room: it has jobs and no worker.
func (p *planner) pressed() bool {
	const most = 8 // looked at
	n := 0
	for model := range p.view.QueuedModels() {
		if n++; n > most || !p.manned(model) {
			return true
		}
	}
	return false
}

// manned tells whether a model has a worker that does not drain.
func (p *planner) manned(model string) bool {
	for w := range p.workersOf(model) {
		if w.State != fsm.WorkerDraining {
			return true
		}
	}
	return false
}

// byHead orders models by their longest waiting jobs and leaves out those that have none.
func (p *planner) byHead(models []string) []string {
	heads := make([]*fsm.Job, 0, len(models))
	for _, model := range models {
		for j := range p.lanes(model).jobs {
			heads = append(heads, j)
			break
		}
	}
	slices.SortStableFunc(heads, byRank)
	models = make([]string, len(heads))
	for i, j := range heads {
		models[i] = j.Model
	}
	return models
}

// assignAll only gives free slots away: it makes place in a full queue.
func (p *planner) assignAll() {
	for _, model := range p.waitingModels(false) {
		p.serveQueue(p.pool(model), false)
	}
}

// serveQueue serves one model's queue from its head. What finds no slot is passed over with
// all that asks the same of a hive; past the lookahead only jobs that ask nothing are served.
func (p *planner) serveQueue(pl *pool, grow bool) {
	if !grow && !p.any(pl) {
		return
	}
	lanes := p.lanes(pl.model)
	for j := range lanes.jobs {
		if !p.room() {
			return
		}
		if s := p.choose(pl, j); s != nil {
			p.assignTo(s, j)
			continue
		}
		if grow && p.giveUp(j) {
			continue
		}
		if grow {
			p.grow(pl, j)
		}
		if j.Constraint() == "" || (!grow && !p.any(pl)) {
			return // where a job that any hive may run finds no slot, there is none
		}
		lanes.close(j)
		lanes.narrow = len(lanes.closed) >= lookahead
	}
}

// giveUp ends a waiting job when every hive that fits has failed its model too often in a
// row and no worker is left, or when no hive fits at all. Hives that are offline but have not
// failed are a hope.
func (p *planner) giveUp(j *fsm.Job) bool {
	var last *fsm.Block
	fits := false
	for h := range p.hivesFor(j) {
		if !suits(h, j) || !p.largeEnough(h, j.Model) {
			continue
		}
		fits = true
		if h.Desired != fsm.HiveRun {
			continue
		}
		b, failing := p.failing(j.Model, h.ID)
		if !failing {
			return false
		}
		if last == nil || b.Until > last.Until {
			last = b
		}
	}
	if !fits {
		return p.unservable(j)
	}
	if last == nil || p.served(j) {
		return false
	}
	p.end(j, fsm.EndJob{State: fsm.JobFailed, Failure: &fsm.Failure{Code: fsm.CodeWorkerFailed,
		Message: "every hive that fits failed model " + j.Model + " again and again: " + last.Failure.Message}})
	return true
}

// unservable ends a job that no registered hive, online or not, could ever run, once it has
// been so long since its admission that nobody brings one: its hive was dropped, or offers the
// model no more.
func (p *planner) unservable(j *fsm.Job) bool {
	if p.served(j) {
		return false
	}
	if due := j.Submitted + p.lim.Unservable; due > p.now {
		p.wake(due)
		return false
	}
	p.end(j, fsm.EndJob{State: fsm.JobFailed, Failure: &fsm.Failure{Code: fsm.CodeNoHiveFits,
		Message: "it waited for " + p.lim.Unservable.String() + " and no hive that is registered " + wants(j)}})
	return true
}

// failing tells a hive that is passed over for a model after FailsInARow failures.
func (p *planner) failing(model, hive string) (*fsm.Block, bool) {
	b, ok := p.block(model, hive)
	most := p.lim.FailsInARow
	if ok && b.Failure.Code == outOfMemory {
		most = 2 // once more after room was made, and no more
	}
	return b, ok && b.Until > p.now && b.Fails >= most
}

// blocked tells a hive that is passed over for a model for now.
func (p *planner) blocked(model, hive string) bool {
	b, ok := p.block(model, hive)
	return ok && b.Until > p.now
}
