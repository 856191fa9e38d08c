package engine

import (
	"io"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// process is one start of an engine, in a process group of its own whose id is its pid.
type process struct {
	pid   int
	ticks uint64        // start time, 0 where there is no /proc
	gone  chan struct{} // closed as soon as the leader of the group has exited
	done  chan struct{} // closed when the group is killed, the leader reaped and the output copied
	how   string        // what it died of; set before done is closed

	mu     sync.Mutex // guards reaped, so that no signal goes to a group that got the id anew
	reaped bool
}

// startProcess starts argv with its output going to out. The caller must wait for done.
func startProcess(argv, env []string, dir string, out io.Writer, waitDelay time.Duration) (*process, error) {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env, cmd.Dir = env, dir
	cmd.Stdout, cmd.Stderr = out, out // the same writer: one pipe, lines stay in order
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = waitDelay // a grandchild that left the group may hold the pipe for ever
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
		awaitGroupGone(p.pid)
		p.forget()
		_ = cmd.Wait()
	} else {
		_ = cmd.Wait()
		close(p.gone)
		p.signal(syscall.SIGKILL)
		p.forget()
	}
	p.how = cmd.ProcessState.String()
}

// awaitGroupGone waits until the rest of a killed group is gone, however long its device holds
// it: the one who waits for done has a limit.
func awaitGroupGone(pgid int) {
	tick := time.NewTicker(orphanPoll)
	defer tick.Stop()
	for groupLives(pgid) {
		<-tick.C
	}
}

// signal sends sig to the whole group, unless its id may belong to others by now.
func (p *process) signal(sig syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.reaped {
		_ = syscall.Kill(-p.pid, sig)
	}
}

func (p *process) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reaped = true
}
