package engine

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"queen-rbee/hives"
)

// pretendedCgroup is a directory with the files of a group of cgroup v2 that the limits need.
func pretendedCgroup(t *testing.T, dir string) string {
	t.Helper()
	for name, text := range map[string]string{"cgroup.controllers": "cpuset cpu io memory pids\n", "cgroup.subtree_control": "", "cgroup.kill": "",
		"memory.max": "max", "memory.oom.group": "0", "cpu.max": "max 100000", "memory.events": "low 0\nmax 3\noom_kill 2\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestLimitsAreWrittenAsTheKernelReadsThem(t *testing.T) {
	dir := pretendedCgroup(t, t.TempDir())
	if err := CheckCgroup(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := newCgroup(dir, "w0"); err != nil {
		t.Fatal(err)
	}
	g, err := newCgroup(dir, "w1")
	if err != nil {
		t.Fatal(err)
	}
	pretendedCgroup(t, g.dir)
	if err := CheckCgroup(dir); err != nil { // the next agent's
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "rbee-*")); len(left) != 1 || left[0] != g.dir {
		t.Errorf("empty groups are to go, others to stay: %v", left)
	}
	for want, l := range map[string]Limits{
		"max max 100000 1":         {},
		"25769803776 max 100000 1": {Memory: 24 << 30},
		"max 450000 100000 1":      {CPUs: 4.5},
	} {
		if err := g.hold(l); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, name := range []string{"memory.max", "cpu.max", "memory.oom.group"} {
			text, err := os.ReadFile(filepath.Join(g.dir, name))
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, string(text))
			if err := os.Truncate(filepath.Join(g.dir, name), 0); err != nil { // a real one forgets by itself
				t.Fatal(err)
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%+v: %q, want %q", l, got, want)
		}
	}
	if g.oomKilled() {
		t.Error("what was ended before its time is not its own")
	}
	if err := os.WriteFile(filepath.Join(g.dir, "memory.events"), []byte("oom 1\noom_kill 3\n"), 0o600); err != nil || !g.oomKilled() {
		t.Error("a kill was not seen", err)
	}
	if text, _ := os.ReadFile(filepath.Join(dir, "cgroup.subtree_control")); string(text) != "+memory +cpu" {
		t.Errorf("%q", text)
	}
}

func TestADirectoryThatCannotHoldEnginesIsRefused(t *testing.T) {
	dir := t.TempDir()
	if err := CheckCgroup(dir); err == nil || !strings.Contains(err.Error(), "give a directory of a cgroup v2 hierarchy") {
		t.Error(err)
	}
	pretendedCgroup(t, dir)
	if err := os.WriteFile(filepath.Join(dir, "cgroup.controllers"), []byte("cpuset cpu io\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := CheckCgroup(dir); err == nil || !strings.Contains(err.Error(), "has no memory controller") {
		t.Error(err)
	}
	d := definition()
	d.Limits = Limits{CPUs: 1}
	if _, err := NewWorker(Launch{ID: "w1", Definition: d, Model: d.Models[0]}, Options{LogDir: dir}); err == nil || !strings.Contains(err.Error(), "--cgroup") {
		t.Error(err)
	}
	for in, want := range map[string]string{
		"memory: 1": "engines.x.limits.memory: 1: use 1MiB or more", "cpus: -1": "engines.x.limits.cpus: -1: use 0.01",
		"cpus: .nan": "engines.x.limits.cpus", "gpu: 1": `limits has no key "gpu"`,
	} {
		if got, err := decode(fmt.Sprintf("engines: {x: {command: [a], models: [m], limits: {%s}}}", in)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v %v", in, got, err)
		}
	}
}

func TestAnEngineEndedForItsMemorySaysItsLimit(t *testing.T) {
	d := definition()
	d.Limits = Limits{Memory: 2 << 30}
	w := &Worker{launch: Launch{ID: "w1", Definition: d, Model: Model{VRAMBytes: 3 << 30}, Device: "cpu"}, log: newLog(t.TempDir(), "x", 1)}
	v := w.judge(verdict{why: "the engine process ended: signal: killed"}, true, -1, true)
	if v.code != hives.CodeOutOfMemory || !v.final || v.why != "out of memory on cpu (it is taken to need 3.0 GiB; the system ended it at its limit of 2.0 GiB): the engine process ended: signal: killed" {
		t.Fatalf("%+v", v)
	}
}

// realCgroup makes a group in this machine's cgroup v2 hierarchy.
func realCgroup(t *testing.T) *cgroup {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Skip("no /proc here")
	}
	for line := range strings.Lines(string(mounts)) {
		f := strings.Fields(line)
		if len(f) > 2 && f[2] == "cgroup2" {
			if g, err := newCgroup(f[1], fmt.Sprintf("test-%d", os.Getpid())); err == nil {
				t.Cleanup(g.end)
				return g
			}
		}
	}
	t.Skip("no cgroup v2 hierarchy that can be written to here")
	return nil
}

func TestWhateverAnEngineStartsIsInItsCgroupAndEndsWithIt(t *testing.T) {
	g := realCgroup(t)
	env := append(os.Environ(), envTestEngine+"=1")
	l := startLog(t, 1<<20)
	p, err := startProcess([]string{os.Args[0], "-child", "session", "-idle"}, env, "", l.output(), g)
	if err != nil {
		t.Fatal(err)
	}
	child := 0
	eventually(t, "a child", func() bool {
		for _, line := range l.tail() {
			_, _ = fmt.Sscanf(line, "child %d", &child)
		}
		return child > 0
	})
	for _, pid := range []int{p.pid, child} {
		if in, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid)); !strings.Contains(string(in), filepath.Base(g.dir)) {
			t.Errorf("%d is in %s", pid, in)
		}
	}
	p.signal(syscall.SIGKILL)
	<-p.done
	if dead(child) {
		t.Fatal("the child was to leave the process group")
	}
	g.end()
	eventually(t, "the child gone too", func() bool { return dead(child) })
	if _, err := os.Stat(g.dir); !os.IsNotExist(err) {
		t.Error("the group is still there", err)
	}
}
