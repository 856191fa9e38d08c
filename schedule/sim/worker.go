package sim

import (
	"time"

	"queen-rbee/fsm"
	"queen-rbee/schedule"
)

// worker is a desired worker on a hive and its engine process, which may die and be started
// again; slots are given first come, first served, while it is ready.
type worker struct {
	a     *agent
	id    string
	model string
	index uint64
	size  int // slots that were asked for
	state fsm.WorkerState
	why   string

	held     bool // of an earlier agent: nothing is started in its place before it is listed
	fallen   bool // and it has died before that
	life     int  // of the process: events of an earlier one are void
	deaths   int  // in a row
	slots    int  // 0 while it is not ready
	begun    bool
	busy     int // slots given and not given back
	engine   int // requests that the engine really works on
	waiting  []*run
	shut     *fsm.Failure
	stopping bool
	gone     bool
	told     bool
}

func (a *agent) spawn(rec *fsm.Worker) {
	x := &worker{a: a, id: rec.ID, model: rec.Model, index: rec.Index, size: max(1, rec.Slots), state: fsm.WorkerSpawning}
	a.workers[rec.ID] = x
	a.h.w.logf("%s starts worker %s", a.h.id, x.id)
	x.launch()
	waiting := a.waiting
	a.waiting = nil
	for _, p := range waiting {
		a.h.w.on(a.proc, 0, func() { a.serve(p) })
	}
}

// resume goes on with an engine that an earlier agent has left: ready when it has let go.
func (a *agent) resume(old *worker) {
	w := a.h.w
	x := &worker{a: a, id: old.id, model: old.model, size: old.size, state: fsm.WorkerLoading, held: true}
	a.workers[x.id] = x
	w.logf("%s goes on with the engine of worker %s", a.h.id, x.id)
	w.meet("an engine outlives its agent")
	x.later(w.between(0, 300*time.Millisecond), x.ready)
}

// confirm takes note that an answer lists the worker.
func (x *worker) confirm() {
	x.held = false
	if x.fallen {
		x.fallen = false
		x.launch()
	}
}

// later lets something happen in this life of the engine process.
func (x *worker) later(d time.Duration, do func()) {
	life := x.life
	x.a.h.w.on(x.a.proc, d, func() {
		if x.life == life && !x.gone {
			do()
		}
	})
}

func (x *worker) launch() {
	w := x.a.h.w
	x.life++
	x.state = fsm.WorkerSpawning
	if x.held {
		x.fallen = true
		return
	}
	x.later(w.between(5*time.Millisecond, 100*time.Millisecond), func() {
		x.state = fsm.WorkerLoading
		x.a.kick()
		load := w.between(50*time.Millisecond, 1500*time.Millisecond)
		trouble := w.faults.Workers && !w.calm && w.chance(80)
		if trouble && w.chance(300) {
			load = 20 * time.Second // it hangs, and is killed in the end
		}
		x.later(load, func() {
			if trouble {
				x.die("failed to load")
				return
			}
			x.ready()
		})
	})
}

func (x *worker) ready() {
	w := x.a.h.w
	x.state, x.slots, x.begun = fsm.WorkerReady, x.size, true
	if w.faults.Workers && !w.calm && x.size > 1 && w.chance(200) {
		x.slots = x.size - 1 // the engine's own word
	}
	w.logf("worker %s is ready with %d slots", x.id, x.slots)
	x.grant()
	x.a.kick()
	x.later(30*time.Second, func() { x.deaths = 0 })
}

// die is the end of the engine process; it is started again, three times at most.
func (x *worker) die(why string) {
	if x.gone || x.stopping || x.state == fsm.WorkerFailed {
		return
	}
	w := x.a.h.w
	w.logf("process of worker %s dies: %s", x.id, why)
	x.life++
	x.slots = 0
	died := &fsm.Failure{Code: "worker_died", Message: "the worker's process ended"}
	x.dismiss(died)
	for _, key := range sortedKeys(x.a.runs) {
		if r := x.a.runs[key]; r.worker == x && r.granted {
			r.broken(died)
		}
	}
	x.deaths++
	if x.deaths > 3 {
		x.fail(why)
		return
	}
	x.state = fsm.WorkerSpawning
	x.later(time.Duration(x.deaths)*300*time.Millisecond, x.launch)
	x.a.kick()
}

// fail gives a worker up.
func (x *worker) fail(why string) {
	x.state, x.why = fsm.WorkerFailed, why
	x.gone = true
	gone := &fsm.Failure{Code: "worker_gone", Message: "the worker has failed: " + why}
	x.close(gone)
	x.a.kick()
}

// close tells everyone who waits, and who comes, that there will be no slot.
func (x *worker) close(why *fsm.Failure) {
	x.shut = why
	x.dismiss(why)
	for _, key := range sortedKeys(x.a.runs) {
		if r := x.a.runs[key]; r.worker == x {
			r.end(why)
		}
	}
}

// stop ends a worker that is no longer desired, and the runs on it.
func (x *worker) stop(why *fsm.Failure) {
	if x.stopping {
		return
	}
	w := x.a.h.w
	w.logf("%s stops worker %s: %s", x.a.h.id, x.id, why.Message)
	x.stopping = true
	x.close(why)
	w.on(x.a.proc, w.between(10*time.Millisecond, 500*time.Millisecond), func() {
		x.gone = true
		x.life++
		if a := x.a; a.synced {
			a.act(a.last) // it may have become desired again meanwhile
		}
		x.a.kick()
	})
}

func (x *worker) dismiss(why *fsm.Failure) {
	waiting := x.waiting
	x.waiting = nil
	for _, r := range waiting {
		r.finish(fsm.JobFailed, why)
	}
}

// acquire waits for a slot.
func (x *worker) acquire(r *run) {
	switch {
	case x.shut != nil:
		r.finish(fsm.JobFailed, x.shut)
	case x.slots == 0 && x.begun:
		r.finish(fsm.JobFailed, &fsm.Failure{Code: "worker_died", Message: "the worker's process ended before the run began"})
	default:
		x.waiting = append(x.waiting, r)
		x.grant()
	}
}

func (x *worker) grant() {
	for x.shut == nil && len(x.waiting) > 0 && (x.busy < x.slots || x.a.h.w.cfg.Broken.Crowded && x.slots > 0) {
		r := x.waiting[0]
		x.waiting = x.waiting[1:]
		x.busy++
		r.start()
	}
}

func (x *worker) release() {
	x.busy--
	x.grant()
}

func (x *worker) report() schedule.BeatWorker {
	b := schedule.BeatWorker{ID: x.id, State: x.state, Slots: x.slots, Error: x.why}
	if x.stopping && x.gone {
		b.State, b.Error = fsm.WorkerStopped, ""
	}
	return b
}
