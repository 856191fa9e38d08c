package engine

import (
	"fmt"
	"syscall"
	"time"

	"queen-rbee/hives"
)

// verdict is why a process is over, or must be.
type verdict struct {
	stop   bool   // it is no longer desired
	why    string // otherwise
	killed bool   // not its own end
	final  bool   // another try is not worth it
	clean  bool   // it ended by itself, with status 0
	code   string // of why, where the cluster decides by it
}

// finish ends a process by its verdict, tells so at once, and waits until nothing is left of it.
func (w *Worker) finish(p *process, g *generation, over verdict, l life) (verdict, error) {
	loading := w.State().State == hives.WorkerLoading
	if over.stop {
		g.end(hives.Errorf(hives.CodeWorkerGone, "worker %s is stopped", w.launch.ID))
	} else {
		g.end(hives.Errorf(hives.CodeWorkerDied, "worker %s: %s", w.launch.ID, over.why))
		w.lost("", over.why)
	}
	back := w.memoryBack(over.stop, l.free)
	if over.stop {
		w.askToEnd(p)
	}
	p.signal(syscall.SIGKILL)
	if !within(p.done, w.timing.killWait) {
		return over, w.fail(stuck, "", fmt.Sprintf("process %d outlived SIGKILL for %v: its device may need a reset", p.pid, w.timing.killWait))
	}
	killed := w.release()
	back()
	w.trimLog()
	if over.stop {
		w.move(ended, func(s *Snapshot) { *s = Snapshot{State: s.State, Generation: s.Generation} })
		return over, nil
	}
	if !over.killed {
		over.why, over.clean = over.why+": "+p.how, p.clean
	}
	over = w.judge(over, loading, l.free, killed)
	w.lost(over.code, w.withLog(over.why))
	return over, nil
}

// confine holds the process that comes next to the definition's limits, or one that is there.
func (w *Worker) confine() (err error) {
	limits := w.launch.Definition.Limits
	if limits == (Limits{}) {
		return nil
	}
	if w.group, err = newCgroup(w.options.Cgroup, w.launch.ID); err == nil {
		err = w.group.hold(limits)
	}
	return err
}

// release ends what is left of the process's cgroup; true when it was ended for its memory.
func (w *Worker) release() (killed bool) {
	if w.group == nil {
		return false
	}
	killed = w.group.oomKilled()
	w.group.end()
	w.group = nil
	return killed
}

// askToEnd gives a process its time to end by itself.
func (w *Worker) askToEnd(p *process) {
	d := w.launch.Definition
	if d.StopCommand != nil {
		defer w.runStopCommand(p)()
	} else {
		p.signal(d.stopSignal())
	}
	if !within(p.done, d.StopGrace) {
		w.logger.Warn("engine outlived the signal to stop", "signal", d.stopSignal(), "pid", p.pid, "grace", d.StopGrace)
	}
}

// runStopCommand starts the command that ends a process. What it returns sees to it that the
// command is over too: it gets no longer than the process.
func (w *Worker) runStopCommand(p *process) (wait func()) {
	d, s := w.launch.Definition, w.State()
	v := w.launch.vars(s.Port, s.Key)
	v.PID = p.pid
	argv, err := d.arguments("stop_command", d.StopCommand, v)
	var env []string
	if err == nil {
		env, err = w.environ(v)
	}
	var stopper *process
	if err == nil {
		w.log.note("%s stopping by %s", time.Now().UTC().Format(time.RFC3339), argv[0])
		stopper, err = startProcess(argv, env, d.Dir, w.log.output(), nil)
	}
	if err != nil {
		w.logger.Warn("the command that stops the engine cannot be started: it gets a signal", "error", err)
		p.signal(d.stopSignal())
		return func() {}
	}
	return func() {
		stopper.signal(syscall.SIGKILL)
		within(stopper.done, w.timing.killWait)
	}
}

// withLog adds the last lines of the log to a reason.
func (w *Worker) withLog(why string) string {
	if last := w.log.last(); last != "" {
		return why + "\n" + last
	}
	return why
}

// within waits for done, at most d.
func within(done <-chan struct{}, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-done:
		return true
	case <-t.C:
	}
	select { // both were there: done counts
	case <-done:
		return true
	default:
		return false
	}
}
