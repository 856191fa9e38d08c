package rig

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// exitTime is how long a process may take to end after it was told to.
const exitTime = 30 * time.Second

// Process is one program under test. It can be started again after it has ended.
type Process struct {
	Name string
	Bin  string
	Args []string
	URL  string   // where it serves HTTP, if it does
	Dir  string   // its own: log and data
	Env  []string // beside the marks; nothing of the test's RBEE_ variables is passed on
	Net  string   // network namespace to run in, "" for the test's own

	cluster string // mark
	mu      sync.Mutex
	cmd     *exec.Cmd
	over    chan struct{} // closed when the current start has ended and been reaped
	stopped bool
}

// DataDir is where its state lies.
func (p *Process) DataDir() string { return filepath.Join(p.Dir, "data") }

// LogPath is the file with everything it said, over all its starts.
func (p *Process) LogPath() string { return filepath.Join(p.Dir, "log") }

// Log is what it has said so far.
func (p *Process) Log() string {
	data, err := os.ReadFile(p.LogPath())
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err.Error()
	}
	return string(data)
}

// Launch starts it and waits for nothing.
func (p *Process) Launch() error {
	if err := os.MkdirAll(p.Dir, 0o700); err != nil {
		return err
	}
	log, err := os.OpenFile(p.LogPath(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }() // the child has its own
	name, args := p.Bin, p.Args
	if p.Net != "" {
		name, args = "ip", append([]string{"netns", "exec", p.Net, p.Bin}, args...)
	}
	cmd := exec.Command(name, args...)
	cmd.Env = append(environ(p.cluster, p.Dir), p.Env...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("%s: %w", p.Name, err)
	}
	over := make(chan struct{})
	p.mu.Lock()
	p.cmd, p.over, p.stopped = cmd, over, false
	p.mu.Unlock()
	go func() { // ends with the process, which the cluster's end or the guard brings about
		defer close(over)
		_ = cmd.Wait() // how it ended stands in cmd.ProcessState
	}()
	return nil
}

// environ is the test's environment without settings of ours, and with the marks.
func environ(cluster, dir string) []string {
	var env []string
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "RBEE_") && !strings.HasPrefix(kv, "QUEEN_RBEE_") {
			env = append(env, kv)
		}
	}
	return append(env, markRoot+"="+root, markCluster+"="+cluster, markProcess+"="+dir)
}

// markProcess is set to the process's own directory; what it starts inherits it.
const markProcess = "QUEEN_RBEE_E2E_BY"

// current is the newest start.
func (p *Process) current() (*exec.Cmd, chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cmd, p.over
}

// Over is closed when the process has ended.
func (p *Process) Over() <-chan struct{} {
	_, over := p.current()
	return over
}

// Frozen tells whether it was stopped by SIGSTOP and not woken since.
func (p *Process) Frozen() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stopped
}

// Alive tells whether it runs (or is stopped by SIGSTOP).
func (p *Process) Alive() bool {
	_, over := p.current()
	if over == nil {
		return false
	}
	select {
	case <-over:
		return false
	default:
		return true
	}
}

// Pid is the newest start's.
func (p *Process) Pid() int {
	cmd, _ := p.current()
	return cmd.Process.Pid
}

// ExitCode is that of the newest start: -1 after a signal.
func (p *Process) ExitCode() int {
	cmd, over := p.current()
	<-over
	return cmd.ProcessState.ExitCode()
}

// Send sends a signal; an error if the process is over.
func (p *Process) Send(sig syscall.Signal) error { return p.signal(sig) }

// Ended waits for the end and gives the exit code, -1 after a signal; an error when ctx ends first.
func (p *Process) Ended(ctx context.Context) (int, error) {
	select {
	case <-p.Over():
		return p.ExitCode(), nil
	case <-ctx.Done():
		return 0, fmt.Errorf("%s still runs: %w", p.Name, context.Cause(ctx))
	}
}

// Tail is the end of its log, so many lines.
func (p *Process) Tail(lines int) string { return p.tail(lines) }

// Signal sends a signal. A stopped process is noted, so that the end of the test can wake it.
func (p *Process) Signal(t testing.TB, sig syscall.Signal) {
	t.Helper()
	if err := p.signal(sig); err != nil {
		t.Fatal(err)
	}
}

func (p *Process) signal(sig syscall.Signal) error {
	cmd, over := p.current()
	if cmd == nil {
		return fmt.Errorf("%s was never started", p.Name)
	}
	select {
	case <-over:
		return fmt.Errorf("%s has ended already (%s)", p.Name, cmd.ProcessState)
	default:
	}
	if err := cmd.Process.Signal(sig); err != nil {
		return fmt.Errorf("%s: %w", p.Name, err)
	}
	p.mu.Lock()
	p.stopped = sig == syscall.SIGSTOP || p.stopped && sig != syscall.SIGCONT
	p.mu.Unlock()
	return nil
}

// Kill sends SIGKILL and returns when the process is over.
func (p *Process) Kill(t testing.TB) {
	t.Helper()
	p.Signal(t, syscall.SIGKILL)
	p.AwaitExit(t, exitTime)
}

// Term sends SIGTERM and returns when the process has left in order: code 0.
func (p *Process) Term(t testing.TB) {
	t.Helper()
	p.Signal(t, syscall.SIGTERM)
	if code := p.AwaitExit(t, exitTime); code != 0 {
		t.Errorf("%s ended with code %d after SIGTERM, want 0", p.Name, code)
	}
}

// Freeze sends SIGSTOP; Thaw goes on.
func (p *Process) Freeze(t testing.TB) { t.Helper(); p.Signal(t, syscall.SIGSTOP) }

// Thaw sends SIGCONT.
func (p *Process) Thaw(t testing.TB) { t.Helper(); p.Signal(t, syscall.SIGCONT) }

// AwaitExit waits for the end and gives the exit code.
func (p *Process) AwaitExit(t testing.TB, within time.Duration) int {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	select {
	case <-p.Over():
		return p.ExitCode()
	case <-ctx.Done():
		t.Fatalf("%s has not ended within %s", p.Name, within)
		return -1
	}
}

// Restart starts it again as it was.
func (p *Process) Restart(t testing.TB) {
	t.Helper()
	if p.Alive() {
		t.Fatalf("%s still runs", p.Name)
	}
	if err := p.Launch(); err != nil {
		t.Fatal(err)
	}
}

// AwaitLog waits until the log holds a text.
func (p *Process) AwaitLog(t testing.TB, within time.Duration, text string) {
	t.Helper()
	Await(t, within, fmt.Sprintf("%s saying %q", p.Name, text), func(context.Context) error {
		if !strings.Contains(p.Log(), text) {
			return errors.New("it does not")
		}
		return nil
	})
}

// finish ends it: in order if it can, hard if it must.
func (p *Process) finish() {
	if !p.Alive() {
		return
	}
	_ = p.signal(syscall.SIGKILL)
	<-p.Over() // nothing survives SIGKILL
}

// tail is the end of the log.
func (p *Process) tail(lines int) string {
	all := strings.Split(strings.TrimRight(p.Log(), "\n"), "\n")
	if len(all) > lines {
		all = all[len(all)-lines:]
	}
	return "    " + strings.Join(all, "\n    ")
}
