package agent

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/go-hclog"

	"queen-rbee/hives"
	"queen-rbee/hives/engine"
	"queen-rbee/hives/runlog"
)

// runKey names one attempt of one job.
type runKey struct {
	job     string
	attempt uint32
}

// table is what should be here and what is. All methods are safe for concurrent use; those
// whose names end in Locked want mu held. It decides, and starts and ends things by the
// functions of parts, which must not block.
type table struct {
	parts  parts
	store  *runlog.Store
	logger hclog.Logger
	fresh  func() bool // a heartbeat has been answered lately
	kick   func()      // there is something new for a heartbeat

	mu          sync.Mutex
	epoch       string
	incarnation uint64
	index       uint64 // of the newest desired answer acted on in this epoch
	synced      bool   // this session's first strong answer has come
	silences    uint64 // how often the hive was cut off for so long that its runs may have ended elsewhere
	settled     uint64 // the newest silence after which a strong answer has been acted on
	closing     bool   // the agent stops: nothing new is started
	sealed      bool   // nothing joins the table any more
	last        hives.Desired
	runs        map[runKey]*run
	workers     map[string]*worker
	known       chan struct{} // closed and made anew when a worker becomes known

	fullRuns, fullWorkers atomic.Uint64 // doorbells that found no room
}

// parts makes the things in the table. start functions set their goroutine going.
type parts struct {
	newWorker func(hives.DesiredWorker) *worker
	newRun    func(hives.DesiredRun, *worker) *run
	goOn      func(*runlog.Log, *worker, engine.Process) *run
	acted     func(epoch string, index uint64)
	models    func(listed []hives.DesiredModel, index uint64)
	forget    func()                     // of another epoch: indexes begin anew
	shelved   func() []hives.ModelReport // for a heartbeat
}

// newTable makes a table of a hive that holds no models, until parts says how they are kept.
func newTable(store *runlog.Store, logger hclog.Logger) *table {
	none := parts{models: func([]hives.DesiredModel, uint64) {}, forget: func() {}, shelved: func() []hives.ModelReport { return nil }}
	return &table{parts: none, store: store, logger: logger, runs: map[runKey]*run{}, workers: map[string]*worker{},
		known: make(chan struct{})}
}

// counts is how many runs and workers there are.
func (t *table) counts() (runs, workers int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.runs), len(t.workers)
}

// restore sets what an earlier start acted on. Call it before anything else.
func (t *table) restore(epoch string, index uint64) { t.epoch, t.index = epoch, index }

// adopt begins a session: nothing is started until its first strong answer. In another epoch
// every index of the old one is older than anything.
func (t *table) adopt(epoch string, incarnation uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if epoch != t.epoch {
		t.index, t.last = 0, hives.Desired{}
		t.parts.forget()
		for _, r := range t.runs {
			r.index = 0
		}
		for _, w := range t.workers {
			w.index = 0
		}
	}
	t.epoch, t.incarnation, t.synced = epoch, incarnation, false
}

// silence begins the time after the hive was cut off: doorbells start nothing until a strong
// answer that was asked for later has been acted on, since any queen may wake with an old one.
func (t *table) silence() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.silences++
}

// silent is how many silences a strong answer settles that is asked for now.
func (t *table) silent() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.silences
}

// acted is the index of the newest desired answer acted on.
func (t *table) acted() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.index
}

// close refuses everything new from here on.
func (t *table) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closing = true
}

// seal ends the acting on desired answers.
func (t *table) seal() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closing, t.sealed = true, true
}

// endRuns ends every run that has not ended.
func (t *table) endRuns(reason *hives.Error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, r := range t.runs {
		r.end(reason)
	}
}

// stopWorkers stops every worker.
func (t *table) stopWorkers(reason *hives.Error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, w := range t.workers {
		t.stopLocked(w, reason)
	}
}

// stopLocked ends a worker and the runs on it.
func (t *table) stopLocked(w *worker, reason *hives.Error) {
	if w.stopping {
		return
	}
	w.stopping = true
	w.slots.shut(reason)
	for _, r := range t.runs {
		if r.worker == w {
			r.end(reason)
		}
	}
	w.stop()
}

// awaitRuns waits until no run is alive, or ctx ends.
func (t *table) awaitRuns(ctx context.Context) error {
	for {
		r := t.anyAlive()
		if r == nil {
			return nil
		}
		select {
		case <-r.done:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (t *table) anyAlive() *run {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, r := range t.runs {
		if !r.over() {
			return r
		}
	}
	return nil
}

// runOver takes note of a run that has ended.
func (t *table) runOver(r *run) {
	t.mu.Lock()
	if r.forgotten {
		delete(t.runs, r.key)
	}
	t.mu.Unlock()
	t.kick()
}

// workerOver takes note of a worker whose supervisor has returned.
func (t *table) workerOver(w *worker) {
	t.mu.Lock()
	if !w.stopping { // it failed: whatever waits for it waits in vain
		reason := hives.Errorf(hives.CodeWorkerGone, "worker %s has failed: %s", w.id, w.report().Error)
		w.slots.shut(reason)
		for _, r := range t.runs {
			if r.worker == w {
				r.end(reason)
			}
		}
	} else if t.synced && !t.closing {
		t.actLocked(t.last) // it may have become desired again meanwhile
	}
	t.mu.Unlock()
	t.kick()
}

// lookup finds a run that is alive, or whose record is still told to the queens.
func (t *table) lookup(key runKey) (*run, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r, ok := t.runs[key]
	return r, ok
}

// kept finds the log of a run that has ended and is retained.
func (t *table) kept(key runKey) (*runlog.Log, hives.Terminal, bool) {
	l, ok := t.store.Get(key.job, key.attempt)
	if !ok {
		return nil, hives.Terminal{}, false
	}
	end, ended := l.Terminal()
	return l, end, ended
}

// wish is what the cluster wants of the hive, and whether this agent stops.
func (t *table) wish() (desired string, stopping bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.last.Desired, t.closing
}
