package agent

import (
	"queen-rbee/hives"
	"queen-rbee/hives/runlog"
)

// Bounds of what may be alive at once.
const (
	maxAlive   = 16384
	maxWorkers = 1024
)

// codeBusy refuses what is beyond a bound of this hive.
const codeBusy = "hive_busy"

// answered is what a doorbell of a run leads to: a run, or the log of one that has ended.
type answered struct {
	run *run
	log *runlog.Log
}

func stale(format string, args ...any) error { return hives.Errorf(hives.CodeStale, format, args...) }

// ringRun is the doorbell of a run, in the order that api.md gives. A channel instead of an
// answer: the run's worker is not known yet and may be; ask again when it is closed.
func (t *table) ringRun(workerID string, e *hives.Execute) (answered, <-chan struct{}, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	key := runKey{e.JobID, e.Attempt}
	if r, ok := t.runs[key]; ok { // listed ones are there too
		r.offer(bodyOf(e))
		if e.Epoch == t.epoch {
			r.index = max(r.index, e.AssignedIndex)
		}
		return answered{run: r}, nil, nil
	}
	if l, _, ended := t.kept(key); ended {
		return answered{log: l}, nil, nil
	}
	if err := t.youngerLocked(e.Epoch, e.AssignedIndex); err != nil {
		return answered{}, nil, err
	}
	if e.Incarnation != t.incarnation {
		return answered{}, nil, stale("the run was assigned to incarnation %d of this hive, which runs as %d", e.Incarnation, t.incarnation)
	}
	if len(t.runs) >= maxAlive {
		t.fullRuns.Add(1)
		return answered{}, nil, hives.Errorf(codeBusy, "%d runs are on this hive, its limit", len(t.runs))
	}
	w, ok := t.workers[workerID]
	if !ok {
		return answered{}, t.known, nil
	}
	if w.stopping {
		return answered{}, nil, stale("worker %s is being stopped", workerID)
	}
	rec := recordOf(workerID, e)
	r := t.parts.newRun(rec, w)
	t.runs[key] = r
	r.offer(bodyOf(e))
	r.update(rec)
	r.start()
	return answered{run: r}, nil, nil
}

// bodyOf is the request that a doorbell brings, nil for none.
func bodyOf(e *hives.Execute) []byte {
	if len(e.Data) > 0 {
		return e.Data
	}
	return e.Body
}

// recordOf is a doorbell's run as the desired state will list it.
func recordOf(workerID string, e *hives.Execute) hives.DesiredRun {
	return hives.DesiredRun{
		JobID: e.JobID, Attempt: e.Attempt, Incarnation: e.Incarnation, WorkerID: workerID,
		AssignedIndex: e.AssignedIndex, API: e.API, Path: e.Path, ContentType: e.ContentType, Begin: e.Begin,
		Mode: e.Mode, GraceMillis: e.GraceMillis, DeadlineMillis: e.DeadlineMillis,
	}
}

// youngerLocked refuses a doorbell whose record is not younger than what was acted on.
func (t *table) youngerLocked(epoch string, index uint64) error {
	switch {
	case epoch != t.epoch:
		return stale("the record is of epoch %.64s, this hive is in %s", epoch, t.epoch)
	case !t.synced:
		return stale("this hive has not read its desired state yet")
	case t.closing:
		return stale("this hive's agent is being stopped")
	case index <= t.index:
		return stale("the record is of index %d and not in the desired state of index %d", index, t.index)
	case !t.fresh():
		return stale("this hive has had no answer to its heartbeats lately and starts nothing by doorbell")
	case t.settled < t.silences:
		return stale("this hive was cut off and has not read its desired state since")
	}
	return nil
}

// ringSpawn is the doorbell of a worker that should live.
func (t *table) ringSpawn(epoch string, rec hives.DesiredWorker) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if w, ok := t.workers[rec.ID]; ok {
		if w.stopping {
			return stale("worker %s is being stopped", rec.ID)
		}
		if epoch == t.epoch {
			w.index = max(w.index, rec.Index)
		}
		return nil
	}
	if err := t.youngerLocked(epoch, rec.Index); err != nil {
		return err
	}
	if t.last.Desired != hives.HiveRunning {
		return stale("this hive is %s and starts no worker by doorbell", t.last.Desired)
	}
	if len(t.workers) >= maxWorkers {
		t.fullWorkers.Add(1)
		return hives.Errorf(codeBusy, "%d workers are on this hive, its limit", len(t.workers))
	}
	t.startWorkerLocked(rec)
	return nil
}

// ringModel asks whether the doorbell of a model is to be believed.
func (t *table) ringModel(epoch string, index uint64) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.youngerLocked(epoch, index)
}

// ringShutdown is the doorbell of a worker that should end. It stays known until an answer as
// young as the doorbell, so that no older one starts it again.
func (t *table) ringShutdown(epoch, id string, index uint64) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	w, ok := t.workers[id]
	if ok && w.stopping && epoch == t.epoch {
		w.index = max(w.index, index)
		return nil
	}
	if err := t.youngerLocked(epoch, index); err != nil {
		return err
	}
	if !ok {
		return hives.Errorf(hives.CodeNotFound, "worker %s is not on this hive", id)
	}
	w.index = index
	t.stopLocked(w, hives.Errorf(hives.CodeWorkerGone, "the worker is no longer desired"))
	return nil
}
