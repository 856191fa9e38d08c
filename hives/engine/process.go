package engine

import (
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// process is a living engine, in a process group of its own whose id is its pid: one that was
// started here, or one that an earlier agent started and that is followed from here on.
type process struct {
	pid   int
	ticks uint64        // start time, 0 where there is no /proc
	gone  chan struct{} // closed as soon as the leader of the group has exited
	done  chan struct{} // closed when the group is killed and the leader reaped, if it is ours to reap
	clean bool          // it ended with status 0; set before done is closed
	how   string        // what it died of; set before done is closed

	adopted bool // not a child of this agent: its pid may be given to another once it has exited

	mu     sync.Mutex // guards reaped, so that no signal goes to a group that got the id anew
	reaped bool
}

// startProcess starts argv. It writes to out by itself, so that it can outlive this agent; out
// may be nil, and in, which else holds it. The caller must wait for done.
func startProcess(argv, env []string, dir string, out *os.File, in *cgroup) (*process, error) {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env, cmd.Dir = env, dir
	if out != nil {
		cmd.Stdout, cmd.Stderr = out, out
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if in != nil {
		done, err := in.into(cmd.SysProcAttr)
		if err != nil {
			return nil, err
		}
		defer done()
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{pid: cmd.Process.Pid, gone: make(chan struct{}), done: make(chan struct{})}
	if st, err := readStat(p.pid); err == nil { // not reaped yet, so the pid is still its own
		p.ticks = st.start
	}
	go p.reap(cmd)
	return p, nil
}

// reap waits for the leader and ends what it left behind. Where it can be told, the group is
// killed before the leader is reaped: until then its id cannot belong to anyone else.
func (p *process) reap(cmd *exec.Cmd) {
	defer close(p.done)
	if awaitExit(p.pid) {
		close(p.gone)
		p.signal(syscall.SIGKILL)
		p.awaitGroupGone()
		p.forget()
		_ = cmd.Wait()
	} else {
		_ = cmd.Wait()
		close(p.gone)
		p.signal(syscall.SIGKILL)
		p.forget()
	}
	p.how, p.clean = cmd.ProcessState.String(), cmd.ProcessState.Success()
}

// awaitGroupGone waits until the rest of a killed group is gone, however long its device holds
// it: the one who waits for done has a limit.
func (p *process) awaitGroupGone() {
	tick := time.NewTicker(orphanPoll)
	defer tick.Stop()
	for groupLives(p.pid) && !p.foreign() {
		<-tick.C
	}
}

// signal sends sig to the whole group, unless its id may belong to others by now.
func (p *process) signal(sig syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pid > 1 && !p.reaped && !p.foreign() {
		_ = syscall.Kill(-p.pid, sig)
	}
}

// foreign tells that the id of an adopted process belongs to another by now. While any process
// of its group lives the id is given to nobody.
func (p *process) foreign() bool {
	if !p.adopted {
		return false
	}
	st, err := readStat(p.pid)
	return err == nil && st.start != p.ticks
}

func (p *process) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reaped = true
}
