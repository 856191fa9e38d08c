package agent

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/go-hclog"

	"queen-rbee/hives"
	"queen-rbee/hives/engine"
)

// supervisor is what the agent needs of *engine.Worker.
type supervisor interface {
	Run(context.Context) error
	State() engine.Snapshot
	Generation() (uint64, context.Context)
	Alive(generation uint64)
}

// worker is one desired worker and its supervisor.
type worker struct {
	id    string
	model string
	sup   supervisor // nil when it could not even be made; refused says why
	slots slots

	refused error
	on      workerEvents
	group   *sync.WaitGroup
	ctx     context.Context
	stop    context.CancelFunc
	done    chan struct{} // closed when its goroutine has ended
	gone    atomic.Bool   // the supervisor has returned: no process is left

	// Guarded by the table's mutex.
	index    uint64 // batch index of its record, or of the doorbell that ended it
	stopping bool   // it is not desired
	told     bool   // an answered heartbeat has said that it is stopped
}

// workerEvents is told what happens to workers. None may block.
type workerEvents struct {
	moved func(*worker, engine.Snapshot)
	over  func(*worker)
}

// workshop makes workers.
type workshop struct {
	engines   []engine.Definition
	devices   func(id string) bool
	supervise func(engine.Launch, engine.Options) (supervisor, error)
	logDir    string
	mark      string
	group     *sync.WaitGroup
	on        workerEvents
	logger    hclog.Logger
}

// make makes the worker of a record. One that cannot be is failed from the start.
func (s *workshop) make(rec hives.DesiredWorker) *worker {
	w := &worker{id: rec.ID, model: rec.Model, index: rec.Index, on: s.on, group: s.group, done: make(chan struct{})}
	w.ctx, w.stop = context.WithCancel(context.Background())
	launch, err := s.launch(rec)
	if err == nil {
		w.sup, err = s.supervise(launch, engine.Options{
			LogDir: s.logDir, Mark: s.mark, Notify: w.notify, Logger: s.logger,
		})
	}
	if err != nil {
		w.refused = err
		s.logger.Error("worker cannot be started", "worker", rec.ID, "error", err)
	}
	return w
}

// launch finds the engine and the model of a record among what this hive offers.
func (s *workshop) launch(rec hives.DesiredWorker) (engine.Launch, error) {
	at := slices.IndexFunc(s.engines, func(d engine.Definition) bool { return d.Name == rec.Engine })
	if at < 0 {
		return engine.Launch{}, hives.Errorf(hives.CodeInvalid, "this hive has no engine %.64q", rec.Engine)
	}
	d := s.engines[at]
	m := slices.IndexFunc(d.Models, func(m engine.Model) bool { return m.Ref == rec.Model })
	if m < 0 {
		return engine.Launch{}, hives.Errorf(hives.CodeInvalid, "engine %s of this hive does not serve the model %.256q", d.Name, rec.Model)
	}
	if !s.devices(rec.Device) {
		return engine.Launch{}, hives.Errorf(hives.CodeInvalid, "this hive has no device %.64q", rec.Device)
	}
	return engine.Launch{ID: rec.ID, Definition: d, Model: d.Models[m], Device: rec.Device, Slots: rec.Slots, Args: rec.Args}, nil
}

// start sets the worker's goroutine going.
func (w *worker) start() {
	w.group.Add(1)
	go func() {
		defer w.group.Done()
		defer close(w.done)
		if w.sup != nil {
			_ = w.sup.Run(w.ctx) // how it ended is in its snapshot
		}
		w.gone.Store(true)
		w.on.over(w)
	}()
}

// over tells that no process of the worker is left and none will be.
func (w *worker) over() bool { return w.gone.Load() }

// notify is called by the supervisor after each change.
func (w *worker) notify() {
	s := w.sup.State()
	size := 0
	if s.State == hives.WorkerReady {
		size = s.Slots
	}
	w.slots.resize(size)
	w.on.moved(w, s)
}

// report is what a heartbeat says of the worker, but for its index.
func (w *worker) report() hives.WorkerReport {
	r := hives.WorkerReport{ID: w.id, Busy: w.slots.inUse()}
	if w.sup == nil {
		r.State, r.Error = hives.WorkerFailed, w.refused.Error()
		return r
	}
	s := w.sup.State()
	r.State, r.Progress, r.Port, r.Slots, r.Error = s.State, s.Progress, s.Port, s.Slots, s.Error
	return r
}
