package agent

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/go-hclog"

	"queen-rbee/hives"
	"queen-rbee/hives/engine"
	"queen-rbee/hives/models"
)

// supervisor is what the agent needs of *engine.Worker.
type supervisor interface {
	Run(context.Context) error
	State() engine.Snapshot
	Generation() (uint64, context.Context)
	Alive(generation uint64)
	Doubt()
}

// worker is one desired worker and its supervisor.
type worker struct {
	id     string
	model  string
	spec   hives.DesiredWorker // as it was started
	digest string              // of its launch
	sup    supervisor          // nil when it could not even be made; refused says why
	slots  slots
	busy   atomic.Int64 // requests that its engine answers now, by bytes that came

	// Of one that goes on with the engine of an earlier agent; nil for others.
	mayStart chan struct{} // closed by the table when it is desired: only then is another process started
	wasReady bool
	settled  chan struct{} // closed when its engine was seen ready, or is gone
	settle   sync.Once

	refused error
	// Of one whose model is the catalog's: key and path of its file, once it is here.
	key     string
	file    string
	release func() // of the file that an earlier agent gave its engine; nil for none

	on    workerEvents
	group *sync.WaitGroup
	ctx   context.Context
	stop  context.CancelFunc
	done  chan struct{} // closed when its goroutine has ended
	gone  atomic.Bool   // the supervisor has returned: no process is left

	// Guarded by the table's mutex.
	index     uint64 // batch index of its record, or of the doorbell that ended it
	confirmed bool   // mayStart is closed
	stopping  bool   // it is not desired
	told      bool   // an answered heartbeat has said that it is stopped
}

// workerEvents is told what happens to workers. None may block.
type workerEvents struct {
	moved func(*worker, engine.Snapshot)
	over  func(*worker)
}

// workshop makes workers.
type workshop struct {
	menu      *menu
	shelf     *shelf
	devices   func(id string) bool
	environ   func(device string) []string
	free      func(ctx context.Context, device string) (bytes int64, ok bool)
	supervise func(engine.Launch, engine.Options) (supervisor, error)
	logDir    string
	ports     engine.PortRange
	cgroup    string
	mark      string
	group     *sync.WaitGroup
	on        workerEvents
	logger    hclog.Logger
}

// make makes the worker of a record. One that cannot be is failed from the start.
func (s *workshop) make(rec hives.DesiredWorker) *worker {
	w := s.blank(rec)
	w.index = rec.Index
	launch, err := s.launch(rec)
	if err == nil && !s.devices(rec.Device) {
		err = hives.Errorf(hives.CodeInvalid, "this hive has no device %.64q", rec.Device)
	}
	switch {
	case err != nil:
	case launch.Model.Path == "" && s.fromCatalog(launch):
		s.equipLater(w, launch)
	default:
		err = s.equip(w, launch, engine.Options{})
	}
	if err != nil {
		w.refused = err
		s.logger.Error("worker cannot be started", "worker", rec.ID, "error", err)
	}
	return w
}

// resume makes the worker that goes on with a process of an earlier agent; an error says why
// that cannot be. It is younger than no desired answer: the first one decides about it.
func (s *workshop) resume(p savedProcess) (*worker, error) {
	process := p.process()
	if !process.Adoptable() {
		return nil, errors.New("it has ended, or cannot be spoken to")
	}
	w := s.blank(p.Spec)
	w.wasReady, w.mayStart, w.settled = p.Ready, make(chan struct{}), make(chan struct{})
	launch, err := s.launch(p.Spec)
	if err == nil && s.fromCatalog(launch) {
		w.key, w.file, launch.Model.Path = p.ModelKey, p.File, p.File
		if p.File == "" {
			err = errors.New("the file of its model is not known")
		}
	}
	if err == nil {
		err = s.equip(w, launch, engine.Options{Adopt: &process, MayStart: w.mayStart, Resumed: w.slots.inUse})
	}
	if err != nil {
		return nil, err
	}
	if w.key != "" {
		w.release = s.shelf.store.Claim(w.key)
	}
	if w.digest != p.Digest {
		return nil, errors.New("this hive's configuration would start it differently now")
	}
	return w, nil
}

func (s *workshop) blank(rec hives.DesiredWorker) *worker {
	w := &worker{id: rec.ID, model: rec.Model, spec: rec, on: s.on, group: s.group, done: make(chan struct{})}
	w.ctx, w.stop = context.WithCancel(context.Background())
	return w
}

// equip gives a worker its supervisor.
func (s *workshop) equip(w *worker, l engine.Launch, o engine.Options) (err error) {
	w.sup, err = s.supervisor(w, l, o)
	return err
}

// supervisor makes what looks after the worker's engine.
func (s *workshop) supervisor(w *worker, l engine.Launch, o engine.Options) (_ supervisor, err error) {
	if w.digest, err = l.Digest(); err != nil {
		return nil, err
	}
	o.Environ = func() []string { return s.environ(l.Device) }
	o.Free = func(ctx context.Context) (int64, bool) { return s.free(ctx, l.Device) }
	o.Cgroup, o.Secrets = s.cgroup, s.menu.secrets()
	o.LogDir, o.Ports, o.Mark, o.Notify, o.Logger = s.logDir, s.ports, s.mark, w.notify, s.logger
	return s.supervise(l, o)
}

// fromCatalog tells that a launch is of a model that is none of the engine's own.
func (s *workshop) fromCatalog(l engine.Launch) bool {
	return l.Definition.TakesFiles() && !slices.ContainsFunc(l.Definition.Models, func(m engine.Model) bool { return m.Ref == l.Model.Ref })
}

// equipLater gives a worker a supervisor that starts the engine when the file is here.
func (s *workshop) equipLater(w *worker, l engine.Launch) {
	ref, index := l.Model.Ref, w.index
	w.sup = &filed{
		wait: func(ctx context.Context) (models.Model, func(), error) { return s.shelf.file(ctx, ref, index) },
		done: func() float64 { return s.shelf.done(ref) }, notify: w.notify,
		start: func(m models.Model) (supervisor, error) {
			l.Model.Path = m.Path
			w.key, w.file = m.Key, m.Path
			return s.supervisor(w, l, engine.Options{})
		},
	}
}

// launch finds the engine and the model of a record among what this hive offers.
func (s *workshop) launch(rec hives.DesiredWorker) (engine.Launch, error) {
	engines := s.menu.now()
	at := slices.IndexFunc(engines, func(d engine.Definition) bool { return d.Name == rec.Engine })
	if at < 0 {
		return engine.Launch{}, hives.Errorf(hives.CodeInvalid, "this hive has no engine %.64q", rec.Engine)
	}
	d := engines[at]
	m := slices.IndexFunc(d.Models, func(m engine.Model) bool { return m.Ref == rec.Model })
	if problem := s.menu.problem(d.Name); m < 0 && problem != "" {
		return engine.Launch{}, hives.Errorf(hives.CodeInvalid, "engine %s is not known to serve the model %.256q: %s", d.Name, rec.Model, problem)
	}
	if m < 0 && d.TakesFiles() { // the catalog's: its file comes from the shelf
		model := engine.Model{Ref: rec.Model, Slots: rec.Slots, Context: rec.Context, VRAMBytes: rec.VRAMBytes}
		return engine.Launch{ID: rec.ID, Definition: d, Model: model, Device: rec.Device, Slots: rec.Slots, Context: rec.Context, Args: rec.Args}, nil
	}
	if m < 0 {
		return engine.Launch{}, hives.Errorf(hives.CodeInvalid, "engine %s of this hive does not serve the model %.256q", d.Name, rec.Model)
	}
	return engine.Launch{ID: rec.ID, Definition: d, Model: d.Models[m], Device: rec.Device, Slots: rec.Slots, Context: rec.Context, Args: rec.Args}, nil
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
		if w.release != nil {
			w.release()
		}
		w.gone.Store(true)
		w.decide()
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
	if s.State == hives.WorkerReady || s.PID == 0 {
		w.decide()
	}
	w.on.moved(w, s)
}

// decide notes that it is known what has become of the engine of an earlier agent.
func (w *worker) decide() {
	if w.settled != nil {
		w.settle.Do(func() { close(w.settled) })
	}
}

// confirm takes note that an answer lists the worker. The table's mutex is held.
func (w *worker) confirm() {
	if w.mayStart != nil && !w.confirmed {
		w.confirmed = true
		close(w.mayStart)
	}
}

// is tells whether a record asks for what the worker is. Not by its slots: the cluster follows
// the engine's own word on them.
func (w *worker) is(rec hives.DesiredWorker) bool {
	return w.spec.Model == rec.Model && w.spec.Engine == rec.Engine && w.spec.Device == rec.Device &&
		maps.Equal(w.spec.Args, rec.Args)
}

// saved is what the next agent must know of the worker's process.
func (w *worker) saved(s engine.Snapshot) savedProcess {
	p := s.Process()
	return savedProcess{Worker: w.id, PID: p.PID, StartTicks: p.StartTicks, Port: p.Port, Key: p.Key, Ready: p.Ready,
		Digest: w.digest, Spec: w.spec, ModelKey: w.key, File: w.file}
}

// report is what a heartbeat says of the worker, but for its index.
func (w *worker) report() hives.WorkerReport {
	r := hives.WorkerReport{ID: w.id, Busy: w.slots.inUse()}
	if w.sup == nil {
		r.State, r.Error = hives.WorkerFailed, w.refused.Error()
		return r
	}
	s := w.sup.State()
	r.State, r.Progress, r.Port, r.Slots, r.Context = s.State, s.Progress, s.Port, s.Slots, s.Context
	r.Detail, r.Error, r.Code = s.Detail, s.Error, s.Code
	return r
}
