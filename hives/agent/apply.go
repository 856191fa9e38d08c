package agent

import (
	"queen-rbee/hives"
)

// apply acts on a desired answer: it starts what is listed and missing, and ends what is
// there, not listed and not younger than the answer. False when the answer is of another
// epoch or older than what was acted on, or says nothing new. settles is what silent gave
// before a strong answer was asked for, 0 for any other answer.
func (t *table) apply(d hives.Desired, settles uint64) bool {
	t.mu.Lock()
	if t.sealed {
		t.mu.Unlock()
		return false
	}
	if d.Epoch != t.epoch || d.Index < t.index {
		t.logger.Warn("old desired state ignored", "epoch", d.Epoch, "index", d.Index, "acted_epoch", t.epoch, "acted_index", t.index)
		t.mu.Unlock()
		return false
	}
	news := d.Index > t.index || !t.synced
	t.index, t.synced, t.last = d.Index, true, d
	t.settled = max(t.settled, settles)
	t.actLocked(d)
	t.mu.Unlock()
	t.parts.acted(d.Epoch, d.Index)
	return news
}

func (t *table) actLocked(d hives.Desired) {
	if !t.closing {
		t.parts.models(d.Models, d.Index) // before the workers that wait for them
	}
	t.actWorkersLocked(d)
	t.actRunsLocked(d)
	t.sweepLocked()
}

func (t *table) actWorkersLocked(d hives.Desired) {
	listed := make(map[string]bool, len(d.Workers))
	for _, rec := range d.Workers {
		if d.Desired == hives.HiveStopped {
			break
		}
		listed[rec.ID] = true
		w, there := t.workers[rec.ID]
		switch {
		case there && !w.stopping && w.is(rec):
			w.index = max(w.index, rec.Index)
			w.confirm()
		case there && !w.stopping: // of an earlier agent, or of another cluster: workerOver acts again
			t.stopLocked(w, hives.Errorf(hives.CodeWorkerGone, "the worker is to be another one"))
		case there && (w.index > d.Index || !w.over()):
			// A younger doorbell ended it, or its process is not gone yet: workerOver acts again.
		case !t.closing:
			t.startWorkerLocked(rec)
		}
	}
	reason := hives.Errorf(hives.CodeWorkerGone, "the worker is no longer desired")
	if d.Desired == hives.HiveStopped {
		reason = hives.Errorf(hives.CodeDrained, "the hive is to be stopped")
	}
	for id, w := range t.workers {
		if !listed[id] && w.index <= d.Index {
			t.stopLocked(w, reason)
		}
	}
}

func (t *table) startWorkerLocked(rec hives.DesiredWorker) *worker {
	w := t.parts.newWorker(rec)
	t.workers[rec.ID] = w
	w.start()
	close(t.known)
	t.known = make(chan struct{})
	return w
}

func (t *table) actRunsLocked(d hives.Desired) {
	listed := make(map[runKey]bool, len(d.Runs))
	for _, rec := range d.Runs {
		key := runKey{rec.JobID, rec.Attempt}
		listed[key] = true
		if r, there := t.runs[key]; there {
			r.update(rec)
			continue
		}
		t.listRunLocked(rec)
	}
	for key, r := range t.runs {
		if listed[key] || r.index > d.Index {
			continue
		}
		// Over for the state: its record has been taken, or nobody wants it.
		r.forgotten = true
		if r.over() {
			delete(t.runs, key)
			continue
		}
		r.end(hives.Errorf(codeCancelled, "the run is no longer desired"))
	}
}

// listRunLocked meets a listed run that is not here.
func (t *table) listRunLocked(rec hives.DesiredRun) {
	key := runKey{rec.JobID, rec.Attempt}
	if _, end, ended := t.kept(key); ended {
		r := t.parts.newRun(rec, nil)
		t.runs[key] = r
		r.endedAs(end)
		t.kick()
		return
	}
	if rec.Incarnation > t.incarnation {
		return // a newer agent of this hive is there; the next heartbeat will be told so
	}
	w := t.workers[rec.WorkerID]
	r := t.parts.newRun(rec, w)
	t.runs[key] = r
	switch {
	case rec.Incarnation < t.incarnation:
		r.end(restarted())
	case t.closing:
		r.end(hives.Errorf(hives.CodeDrained, "the hive's agent is being stopped"))
	case w == nil || w.stopping:
		r.end(hives.Errorf(hives.CodeWorkerGone, "worker %s is not on this hive", rec.WorkerID))
	}
	r.update(rec)
	r.start()
}

// sweepLocked forgets stopped workers once a heartbeat has said so and no doorbell needs them.
func (t *table) sweepLocked() {
	for id, w := range t.workers {
		if w.stopping && w.over() && w.told && w.index <= t.index {
			delete(t.workers, id)
		}
	}
}
