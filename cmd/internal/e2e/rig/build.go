package rig

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"
)

// Environment of the processes and of the guard.
const (
	markRoot    = "QUEEN_RBEE_E2E"       // the test binary's directory
	markCluster = "QUEEN_RBEE_E2E_OF"    // the cluster's directory
	guardOf     = "QUEEN_RBEE_E2E_GUARD" // set in the guard: the directory to clean up
)

var (
	root string // of everything this test binary makes
	bins string
)

// Main is TestMain: it builds the binaries, or takes those in the directory RBEE_E2E_BIN,
// runs the tests and cleans up.
func Main(m *testing.M) int {
	if dir := os.Getenv(guardOf); dir != "" {
		return guard(dir)
	}
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		return 1
	}
	return code
}

func run(m *testing.M) (int, error) {
	stop, err := open()
	if err != nil {
		return 0, err
	}
	defer stop()
	code := m.Run()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			return 0, err
		}
	}
	return code, nil
}

// build makes the binaries as they ship; RBEE_E2E_RACE=1 makes them with the race detector,
// whose findings fail the test that reads the log.
func build() error {
	args, cgo := []string{"build", "-o", bins + "/"}, "CGO_ENABLED=0"
	if os.Getenv("RBEE_E2E_RACE") == "1" {
		args, cgo = append(args, "-race"), "CGO_ENABLED=1"
	}
	for _, name := range []string{"queen-rbee", "rbee-hive", "rbee-worker", "rbee-keeper"} {
		args = append(args, "queen-rbee/cmd/"+name)
	}
	if err := os.MkdirAll(bins, 0o700); err != nil {
		return err
	}
	cmd := exec.Command("go", args...)
	cmd.Env = append(os.Environ(), cgo)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}

// Bin is the path of a binary.
func Bin(name string) string { return filepath.Join(bins, name) }

// startGuard starts this binary once more as the guard: it sits on a pipe and, when that
// closes however this process ends, ends everything that carries the mark.
func startGuard() (stop func(), err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), guardOf+"="+root)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a Ctrl-C is not for it
	pipe, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("guard: %w", err)
	}
	return func() {
		_ = pipe.Close()
		_ = cmd.Wait()
	}, nil
}

func guard(dir string) int {
	_, _ = io.Copy(io.Discard, bufio.NewReader(os.Stdin))
	for _, pid := range marked(markRoot, dir) {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	removeNets(dir)
	removeMounts(dir)
	if err := os.RemoveAll(dir); err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		return 1
	}
	return 0
}
