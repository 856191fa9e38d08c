package engine

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"queen-rbee/hives"
)

// Run goes on with the process of Options.Adopt or starts one, keeps it alive, and blocks until
// the worker has failed or ctx has ended. When ctx ends the process is stopped in order: SIGTERM
// to its group, StopGrace, SIGKILL. No process of the worker is left when it returns, unless one
// outlives SIGKILL, which is said in the error. It returns nil when stopped and a *hives.Error
// worker_gone when failed; call it once.
func (w *Worker) Run(ctx context.Context) error {
	d := w.launch.Definition
	once := w.once
	if d.External != nil {
		once = w.attach
	} else if err := w.log.start(); err != nil {
		w.logger.Warn("no log file: keeping only the last lines of the engine", "error", err)
	}
	defer func() { _ = w.log.close() }() // the file is for people
	budget := restarts{first: w.timing.backoff}
	budget.limit, budget.window = d.limits(w.options)
	run := once
	if w.options.Adopt != nil {
		run = w.resume
	}
	for ctx.Err() == nil {
		over, err := run(ctx)
		run = once
		if err != nil || over.stop {
			return err
		}
		if why, ok := d.again(over); !ok {
			return w.fail(gaveUp, over.code, w.withLog(why))
		}
		wait, ok := budget.next(time.Now())
		if !ok {
			return w.fail(gaveUp, cmp.Or(over.code, hives.CodeCrashLoop), w.withLog(budget.spent(over.why)))
		}
		w.logger.Warn("engine is lost, another try follows", "reason", over.why, "in", wait)
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
		w.awaitMayStart(ctx)
	}
	w.move(ended, func(s *Snapshot) { s.Error = "" })
	return nil
}

// awaitMayStart waits until Options.MayStart allows a start, or ctx ends.
func (w *Worker) awaitMayStart(ctx context.Context) {
	if w.options.MayStart == nil {
		return
	}
	select {
	case <-ctx.Done():
	case <-w.options.MayStart:
	}
}

// once runs one process from its start to its end. An error is the end of the worker.
func (w *Worker) once(ctx context.Context) (verdict, error) {
	port, err := ports.take(w.options.Ports)
	if err != nil {
		return w.didNotStart(err), nil
	}
	defer ports.giveBack(port)
	key := newKey()
	l := life{free: w.freeNow(ctx)}
	p, err := w.spawn(port, key)
	if err != nil {
		return w.didNotStart(err), nil
	}
	return w.live(ctx, p, w.address(port), port, key, l)
}

// address is the base URL of a process with that port.
func (w *Worker) address(port int) string {
	proxy, err := render(w.launch.Definition.Proxy, w.launch.vars(port, ""))
	if err != nil || proxy == "" { // rehearsed: no error
		return fmt.Sprintf("http://%s:%d", loopback, port)
	}
	return strings.TrimRight(proxy, "/")
}

// resume goes on with the process of an earlier agent to its end, as once does.
func (w *Worker) resume(ctx context.Context) (verdict, error) {
	a := *w.options.Adopt
	p, err := adopt(a)
	if err != nil {
		return w.didNotStart(err), nil
	}
	if err := w.confine(); err != nil {
		w.logger.Warn("the limits of an adopted engine cannot be set again", "error", err)
	}
	ports.hold(a.Port)
	defer ports.giveBack(a.Port)
	w.log.note("%s adopted %d", time.Now().UTC().Format(time.RFC3339), a.PID)
	w.logger.Info("engine of an earlier agent adopted", "engine", w.launch.Definition.Name, "pid", a.PID, "port", a.Port)
	return w.live(ctx, p, w.address(a.Port), a.Port, a.Key, life{adopted: true, loaded: a.Ready, free: -1})
}

// life is what is known of a process when its life here begins.
type life struct {
	adopted bool  // requests of an earlier agent may still be in it
	loaded  bool  // it has been healthy before
	free    int64 // bytes free on its device before it, -1 when nothing can tell
}

// live is the life of a process, here, to its end.
func (w *Worker) live(ctx context.Context, p *process, base string, port int, key string, l life) (verdict, error) {
	g := newGeneration(w.generation.Load().number + 1)
	w.generation.Store(g)
	w.move(started, func(s *Snapshot) {
		*s = Snapshot{State: s.State, Generation: g.number, Port: port, BaseURL: base,
			ModelName: w.model, Key: key, PID: p.pid, StartTicks: p.ticks, Error: s.Error}
	})
	over := w.watch(ctx, p, g, w.probe(key, l), l)
	return w.finish(p, g, over, l)
}

func (w *Worker) spawn(port int, key string) (*process, error) {
	argv, env, err := w.command(w.launch.vars(port, key))
	if err != nil {
		return nil, err
	}
	w.log.note("%s starting %s", time.Now().UTC().Format(time.RFC3339), argv[0])
	if err := w.confine(); err != nil {
		return nil, fmt.Errorf("engine %s: %w", w.launch.Definition.Name, err)
	}
	p, err := startProcess(argv, env, w.launch.Definition.Dir, w.log.output(), w.group)
	if err != nil {
		return nil, fmt.Errorf("engine %s: %w", w.launch.Definition.Name, err)
	}
	w.logger.Info("engine started", "engine", w.launch.Definition.Name, "pid", p.pid, "port", port)
	return p, nil
}

func (w *Worker) didNotStart(err error) verdict {
	w.lost("", err.Error())
	return verdict{why: err.Error()}
}

func (w *Worker) probe(key string, l life) *probe {
	d := w.launch.Definition
	pr := &probe{base: w.State().BaseURL, path: d.Health, status: d.HealthStatus, key: key,
		timing: w.timing, doubts: w.doubts, patience: w.options.HangTimeout, adopted: l.adopted, resumed: w.options.Resumed, keyed: d.keyed()}
	if d.aliased() {
		pr.alias = w.launch.Model.Ref
	}
	if d.External != nil && d.Health == modelsPath {
		pr.accept = w.listed
	}
	return pr
}

// watch follows a living process until it is over or must be. It is the loop that owns the
// worker's state; the probe beside it only asks and tells.
func (w *Worker) watch(ctx context.Context, p *process, g *generation, pr *probe, l life) verdict {
	d := w.launch.Definition
	asking, stop := context.WithCancel(ctx)
	answers, over := make(chan probed), make(chan struct{})
	go func() { defer close(over); pr.run(asking, answers) }()
	defer func() { stop(); <-over }()

	start := time.NewTimer(d.StartTimeout)
	defer start.Stop()
	hang := newHang(w.options.HangTimeout)
	defer hang.timer.Stop()
	if l.loaded { // its start is over: what it does not answer within this time it never will
		hang.alive(time.Now())
	}
	trim := time.NewTicker(trimEvery)
	defer trim.Stop()
	last := "no answer to a probe yet"
	for {
		select {
		case <-ctx.Done():
			return verdict{stop: true}
		case <-p.gone:
			return verdict{why: "the engine process ended"}
		case <-start.C:
			return verdict{killed: true, final: d.External != nil, why: fmt.Sprintf("not ready within %v: %s", d.StartTimeout, last)}
		case <-hang.timer.C:
			if hang.expired(time.Now(), g.lastBytes()) {
				return verdict{killed: true, why: fmt.Sprintf("hung: neither a probe nor a byte for %v: %s", w.options.HangTimeout, last)}
			}
		case <-trim.C:
			w.trimLog()
			w.tellDetail()
		case a := <-answers:
			if !a.ok {
				last = a.why
				if d.External != nil && w.left(a, g) {
					return verdict{killed: true, why: last}
				}
				continue
			}
			hang.alive(time.Now())
			if w.State().State == hives.WorkerLoading {
				start.Stop()
				w.ready(a.props)
			}
		}
	}
}

// trimLog keeps the log within its bounds.
func (w *Worker) trimLog() {
	if err := w.log.trim(); err != nil {
		w.logger.Warn("the engine's log cannot be kept", "error", err)
	}
}

func (w *Worker) ready(said engineProps) {
	use := w.launch.Slots
	if said.Slots > 0 {
		use = min(use, said.Slots)
	}
	window := w.launch.vars(0, "").Context
	if said.context() > 0 {
		window = said.context()
	}
	w.move(healthy, func(s *Snapshot) {
		s.Slots, s.Context, s.Progress, s.Error, s.Detail = use, window, 1, "", ""
		s.Window, s.Replay = said.context(), said.Replay
	})
}

// tellDetail publishes what a loading engine said last: no engine tells its progress otherwise.
// The next heartbeat takes it; nobody is called for it.
func (w *Worker) tellDetail() {
	s := w.State()
	if s.State != hives.WorkerLoading {
		return
	}
	if line := w.log.lastLine(); line != s.Detail {
		s.Detail = line
		w.snapshot.Store(&s)
	}
}

// lost publishes that there is no process to use, and why.
func (w *Worker) lost(code, why string) {
	w.move(died, func(s *Snapshot) { *s = Snapshot{State: s.State, Generation: s.Generation, Error: why, Code: code} })
}

// move publishes the state that c leads to, with what change makes of the rest.
func (w *Worker) move(c cause, change func(*Snapshot)) {
	s := w.State()
	from := s.State
	change(&s)
	to, err := next(from, c)
	if err != nil {
		w.logger.Error("bug: illegal move", "error", err)
		return
	}
	s.State = to
	w.snapshot.Store(&s)
	w.logger.Debug("worker moved", "from", from, "to", to, "cause", c)
	w.options.Notify()
}

func (w *Worker) fail(c cause, code, text string) error {
	w.move(c, func(s *Snapshot) {
		*s = Snapshot{State: s.State, Generation: s.Generation, PID: s.PID, StartTicks: s.StartTicks, Error: text, Code: code}
	})
	w.logger.Error("worker failed", "code", code, "error", text)
	return hives.Errorf(hives.CodeWorkerGone, "worker %s: %s", w.launch.ID, text)
}
