package sim

import (
	"queen-rbee/fsm"
)

// apply acts on a desired answer: it starts what is listed and missing, and ends what is
// there, not listed and not younger. False when it says nothing new.
func (a *agent) apply(d *desired) bool {
	if d.epoch != a.epoch || d.index < a.index {
		a.h.w.meet("an old answer is ignored")
		a.h.w.logf("%s ignores an old answer of index %d at %d", a.h.id, d.index, a.index)
		return false
	}
	fresh := d.index > a.index || !a.synced
	a.index, a.synced, a.last = d.index, true, d
	a.h.epoch, a.h.acted = d.epoch, d.index
	a.act(d)
	return fresh
}

func (a *agent) act(d *desired) {
	a.actWorkers(d)
	a.actRuns(d)
	a.sweep()
}

func (a *agent) actWorkers(d *desired) {
	listed := map[string]bool{}
	for _, rec := range d.workers {
		if d.wish == fsm.HiveStop {
			break
		}
		listed[rec.ID] = true
		x := a.workers[rec.ID]
		switch {
		case x != nil && !x.stopping:
			x.index = max(x.index, rec.Index)
			x.confirm()
		case x != nil && (x.index > d.index || !x.gone):
		default:
			a.spawn(rec)
		}
	}
	for _, id := range sortedNames(a.workers) {
		if x := a.workers[id]; !listed[id] && x.index <= d.index {
			x.stop(&fsm.Failure{Code: "worker_gone", Message: "the worker is no longer desired"})
		}
	}
}

func (a *agent) actRuns(d *desired) {
	listed := map[runKey]bool{}
	for _, rec := range d.runs {
		key := runKey{rec.ID, rec.Attempt}
		listed[key] = true
		if r := a.runs[key]; r != nil {
			r.update(rec, d.at)
			continue
		}
		a.list(rec, d.at)
	}
	for _, key := range sortedKeys(a.runs) {
		r := a.runs[key]
		if listed[key] || r.index > d.index {
			continue
		}
		r.forgotten = true
		if r.terminal != nil {
			delete(a.runs, key)
			continue
		}
		r.end(&fsm.Failure{Code: fsm.CodeCancelled, Message: "the run is no longer desired"})
	}
}

// list meets a listed run that is not here.
func (a *agent) list(rec *fsm.Job, at fsm.Time) {
	key := runKey{rec.ID, rec.Attempt}
	if l := a.h.logs[key]; l != nil && l.terminal != nil && !a.h.w.cfg.Broken.Forgetful {
		a.h.w.meet("a run of an earlier agent is reported")
		l.agent, l.forgotten = a, false
		l.index = rec.AssignedIndex
		a.runs[key] = l
		a.kick()
		return
	}
	if rec.Incarnation > a.incarnation {
		return // a newer agent of this hive is there
	}
	x := a.workers[rec.Worker]
	r := a.take(rec, x)
	switch {
	case rec.Incarnation < a.incarnation:
		r.end(&fsm.Failure{Code: "agent_restarted", Message: "the agent was restarted"})
	case x == nil || x.stopping:
		r.end(&fsm.Failure{Code: "worker_gone", Message: "the worker is not on this hive"})
	}
	r.update(rec, at)
	r.begin("the desired state")
}

// sweep forgets stopped workers once a beat has said so.
func (a *agent) sweep() {
	for _, id := range sortedNames(a.workers) {
		if x := a.workers[id]; x.stopping && x.gone && x.told && x.index <= a.index {
			delete(a.workers, id)
		}
	}
}

// ring is the doorbell of a run, in the order of api.md: what is known is read, what is
// younger than the newest answer is started, everything else is stale. wait tells that the
// run's worker is not known yet.
func (a *agent) ring(p *poll) (r *run, wait bool, err *fsm.Error) {
	key := runKey{p.rec.ID, p.rec.Attempt}
	if r := a.runs[key]; r != nil {
		r.body = r.body || p.body
		r.index = max(r.index, p.rec.AssignedIndex)
		return r, false, nil
	}
	if l := a.h.logs[key]; l != nil && l.terminal != nil && !a.h.w.cfg.Broken.Forgetful {
		return l, false, nil
	}
	stale := func(why string) *fsm.Error { return fsm.Errorf(fsm.CodeStale, "%s", why) }
	if !a.h.w.cfg.Broken.Gullible {
		switch {
		case p.epoch != a.epoch:
			return nil, false, stale("another epoch")
		case !a.synced:
			return nil, false, stale("nothing is desired yet")
		case p.rec.AssignedIndex <= a.index:
			return nil, false, stale("not in the desired state")
		case a.h.w.now-a.fresh > offlineAfter/2:
			return nil, false, stale("no heartbeat was answered lately")
		case a.settled < a.silences:
			return nil, false, stale("nothing was read since a silence")
		case p.rec.Incarnation != a.incarnation:
			return nil, false, stale("another incarnation")
		}
	}
	x := a.workers[p.rec.Worker]
	switch {
	case x == nil:
		return nil, true, nil
	case x.stopping:
		return nil, false, stale("the worker is being stopped")
	}
	r = a.take(p.rec, x)
	r.body = p.body
	r.update(p.rec, p.at)
	r.begin("a doorbell")
	return r, false, nil
}

// take makes the run of a record.
func (a *agent) take(rec *fsm.Job, x *worker) *run {
	a.h.w.texts++
	r := &run{agent: a, worker: x, job: rec.ID, attempt: rec.Attempt, index: rec.AssignedIndex, text: a.h.w.texts}
	key := runKey{r.job, r.attempt}
	a.runs[key], a.h.logs[key] = r, r
	return r
}
