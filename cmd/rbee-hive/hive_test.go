package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"queen-rbee/hives"
	"queen-rbee/hives/agent/agenttest"
	"queen-rbee/hives/engine"
	"queen-rbee/hives/engine/enginetest"
)

// envPlay makes this test binary be rbee-hive, so that a whole agent can be killed.
const envPlay = "TEST_PLAYS_RBEE_HIVE"

// workerBinary is the real rbee-worker, built once.
var workerBinary string

func TestMain(m *testing.M) {
	enginetest.Main()
	if os.Getenv(envPlay) != "" {
		main()
		return
	}
	dir, err := os.MkdirTemp("", "rbee-hive-test")
	if err != nil {
		panic(err)
	}
	workerBinary = filepath.Join(dir, "rbee-worker")
	if out, err := exec.Command("go", "build", "-o", workerBinary, "queen-rbee/cmd/rbee-worker").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build rbee-worker: %v\n%s", err, out)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(dir)
		os.Exit(code)
	}))
}

// within is a command that becomes the agent, with its own command line behind it.
var within []string

// process is one rbee-hive.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	dir  string
	exit chan struct{}

	mu  sync.Mutex
	log bytes.Buffer
}

// hive starts an agent with the built-in engine; what it wants is up to the queen.
func hive(t *testing.T, q *agenttest.Queen, dir string, workerArgs ...string) *process {
	t.Helper()
	config := filepath.Join(dir, "hive.yaml")
	args, err := json.Marshal(workerArgs)
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("labels: {zone: a}\nengines:\n  builtin: {binary: %q, slots: 2, args: %s, stop_grace: 5s}\ndevices: [{id: gpu0, kind: cuda, total_bytes: 1GiB}]\n", workerBinary, args)
	if workerArgs == nil {
		text = strings.Replace(text, "args: null, ", "", 1)
	}
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return command(t, dir, "serve", "--id", "h1", "--addr", "127.0.0.1:0", "--queen", q.URL, "--data-dir", filepath.Join(dir, "data"),
		"--config", config, "--drain-timeout", "20s")
}

func command(t *testing.T, dir string, args ...string) *process {
	t.Helper()
	line := slices.Concat(within, []string{os.Args[0]}, args)
	p := &process{t: t, dir: dir, exit: make(chan struct{}), cmd: exec.Command(line[0], line[1:]...)}
	p.cmd.Env = append(os.Environ(), envPlay+"=1", "RBEE_TOKEN="+agenttest.Token)
	out, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.exit)
		for r := bufio.NewReader(out); ; {
			line, err := r.ReadString('\n')
			p.mu.Lock()
			p.log.WriteString(line)
			p.mu.Unlock()
			if err != nil {
				break
			}
		}
		_ = p.cmd.Wait() // its code is asked for where it matters
	}()
	t.Cleanup(func() {
		p.end()
		if t.Failed() {
			t.Logf("rbee-hive said:\n%s", p.said())
		}
	})
	return p
}

// end stops the agent in a hurry but in order, and sees to it that none of its engines is left.
func (p *process) end() {
	for range 2 { // the second one does not wait for runs
		_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	}
	select {
	case <-p.exit:
	case <-time.After(20 * time.Second):
		p.t.Error("rbee-hive outlived SIGTERM")
		_ = p.cmd.Process.Kill()
		<-p.exit
	}
	for _, o := range p.left() {
		if err := o.End(context.Background(), 0); err != nil {
			p.t.Error(err)
		}
	}
}

// left are the engines that still live though nobody looks after them.
func (p *process) left() []engine.Orphan {
	all, err := engine.FindOrphans(filepath.Join(p.dir, "data"))
	if err != nil {
		p.t.Fatal(err)
	}
	return all
}

func (p *process) said() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

// code waits for the end.
func (p *process) code() int {
	p.t.Helper()
	select {
	case <-p.exit:
	case <-time.After(40 * time.Second):
		p.t.Fatal("rbee-hive does not end")
	}
	return p.cmd.ProcessState.ExitCode()
}

// engines are the engine processes of the agent's state file.
func (p *process) engines() []engine.Orphan {
	data, err := os.ReadFile(filepath.Join(p.dir, "data", "agent.json"))
	if err != nil {
		return nil
	}
	var s struct {
		Processes []struct {
			PID        int    `json:"pid"`
			StartTicks uint64 `json:"start_ticks"`
		}
	}
	if err := json.Unmarshal(data, &s); err != nil {
		p.t.Fatal(err)
	}
	var out []engine.Orphan
	for _, o := range s.Processes {
		out = append(out, engine.Orphan{PID: o.PID, StartTicks: o.StartTicks, PGID: o.PID})
	}
	return out
}

// oneEngine waits for the one engine's process: the state file is written in the background.
func (p *process) oneEngine() (one engine.Orphan) {
	p.t.Helper()
	agenttest.Eventually(p.t, "its pid in the state file", func() bool {
		if all := p.engines(); len(all) == 1 {
			one = all[0]
		}
		return one.PID != 0
	})
	return one
}

// want desires the worker w1.
func want(index uint64, d *hives.Desired) {
	d.Workers = []hives.DesiredWorker{{ID: "w1", Index: index, Model: engine.BuiltinModel, Engine: engine.BuiltinName, Device: "gpu0", Slots: 2}}
}

func spawn(t *testing.T, q *agenttest.Queen) {
	t.Helper()
	q.Want(want)
	q.Await(t, "worker ready", func(hb *hives.Heartbeat) bool { return agenttest.State(hb, "w1") == hives.WorkerReady })
}

const prompt = `{"model":"builtin/markov","messages":[{"role":"user","content":"Tell me of the bees"}],"max_tokens":%d,"seed":7}`

func assign(t *testing.T, q *agenttest.Queen, job string, tokens int) hives.Execute {
	t.Helper()
	epoch, incarnation := q.Registered()
	var e hives.Execute
	q.Want(func(index uint64, d *hives.Desired) {
		d.Runs = append(d.Runs, hives.DesiredRun{JobID: job, Attempt: 1, Incarnation: incarnation, WorkerID: "w1", AssignedIndex: index,
			API: hives.APITask, Path: "/v1/chat/completions", Mode: hives.Detached})
		e = hives.Execute{Epoch: epoch, Incarnation: incarnation, JobID: job, Attempt: 1, AssignedIndex: index, API: hives.APITask,
			Path: "/v1/chat/completions", Body: json.RawMessage(fmt.Sprintf(prompt, tokens)), Mode: hives.Detached, Follow: true}
	})
	return e
}

// read reads a run until its end mark, or until it has enough records.
func read(t *testing.T, q *agenttest.Queen, e hives.Execute, enough uint64) (string, *hives.Terminal) {
	t.Helper()
	c := hives.NewClient(func() string { return agenttest.Token }, nil)
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	s, err := c.Execute(ctx, hives.WorkerURL(q.Last().URL, "w1"), e)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	text := ""
	for {
		p, err := s.Next()
		if err != nil {
			t.Fatalf("%v after:\n%s", err, text)
		}
		text += string(p.Bytes)
		if p.End != nil || p.Seq >= enough {
			return text, p.End
		}
	}
}

func TestRealWorkerFromStartToStop(t *testing.T) {
	q := agenttest.New(t)
	p := hive(t, q, t.TempDir())
	q.Await(t, "registered", func(hb *hives.Heartbeat) bool { return hb.Index > 0 })
	hb := q.Last()
	if hb.Labels["zone"] != "a" || len(hb.Devices) != 2 || hb.Engines[0].Models[0].Ref != engine.BuiltinModel {
		t.Fatalf("%+v", hb)
	}
	spawn(t, q)
	e := assign(t, q, "j1", 12)
	text, end := read(t, q, e, 1<<62)
	if end == nil || end.Outcome != hives.Complete || end.Usage.CompletionTokens != 12 || strings.Count(text, "event: token") == 0 {
		t.Fatalf("%+v\n%s", end, text)
	}
	e.JobID, e.AssignedIndex = "j2", q.Pass(1)
	if again, _ := read(t, q, e, 1<<62); again != text {
		t.Fatalf("the same seed gave another text:\n%s\n---\n%s", text, again)
	}
	one := p.oneEngine()
	if !one.Alive() {
		t.Fatalf("%v", one)
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := p.code(); code != 0 || one.Alive() {
		t.Fatalf("exit code %d, engine alive: %v", code, one.Alive())
	}
	if !q.Heard(func(hb *hives.Heartbeat) bool { return agenttest.State(hb, "w1") == hives.WorkerStopped }) {
		t.Fatalf("last words: %+v", q.Last().Workers)
	}
	if left := p.left(); len(left) != 0 {
		t.Fatalf("left behind: %v", left)
	}
}

func TestKilledWorkerIsStartedAgain(t *testing.T) {
	q := agenttest.New(t)
	p := hive(t, q, t.TempDir(), "--tokens-per-second", "20")
	spawn(t, q)
	e := assign(t, q, "j1", 10_000)
	read(t, q, e, 4)
	if err := syscall.Kill(p.oneEngine().PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	hb := q.Await(t, "the run's end", func(hb *hives.Heartbeat) bool { return agenttest.Ended(hb, "j1") != nil })
	if end := agenttest.Ended(&hb, "j1"); end.Error.Code != hives.CodeWorkerDied || end.Events < 4 {
		t.Fatalf("%+v", end)
	}
	q.Await(t, "the worker again", func(hb *hives.Heartbeat) bool { return agenttest.State(hb, "w1") == hives.WorkerReady })
}

func TestSupersededExits(t *testing.T) {
	q := agenttest.New(t)
	p := hive(t, q, t.TempDir())
	spawn(t, q)
	q.Supersede()
	if code := p.code(); code != 1 || !strings.Contains(p.said(), "a newer agent has registered") || len(p.left()) != 0 {
		t.Fatalf("exit code %d, left behind: %v", code, p.left())
	}
}

func TestExitCodes(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	good := filepath.Join(t.TempDir(), "hive.yaml")
	bad := filepath.Join(t.TempDir(), "bad.yaml")
	limited := filepath.Join(t.TempDir(), "limited.yaml")
	for file, text := range map[string]string{
		limited: "engines: {x: {command: [x], models: [m], limits: {cpus: 2}}}\n",
		good:    fmt.Sprintf("engines: {builtin: {binary: %q}}\n", workerBinary),
		bad:     "engines: {builtin: {command: [x]}}\n",
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	base := []string{"serve", "--id", "h1", "--queen", "http://127.0.0.1:1", "--data-dir", t.TempDir(), "--config", good}
	for name, c := range map[string]struct {
		args []string
		code int
		says string
	}{
		"unknown flag":     {append(base, "--quen", "x"), 2, "--quen"},
		"a word":           {append(base, "stop"), 2, "takes flags only"},
		"no queen":         {[]string{"serve", "--id", "h1", "--config", good}, 2, "--queen: is missing"},
		"bad queen":        {append(base, "--queen", "ftp://x"), 2, "--queen"},
		"bad address":      {append(base, "--addr", "nowhere"), 2, "--addr"},
		"bad level":        {append(base, "--log-level", "loud"), 2, "--log-level"},
		"negative timeout": {append(base, "--drain-timeout=-1s"), 2, "--drain-timeout"},
		"bad engine":       {append(base, "--config", bad), 2, "engines.builtin.command"},
		"no file":          {append(base, "--config", "/does/not/exist"), 2, "--config"},
		"port in use":      {append(base, "--addr", taken.Addr().String()), 1, "--addr"},
		"bad external":     {append(base, "--external", "gpu7"), 2, "--external: \"gpu7\" is not a URL"},
		"external twice":   {append(base, "--external", "http://a:1", "--external", "http://a:2"), 2, "as in a-2=http://a:2"},
		"bad ports":        {append(base, "--port-range", "5"), 2, "--port-range: \"5\" is no range of ports"},
		"limits in vain":   {append(base, "--config", limited), 2, "--cgroup: is missing: the limits of engine x"},
		"no cgroup":        {append(base, "--cgroup", t.TempDir()), 2, "--cgroup: open "},
		"no key":           {append(base, "--external", "http://a:1", "--external-key-env", "NOT_SET"), 2, "NOT_SET is not set"},
		"version":          {[]string{"--version"}, 0, ""},
		"help":             {[]string{"serve", "--help"}, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			p := command(t, t.TempDir(), c.args...)
			if code := p.code(); code != c.code || !strings.Contains(p.said(), c.says) || strings.Contains(p.said(), "goroutine") {
				t.Fatalf("exit code %d: %s", code, p.said())
			}
		})
	}
}
