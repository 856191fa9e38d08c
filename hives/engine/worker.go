package engine

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"queen-rbee/hives"
)

// Defaults of Options.
const (
	DefaultLogBytes      = 8 << 20
	DefaultHangTimeout   = 30 * time.Second
	DefaultRestarts      = 3
	DefaultRestartWindow = 10 * time.Minute

	// trimEvery is how often the size of the log is looked at.
	trimEvery = time.Second
)

// Launch is what one worker is: which engine, which model, where.
type Launch struct {
	ID         string // the worker's id, kept over restarts of the process
	Definition Definition
	Model      Model
	Device     string
	Slots      int               // 0: the model's
	Context    int               // tokens of one slot; 0: the model's
	Args       map[string]string // for the command's templates
}

// Options are how a worker is looked after. Zero values take the defaults named here.
type Options struct {
	// LogDir gets ID.log and ID.log.1, at most LogBytes (8 MiB) each beside what is written
	// within a second, or while no agent lives. Required.
	LogDir   string
	LogBytes int64
	// Mark is put into the process's environment so that FindOrphans(Mark) finds it after the
	// agent was killed. Use something only this hive has, such as its data directory.
	Mark string
	// Cgroup is the cgroup v2 directory in which a worker with limits gets a group of its own;
	// CheckCgroup has seen it.
	Cgroup string
	// Ports are where its port comes from.
	Ports PortRange
	// Adopt is a process of this very launch that an earlier agent has left behind: Run goes on
	// with it instead of starting one. Nil for none.
	Adopt *Process
	// Resumed is how many of Adopt's requests are gone on with: the slots that they have do not
	// keep it from being ready. Nil: none.
	Resumed func() int
	// MayStart allows starts when it is closed; nil: at any time. Adopt's process is followed
	// before that, but none is started in its place.
	MayStart <-chan struct{}
	// HangTimeout is how long a ready engine may be silent on probes and streams alike before
	// it is killed and started again. 30 s.
	HangTimeout time.Duration
	// Restarts is how many restarts in RestartWindow are made before the worker has failed.
	// 3 in 10 min; negative for none.
	Restarts      int
	RestartWindow time.Duration
	// Secrets are the names of variables of the agent's environment that are not the engine's
	// business, such as the keys of other engines.
	Secrets []string
	// Environ gives the NAME=value pairs that hold a process to its device; the definition's own
	// win over them. It is asked before each start and must not block. Nil for none.
	Environ func() []string
	// Free measures how many bytes are free on its device now; false when nothing can. It takes
	// as long as the vendor's tool does. Nil: nothing can.
	Free func(context.Context) (bytes int64, ok bool)
	// Notify is called after each change of State, on the worker's own loop: it must not block
	// and must not call Run. Ring a doorbell there.
	Notify func()
	Logger hclog.Logger
}

// Snapshot is a worker's state at one moment. A worker that is being stopped keeps its state,
// since it still holds its device, until its process is gone; its generation ends first.
type Snapshot struct {
	State      hives.WorkerState
	Generation uint64 // starts of a process so far
	Port       int    // 0 while there is no process, and for an external server
	BaseURL    string // http://127.0.0.1:Port or an external server's, no trailing slash; empty while there is no process
	Key        string // API key of this start; sent to the engine as a bearer token
	PID        int    // also the id of its process group; 0 while there is no process
	StartTicks uint64 // of PID, from /proc/PID/stat; 0 where there is no /proc
	Progress   float64
	Slots      int    // concurrent runs to send it: the engine's own count if lower; 0 until ready
	Context    int    // tokens of one slot, as the engine says or as it was told; 0 until ready, or unknown
	Window     int    // tokens of one slot, only as the engine itself says; 0 where it does not
	Replay     bool   // it keeps streams under StreamOptions.Conversation
	ModelName  string // what a request's `model` must say; empty: what the client wrote
	Error      string // why it failed, or what the last process died of
	Code       string // of Error, where the cluster decides by it: hives.CodeOutOfMemory, hives.CodeCrashLoop
	Detail     string // the last line of a loading engine's log
}

// timing is what tests shorten.
type timing struct {
	firstProbe, loadingProbe, readyProbe time.Duration
	loadingPatience                      time.Duration // for one answer while loading
	backoff                              time.Duration
	killWait                             time.Duration // after SIGKILL
	memoryAsk, memoryPoll, memoryWait    time.Duration // until a device shows an ended engine's memory
}

func standardTiming() timing {
	return timing{
		firstProbe: 100 * time.Millisecond, loadingProbe: 250 * time.Millisecond, readyProbe: time.Second,
		loadingPatience: 10 * time.Second, backoff: backoffFirst, killWait: killWait,
		memoryAsk: 3 * time.Second, memoryPoll: 250 * time.Millisecond, memoryWait: 5 * time.Second,
	}
}

// Worker supervises the process of one worker. Run does the work; the other methods may be
// called at any time from any goroutine.
type Worker struct {
	launch  Launch
	options Options
	timing  timing
	doubts  chan struct{} // ask the engine for its health at once
	model   string        // what a request's `model` must say
	log     *logFile
	logger  hclog.Logger

	group      *cgroup                    // of its processes; nil without limits. Only Run uses it
	snapshot   atomic.Pointer[Snapshot]   // written only by Run
	generation atomic.Pointer[generation] // written only by Run
}

// NewWorker checks the launch and makes a worker in state spawning. It starts nothing.
func NewWorker(l Launch, o Options) (*Worker, error) {
	if !namePattern.MatchString(l.ID) {
		return nil, hives.Errorf(hives.CodeInvalid, "worker id %.70q: use 1 to 64 letters, digits and . _ -", l.ID)
	}
	if o.LogDir == "" {
		return nil, hives.Errorf(hives.CodeInvalid, "worker %s: no log directory was given", l.ID)
	}
	l.Slots = cmp.Or(l.Slots, l.Model.Slots)
	if l.Slots < 1 {
		return nil, hives.Errorf(hives.CodeInvalid, "worker %s: slots: %d: use 1 or more", l.ID, l.Slots)
	}
	o.LogBytes = cmp.Or(o.LogBytes, DefaultLogBytes)
	o.HangTimeout = cmp.Or(o.HangTimeout, DefaultHangTimeout)
	o.Restarts = cmp.Or(o.Restarts, DefaultRestarts)
	o.RestartWindow = cmp.Or(o.RestartWindow, DefaultRestartWindow)
	if o.Logger == nil {
		o.Logger = hclog.NewNullLogger()
	}
	if o.Environ == nil {
		o.Environ = func() []string { return nil }
	}
	if o.Resumed == nil {
		o.Resumed = func() int { return 0 }
	}
	if o.Notify == nil {
		o.Notify = func() {}
	}
	w := &Worker{launch: l, options: o, timing: standardTiming(), doubts: make(chan struct{}, 1),
		log: newLog(o.LogDir, l.ID+".log", o.LogBytes), logger: o.Logger.With("worker", l.ID)}
	if err := w.rehearse(); err != nil {
		return nil, hives.Errorf(hives.CodeInvalid, "worker %s: %v", l.ID, err)
	}
	w.snapshot.Store(&Snapshot{State: hives.WorkerSpawning})
	none := newGeneration(0)
	none.end(hives.Errorf(hives.CodeWorkerGone, "worker %s has not started", l.ID))
	w.generation.Store(none)
	return w, nil
}

// State returns the newest snapshot.
func (w *Worker) State() Snapshot { return *w.snapshot.Load() }

// Generation returns the number of the process that runs now and a context that ends as soon
// as that process is known to be gone, is being stopped or killed, or is restarted (cause: a
// *hives.Error worker_died or worker_gone). When there is no process the context has ended.
func (w *Worker) Generation() (uint64, context.Context) {
	g := w.generation.Load()
	return g.number, g.ctx
}

// Alive says that bytes of the process of that generation have just arrived on a stream. It is
// cheap enough to be called for every read.
func (w *Worker) Alive(generation uint64) {
	if g := w.generation.Load(); g.number == generation {
		g.bytes.Store(int64(time.Since(g.began)))
	}
}

// Doubt has the engine asked for its health at once: a stream has just broken off. Of a process
// its end would be known already; a server that others run may have left. It does not block.
func (w *Worker) Doubt() {
	select {
	case w.doubts <- struct{}{}:
	default:
	}
}

// Tail returns the last lines the worker's processes wrote, oldest first, at most 50.
func (w *Worker) Tail() []string { return w.log.tail() }

func (l Launch) vars(port int, key string) Vars {
	m := l.Model
	return Vars{Model: m.Ref, Name: cmp.Or(m.Name, m.Ref), ModelPath: m.Path, Port: port, Addr: fmt.Sprintf("%s:%d", loopback, port),
		Slots: cmp.Or(l.Slots, m.Slots), Context: cmp.Or(l.Context, m.Context), Device: l.Device, Key: key, Args: l.Args}
}

// rehearse fills in all templates once: args that one wants may not be there.
func (w *Worker) rehearse() (err error) {
	d, v := w.launch.Definition, w.launch.vars(1, "key")
	if w.model = w.launch.Model.Name; w.model == "" {
		if w.model, err = render(d.ModelName, v); err != nil {
			return fieldError(d.Name, "model_name", "%v", err)
		}
	}
	if d.External != nil {
		w.timing.readyProbe = externalProbe
		return nil
	}
	if d.Limits != (Limits{}) && w.options.Cgroup == "" {
		return fieldError(d.Name, "limits", "cannot be kept: give this hive a cgroup v2 directory with --cgroup")
	}
	if d.Proxy != "" {
		base, err := render(d.Proxy, v)
		if err == nil {
			_, err = externalURL(base)
		}
		if err != nil {
			return fieldError(d.Name, "proxy", "%v", err)
		}
	}
	if d.StopCommand != nil {
		if _, err := d.arguments("stop_command", d.StopCommand, v); err != nil {
			return err
		}
	}
	_, _, err = w.command(v)
	return err
}

func (w *Worker) command(v Vars) (argv, env []string, err error) {
	if argv, err = w.launch.Definition.argv(v); err != nil {
		return nil, nil, err
	}
	env, err = w.environ(v)
	return argv, env, err
}

// environ is the environment of the worker's processes.
func (w *Worker) environ(v Vars) ([]string, error) {
	d := w.launch.Definition
	env, err := d.environ(v, w.options.Environ(), w.options.Mark, w.launch.ID)
	return slices.DeleteFunc(env, func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		_, own := d.Env[name]
		return !own && slices.Contains(w.options.Secrets, name)
	}), err
}
