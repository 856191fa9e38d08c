package engine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"queen-rbee/hives"
)

// leave starts a test engine that outlives the agent that started it.
func leave(t *testing.T, mark string, args ...string) Process {
	t.Helper()
	port, err := ports.take(PortRange{})
	if err != nil {
		t.Fatal(err)
	}
	defer ports.giveBack(port)
	env, err := definition().environ(Vars{}, nil, mark, "w1")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], append([]string{"-leave", "-addr", fmt.Sprintf("%s:%d", loopback, port)}, args...)...)
	cmd.Env = env
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(out)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Kill(-pid, syscall.SIGKILL) }) // mostly gone by then
	st, err := readStat(pid)
	if err != nil {
		t.Fatal(err)
	}
	return Process{PID: pid, StartTicks: st.start, Port: port, Key: "k", Ready: true}
}

// adopting runs a worker that goes on with a process.
func adopting(t *testing.T, p Process, mark string, change func(*Worker)) *watchedWorker {
	t.Helper()
	return runWorker(t, definition(), func(w *Worker) {
		w.options.Adopt, w.options.Mark = &p, mark
		if change != nil {
			change(w)
		}
	})
}

func TestAnEngineOfAnEarlierAgentIsAdopted(t *testing.T) {
	mark := t.TempDir()
	p := leave(t, mark, "-slots", "2", "-key", "k", "-child", "group")
	eventually(t, "two processes", func() bool { f, _ := FindOrphans(mark); return len(f) == 2 })
	w := adopting(t, p, mark, nil)
	s := w.ready()
	if s.Generation != 1 || s.Process() != p || s.Slots != 2 || s.BaseURL != fmt.Sprintf("http://127.0.0.1:%d", p.Port) {
		t.Fatalf("%+v, want %+v", s, p)
	}
	n, alive := w.Generation()
	if n != 1 || alive.Err() != nil {
		t.Fatal(n, alive.Err())
	}
	if err := w.stop(); err != nil || w.states() != "loading ready stopped" {
		t.Fatal(err, w.states())
	}
	if left, err := FindOrphans(mark); err != nil || len(left) != 0 || alive.Err() == nil {
		t.Fatalf("%+v, %v", left, err)
	}
}

func TestTheDeathOfAnAdoptedEngineIsSeen(t *testing.T) {
	mark := t.TempDir()
	p := leave(t, mark, "-child", "group")
	w := adopting(t, p, mark, nil)
	w.ready()
	_, alive := w.Generation()
	_ = syscall.Kill(p.PID, syscall.SIGKILL)
	<-alive.Done()
	if !errors.Is(context.Cause(alive), &hives.Error{Code: hives.CodeWorkerDied}) {
		t.Fatal(context.Cause(alive))
	}
	s := w.until("ready again", func(s Snapshot) bool { return s.State == hives.WorkerReady && s.Generation == 2 })
	if s.PID == p.PID || s.Port == 0 {
		t.Fatalf("%+v", s)
	}
	if left, err := FindOrphans(mark); err != nil || len(left) != 1 || left[0].PID != s.PID {
		t.Fatalf("%+v, %v: the rest of the dead one's group should be gone", left, err)
	}
}

func TestAnAdoptedEngineIsReadyOnlyWhenItHasLetGo(t *testing.T) {
	gate := filepath.Join(t.TempDir(), "gate")
	p := leave(t, t.TempDir(), "-busy-until", gate)
	w := adopting(t, p, t.TempDir(), nil)
	eventually(t, "asked for its slots", func() bool { _, err := os.Stat(gate + ".asked"); return err == nil })
	if s := w.State(); s.State != hives.WorkerLoading || s.Slots != 0 {
		t.Fatalf("%+v while a slot still works", s)
	}
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if s := w.ready(); s.PID != p.PID || w.states() != "loading ready" {
		t.Fatalf("%+v, %s", s, w.states())
	}
}

// How long a ready one may be silent is no limit for one that loads.
func TestAnEngineIsAdoptedWhileItLoads(t *testing.T) {
	gate := filepath.Join(t.TempDir(), "gate")
	p := leave(t, t.TempDir(), "-loading-until", gate)
	p.Ready = false
	w := adopting(t, p, t.TempDir(), func(w *Worker) { w.options.HangTimeout = time.Millisecond })
	w.until("loading", func(s Snapshot) bool { return s.State == hives.WorkerLoading })
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	eventually(t, "ready", func() bool { return strings.HasPrefix(w.states(), "loading ready") })
	w.mu.Lock()
	defer w.mu.Unlock()
	if s := w.seen[1]; s.PID != p.PID || s.State != hives.WorkerReady {
		t.Fatalf("%+v: what loads is not silent", s)
	}
}

func TestAnAdoptedEngineThatHangsIsKilled(t *testing.T) {
	p := leave(t, t.TempDir())
	// While it does not listen, anybody on the machine may get its port, and answer for it.
	eventually(t, "it listens", func() bool {
		c, err := net.Dial("tcp", net.JoinHostPort(loopback, strconv.Itoa(p.Port)))
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
	if err := syscall.Kill(p.PID, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	w := adopting(t, p, t.TempDir(), func(w *Worker) { w.options.HangTimeout = 300 * time.Millisecond })
	s := w.until("another is ready", func(s Snapshot) bool { return s.State == hives.WorkerReady })
	if s.PID == p.PID || s.Generation != 2 || !dead(p.PID) {
		t.Fatalf("%+v after %+v", s, p)
	}
}

func TestNothingIsStartedInPlaceOfAnAdoptedOneBeforeItMay(t *testing.T) {
	p := leave(t, t.TempDir())
	may := make(chan struct{})
	w := adopting(t, p, t.TempDir(), func(w *Worker) { w.options.MayStart = may })
	w.ready()
	_ = syscall.Kill(p.PID, syscall.SIGKILL)
	w.until("waiting", func(s Snapshot) bool { return s.State == hives.WorkerSpawning && s.PID == 0 })
	eventually(t, "its group is gone", func() bool { return !groupLives(p.PID) })
	if got := w.states(); got != "loading ready spawning" {
		t.Fatal(got)
	}
	close(may)
	if s := w.ready(); s.Generation != 2 {
		t.Fatalf("%+v", s)
	}
}

// The pid of a saved process may have been given to another.
func TestAForeignProcessIsNeitherAdoptedNorTouched(t *testing.T) {
	p := leave(t, t.TempDir())
	other := p
	other.StartTicks--
	if other.Adoptable() || !p.Adoptable() {
		t.Fatal("told apart by their start")
	}
	w := adopting(t, other, t.TempDir(), nil)
	if s := w.ready(); s.PID == p.PID || s.Generation != 1 {
		t.Fatalf("%+v", s)
	}
	if err := w.stop(); err != nil || dead(p.PID) {
		t.Fatal(err, "or the foreign process is dead")
	}
	(&process{pid: p.PID, ticks: other.StartTicks, adopted: true}).signal(syscall.SIGKILL)
	if !p.Adoptable() {
		t.Fatal("the group of a foreign process was killed")
	}
}

func TestWhatCannotBeAdopted(t *testing.T) {
	p := leave(t, t.TempDir())
	group := p
	group.PID = os.Getpid() // leads no group of its own, or is this very one
	if st, err := readStat(group.PID); err != nil {
		t.Fatal(err)
	} else {
		group.StartTicks = st.start
	}
	silent, noTicks := p, p
	silent.Port, noTicks.StartTicks = 0, 0
	for name, q := range map[string]Process{"of this group": group, "without a port": silent, "without a start time": noTicks, "none": {}} {
		if q.Adoptable() {
			t.Error(name)
		}
	}
	member, mine, older, others := Orphan{PGID: p.PID}, Orphan{PGID: 5, WorkerID: "w1", StartTicks: p.StartTicks},
		Orphan{PGID: 5, WorkerID: "w1", StartTicks: p.StartTicks - 1}, Orphan{PGID: 5, WorkerID: "w2", StartTicks: p.StartTicks}
	if !p.Owns(member, "w1") || !p.Owns(mine, "w1") || p.Owns(older, "w1") || p.Owns(others, "w1") {
		t.Error("what belongs to it")
	}
}

func TestDigest(t *testing.T) {
	d := definition("{{.Args.draft}}", "{{.Port}}", "{{.Key}}")
	base := Launch{ID: "w1", Definition: d, Model: d.Models[0], Device: "gpu0", Args: map[string]string{"draft": "x"}}
	digest := func(l Launch) string {
		t.Helper()
		s, err := l.Digest()
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	same := base
	same.Slots = base.Model.Slots
	t.Setenv("OF_THE_AGENT", "another")
	if digest(same) != digest(base) {
		t.Error("what is the same by default is another launch")
	}
	for name, change := range map[string]func(*Launch){
		"args":    func(l *Launch) { l.Args = map[string]string{"draft": "y"} },
		"slots":   func(l *Launch) { l.Slots = 7 },
		"device":  func(l *Launch) { l.Device = "gpu1" },
		"model":   func(l *Launch) { l.Model.Ref = "n" },
		"command": func(l *Launch) { l.Definition.Command = append([]string{"nice"}, l.Definition.Command...) },
		"env":     func(l *Launch) { l.Definition.Env = map[string]string{"A": "b"} },
		"dir":     func(l *Launch) { l.Definition.Dir = "/tmp" },
	} {
		l := base
		if change(&l); digest(l) == digest(base) {
			t.Errorf("another %s is the same launch", name)
		}
	}
	base.Args = nil
	if _, err := base.Digest(); err == nil {
		t.Error("a template without its value")
	}
}
