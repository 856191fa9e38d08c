package local

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// marker is set in every process started here to the cluster's directory. Engines lose
// their hive's RBEE_ variables, so it is not one.
const marker = "QUEEN_RBEE_DEV_DIR"

// child is a process that this one started.
type child struct {
	spec Spec
	pid  int
	over chan struct{} // closed when the process has ended and been reaped
	how  string        // written before over is closed
}

func (c *child) ended() bool {
	select {
	case <-c.over:
		return true
	default:
		return false
	}
}

// command prepares a process: log appended, environment without this one's RBEE_ settings.
func command(s Spec) (*exec.Cmd, *os.File, error) {
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		return nil, nil, err
	}
	log, err := os.OpenFile(s.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, nil, err
	}
	cmd := exec.Command(s.Bin, s.Args...)
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "RBEE_") {
			cmd.Env = append(cmd.Env, kv)
		}
	}
	cmd.Env = append(cmd.Env, marker+"="+filepath.Dir(s.Dir))
	cmd.Stdout, cmd.Stderr = log, log
	// A group of its own: Ctrl-C at the terminal is for this process, which ends hives and
	// queens in their order.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd, log, nil
}

// launch starts a process and the goroutine that waits for it.
func launch(s Spec) (*child, error) {
	cmd, log, err := command(s)
	if err != nil {
		return nil, err
	}
	defer log.Close() // the child has its own
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("%s: %w", s.Name, err)
	}
	c := &child{spec: s, pid: cmd.Process.Pid, over: make(chan struct{})}
	go func() {
		defer close(c.over)
		c.how = describeEnd(cmd.Wait(), cmd.ProcessState)
	}()
	return c, writeWhole(s.pidFile(), strconv.Itoa(c.pid)+"\n")
}

func describeEnd(err error, st *os.ProcessState) string {
	if st == nil {
		return err.Error()
	}
	if ws, ok := st.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return "killed by " + signalName(ws.Signal())
	}
	return st.String()
}

func signalName(s syscall.Signal) string {
	switch s {
	case syscall.SIGKILL:
		return "SIGKILL"
	case syscall.SIGTERM:
		return "SIGTERM"
	case syscall.SIGINT:
		return "SIGINT"
	default:
		return s.String()
	}
}

// readPid is the pid in a process's pid file, 0 if there is none.
func readPid(s Spec) int {
	data, err := os.ReadFile(s.pidFile())
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil || pid <= 1 {
		return 0
	}
	return pid
}

// runs says whether pid is alive and one of the processes of this directory.
func runs(pid int, dir string) bool {
	if pid <= 1 || errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		return false
	}
	return strings.Contains(commandLine(pid), dir) || environHas(pid, dir)
}

// commandLine is empty for a process that is over, a zombie, or somebody else's.
func commandLine(pid int) string {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err == nil {
		return string(bytes.ReplaceAll(data, []byte{0}, []byte{' '}))
	}
	if _, err := os.Stat("/proc/self"); err == nil {
		return ""
	}
	out, err := exec.Command("ps", "-ww", "-o", "command=", "-p", strconv.Itoa(pid)).Output()
	if err != nil {
		return ""
	}
	return string(out)
}

// environHas looks for the marker in a process's environment, where the system shows it.
func environHas(pid int, dir string) bool {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	return err == nil && bytes.Contains(append([]byte{0}, append(data, 0)...), []byte("\x00"+marker+"="+dir+"\x00"))
}

// descendants are all processes that carry the cluster's marker: what it started and what
// these started, as long as they kept their environment. Empty where there is no /proc.
func descendants(dir string) []int {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var pids []int
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil && pid != os.Getpid() && environHas(pid, dir) {
			pids = append(pids, pid)
		}
	}
	return pids
}
