package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"queen-rbee/hives"
	"queen-rbee/hives/agent/agenttest"
	"queen-rbee/hives/engine"
)

// slow is an engine with time to kill its agent in mid-stream.
var slow = []string{"--tokens-per-second", "20"}

// kill ends the agent as a machine that is out of memory does, and leaves its engine.
func (p *process) kill() engine.Orphan {
	p.t.Helper()
	one := p.oneEngine()
	if err := p.cmd.Process.Kill(); err != nil {
		p.t.Fatal(err)
	}
	p.code()
	if !one.Alive() {
		p.t.Fatalf("the engine %+v should have outlived its agent", one)
	}
	return one
}

// readyAs waits until the worker is ready under an incarnation of the agent.
func readyAs(t *testing.T, q *agenttest.Queen, incarnation uint64) {
	t.Helper()
	q.Await(t, "ready again", func(hb *hives.Heartbeat) bool {
		return hb.Incarnation == incarnation && hb.Index > 0 && agenttest.State(hb, "w1") == hives.WorkerReady
	})
}

// orphaned has an agent with an engine that is ready, and kills it. The next start in the same
// directory finds the engine.
func orphaned(t *testing.T) (q *agenttest.Queen, dir string, one engine.Orphan) {
	q, dir = agenttest.New(t), t.TempDir()
	p := hive(t, q, dir)
	spawn(t, q)
	return q, dir, p.kill()
}

// stop ends the agent in order: nothing may be left.
func (p *process) stop() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
	if code, left := p.code(), p.left(); code != 0 || len(left) != 0 {
		p.t.Fatalf("exit code %d, left behind: %v", code, left)
	}
}

func TestAKilledAgentsEngineGoesOnUnderTheNext(t *testing.T) {
	q := agenttest.New(t)
	dir := t.TempDir()
	p := hive(t, q, dir, slow...)
	spawn(t, q)
	e := assign(t, q, "j1", 10_000)
	seen, _ := read(t, q, e, 5)
	one := p.kill()

	p = hive(t, q, dir, slow...)
	hb := q.Await(t, "the run's end", func(hb *hives.Heartbeat) bool { return hb.Incarnation == 2 && agenttest.Ended(hb, "j1") != nil })
	end := agenttest.Ended(&hb, "j1")
	if end.Outcome != hives.Failed || end.Error.Code != hives.CodeAgentRestarted || end.Events < 5 {
		t.Fatalf("%+v %v", end, end.Error)
	}
	again, _ := read(t, q, e, 1<<62)
	if !strings.HasPrefix(again, seen) || strings.Count(again, "\nid: ") != int(end.Events) {
		t.Fatalf("what was sent is no longer readable:\n%s\n---\n%s", seen, again)
	}
	readyAs(t, q, 2)
	if now := p.oneEngine(); now != one {
		t.Fatalf("the engine was %+v and is %+v", one, now)
	}
	if text, end := read(t, q, assign(t, q, "j2", 3), 1<<62); end == nil || end.Outcome != hives.Complete {
		t.Fatalf("%+v\n%s", end, text)
	}
	p.stop()
	if one.Alive() {
		t.Fatal("the adopted engine outlived an orderly stop")
	}
}

func TestAgentsKilledOneAfterTheOther(t *testing.T) {
	q := agenttest.New(t)
	dir := t.TempDir()
	args := []string{"--load-delay", "3s"}
	p := hive(t, q, dir, args...)
	q.Want(want)
	one := p.kill() // while the engine loads

	p = hive(t, q, dir, args...)
	agenttest.Eventually(t, "the second agent", func() bool { return strings.Contains(p.said(), "hive agent listens") })
	if second := p.kill(); second != one { // before it can do much
		t.Fatalf("the engine was %+v and is %+v", one, second)
	}
	p = hive(t, q, dir, args...)
	_, incarnation := q.Registered()
	q.Await(t, "ready", func(hb *hives.Heartbeat) bool {
		return hb.Incarnation > incarnation && agenttest.State(hb, "w1") == hives.WorkerReady
	})
	if third := p.oneEngine(); third != one {
		t.Fatalf("the engine was %+v and is %+v", one, third)
	}
	p.stop()
}

func TestAnEngineThatDiedWithItsAgentIsStartedAnew(t *testing.T) {
	q, dir, one := orphaned(t)
	if err := syscall.Kill(one.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	p := hive(t, q, dir)
	readyAs(t, q, 2)
	if now := p.oneEngine(); now == one {
		t.Fatalf("%+v", now)
	}
	p.stop()
}

func TestAnEngineThatNobodyWantsAnyMoreIsEnded(t *testing.T) {
	q, dir, one := orphaned(t)
	q.Want(func(_ uint64, d *hives.Desired) { d.Workers = nil })
	p := hive(t, q, dir)
	agenttest.Eventually(t, "it is said to be stopped", func() bool {
		return q.Heard(func(hb *hives.Heartbeat) bool {
			return hb.Incarnation == 2 && agenttest.State(hb, "w1") == hives.WorkerStopped
		})
	})
	if one.Alive() || len(p.left()) != 0 {
		t.Fatal("it is said to be stopped and lives")
	}
}

func TestAnEngineThatWouldBeStartedOtherwiseIsReplaced(t *testing.T) {
	q, dir, one := orphaned(t)
	p := hive(t, q, dir, slow...)
	readyAs(t, q, 2)
	if now := p.oneEngine(); now == one || one.Alive() {
		t.Fatalf("was %+v, alive: %v, is %+v", one, one.Alive(), now)
	}
	if !strings.Contains(p.said(), "configuration would start it differently") {
		t.Fatal("nobody says why")
	}
}

func TestAnEngineThatIsToBeAnotherIsReplaced(t *testing.T) {
	q, dir, one := orphaned(t)
	q.Want(func(_ uint64, d *hives.Desired) { d.Workers[0].Device = "cpu" })
	p := hive(t, q, dir)
	agenttest.Eventually(t, "another engine", func() bool {
		now := p.engines()
		return len(now) == 1 && now[0] != one && !one.Alive()
	})
	readyAs(t, q, 2)
}

// The pids of the state file are others' by now: those are not touched, and the engine that
// the file does not know is ended.
func TestAPidThatWasGivenToAnotherIsLeftAlone(t *testing.T) {
	q, dir, one := orphaned(t)
	other := exec.Command("sleep", "60")
	other.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- other.Wait() }()
	t.Cleanup(func() { _ = other.Process.Kill(); <-ended })
	changeState(t, filepath.Join(dir, "data", "agent.json"), func(p map[string]any) { p["pid"] = other.Process.Pid })

	p := hive(t, q, dir)
	readyAs(t, q, 2)
	if now := p.oneEngine(); now.PID == other.Process.Pid || one.Alive() {
		t.Fatalf("now %+v, the old engine alive: %v", now, one.Alive())
	}
	p.stop()
	select {
	case err := <-ended:
		t.Fatalf("the foreign process was ended: %v", err)
	default:
	}
}

// changeState changes the first process of a state file.
func changeState(t *testing.T, path string, change func(map[string]any)) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var state map[string]any
	if err := json.Unmarshal(data, &state); err != nil {
		t.Fatal(err)
	}
	change(state["processes"].([]any)[0].(map[string]any))
	if data, err = json.Marshal(state); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}
