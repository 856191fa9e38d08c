package agent

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"queen-rbee/hives"
	"queen-rbee/hives/agent/agenttest"
	"queen-rbee/hives/engine"
	"queen-rbee/hives/runlog"

	"github.com/hashicorp/go-hclog"
)

func TestListedRunFetchesItsBodyAndRepeatsItsEnd(t *testing.T) {
	r := newRig(t)
	r.spawn("w1", 2)
	r.list("j1", "w1", "one two three", nil)
	hb := r.queen.Await(t, "terminal record", func(hb *hives.Heartbeat) bool { return agenttest.Ended(hb, "j1") != nil })
	end := agenttest.Ended(&hb, "j1")
	if end.Outcome != hives.Complete || end.Events != 4 || end.FinishReason != "stop" || end.Usage.CompletionTokens != 3 || end.TTFTMillis < 1 {
		t.Fatalf("terminal record: %+v", *end)
	}
	for range 2 {
		r.queen.Await(t, "the record again", func(hb *hives.Heartbeat) bool { return agenttest.Ended(hb, "j1") != nil })
	}
	index := r.unlist("j1")
	hb = r.queen.Await(t, "the record no more", func(hb *hives.Heartbeat) bool { return hb.Index >= index })
	if agenttest.Ended(&hb, "j1") != nil {
		t.Fatal("repeated after an answer that does not list the run")
	}
	if status, text := r.ask("GET", "/w/w1/v1/execute/j1?attempt=1", nil); status != 200 || !strings.Contains(text, `"outcome":"complete"`) {
		t.Fatalf("an ended run stays known: %d %s", status, text)
	}
}

func TestNothingBeforeTheFirstStrongAnswer(t *testing.T) {
	r := newRig(t)
	asked := r.queen.Asked()
	if !strings.Contains(asked[0], "consistency=strong") || !strings.Contains(asked[0], "index=0") {
		t.Fatalf("first query: %s", asked[0])
	}
	for _, hb := range r.queen.Beats() {
		if hb.Index != 0 && hb.Index < 2 {
			t.Fatalf("a heartbeat named index %d, which no answer had", hb.Index)
		}
	}
	r.queen.Fail(func(req *http.Request) (int, string) {
		if strings.HasSuffix(req.URL.Path, "/desired") && req.URL.Query().Get("wait") != "0s" {
			return 503, "no_leader"
		}
		return 0, ""
	})
	r.queen.NewEpoch("e2")
	hb := r.queen.Await(t, "registered anew", func(hb *hives.Heartbeat) bool { return hb.Epoch == "e2" })
	if hb.Index != 0 {
		t.Fatalf("index %d named before the first answer of the session", hb.Index)
	}
	_, _, _, err := r.execute("w1", r.bell("j1", "one"))
	if hives.CodeOf(err) != hives.CodeStale {
		t.Fatalf("doorbell before the first answer: %v", err)
	}
}

func TestARestartNamesNoIndexBeforeItsFirstAnswer(t *testing.T) {
	r := newRig(t)
	r.spawn("w1", 1)
	r.cancelAndWait()
	saved, err := loadState(r.config.DataDir)
	if err != nil || saved.Epoch != "e1" || saved.Index < 3 || len(saved.Processes) != 0 {
		t.Fatalf("%+v %v", saved, err)
	}
	r.queen.Fail(func(req *http.Request) (int, string) {
		if strings.HasSuffix(req.URL.Path, "/desired") && req.URL.Query().Get("wait") != "0s" {
			return 503, "no_leader"
		}
		return 0, ""
	})
	r.launch()
	hb := r.queen.Await(t, "a heartbeat of the second start", func(hb *hives.Heartbeat) bool { return hb.Incarnation == 2 })
	if hb.Index != 0 || len(hb.Workers) != 0 {
		t.Fatalf("%+v", hb)
	}
	r.queen.Fail(nil)
	r.queen.Await(t, "the worker again", func(hb *hives.Heartbeat) bool { return agenttest.State(hb, "w1") == hives.WorkerReady })
}

func TestNewEpochEndsWhatIsNotListed(t *testing.T) {
	r := newRig(t)
	r.spawn("w1", 2)
	r.list("j1", "w1", "one hold", nil)
	agenttest.Eventually(t, "j1 runs", func() bool { return r.engine.held() == 1 })
	r.queen.Want(func(_ uint64, d *hives.Desired) { d.Runs = nil; d.Workers = nil })
	r.queen.NewEpoch("e2")
	r.queen.Await(t, "everything of the old epoch ended", func(hb *hives.Heartbeat) bool {
		return hb.Epoch == "e2" && hb.Index > 0 && len(hb.Runs) == 0 && len(hb.Workers) == 0 && len(hb.Ended) == 0
	})
	if r.engine.held() != 0 {
		t.Fatal("the engine still has the run")
	}
	bell := r.bell("j9", "one")
	bell.Epoch = "e1"
	if _, _, _, err := r.execute("w1", bell); hives.CodeOf(err) != hives.CodeStale {
		t.Fatalf("doorbell of the old epoch: %v", err)
	}
}

func TestSupersededAgentStops(t *testing.T) {
	r := newRig(t)
	r.spawn("w1", 1)
	r.list("j1", "w1", "hold", nil)
	agenttest.Eventually(t, "j1 runs", func() bool { return r.engine.held() == 1 })
	r.queen.Supersede()
	if err := r.wait(); !errors.Is(err, ErrSuperseded) {
		t.Fatalf("ended with %v", err)
	}
	if s := r.worker("w1").State().State; s != hives.WorkerStopped {
		t.Fatalf("worker is %s", s)
	}
	if _, inc := r.queen.Registered(); inc != 2 {
		t.Fatalf("incarnation %d: the older one fought back", inc)
	}
}

// A registration that is refused because of a newer one must not be tried for ever.
func TestSupersededRegistrationStops(t *testing.T) {
	r := newRig(t)
	r.queen.Fail(func(req *http.Request) (int, string) {
		if req.Method == "POST" && req.URL.Path == "/v2/hives" {
			return 409, hives.CodeStale
		}
		return 0, ""
	})
	r.queen.NewEpoch("e2")
	if err := r.wait(); !errors.Is(err, ErrSuperseded) {
		t.Fatalf("ended with %v", err)
	}
}

// Another start registers between what this one has read and its registration: it reads again.
func TestAnOutrunRegistrationReadsAgain(t *testing.T) {
	q := agenttest.New(t)
	var other atomic.Bool
	q.Fail(func(req *http.Request) (int, string) {
		if req.Method == "POST" && req.URL.Path == "/v2/hives" && other.CompareAndSwap(false, true) {
			q.Supersede()
		}
		return 0, ""
	})
	r := &rig{t: t, queen: q, engine: newFakeEngine(t), config: testConfig(t, q.URL), workers: map[string]*fakeWorker{}}
	r.launch()
	q.Await(t, "it lives as the newer one", func(hb *hives.Heartbeat) bool { return hb.Incarnation == 2 })
}

// An agent that has to register anew and finds a newer one of its id does not take the hive back.
func TestASupersededAgentDoesNotFightBack(t *testing.T) {
	r := newRig(t)
	r.queen.Fail(func(req *http.Request) (int, string) {
		if strings.HasSuffix(req.URL.Path, "/heartbeat") {
			return 404, hives.CodeNotFound
		}
		return 0, ""
	})
	r.queen.Supersede()
	if err := r.wait(); !errors.Is(err, ErrSuperseded) {
		t.Fatalf("ended with %v", err)
	}
	if _, inc := r.queen.Registered(); inc != 2 {
		t.Fatalf("incarnation %d", inc)
	}
}

func TestOneStaleBeatIsNotTheEnd(t *testing.T) {
	r := newRig(t)
	var said atomic.Bool
	r.queen.Fail(func(req *http.Request) (int, string) {
		if strings.HasSuffix(req.URL.Path, "/heartbeat") && said.CompareAndSwap(false, true) {
			return 409, hives.CodeStale
		}
		return 0, ""
	})
	agenttest.Eventually(t, "one beat called stale", said.Load)
	r.queen.Await(t, "heartbeats go on", func(*hives.Heartbeat) bool { return true })
}

func TestBothPipesMoveToTheNextQueen(t *testing.T) {
	other := agenttest.New(t)
	r := newRig(t, func(c *Config) { c.Queens = append(c.Queens, other.URL) })
	r.queen.Close()
	other.Await(t, "heartbeat", func(hb *hives.Heartbeat) bool { return hb.Index > 0 })
	index := other.Want(func(uint64, *hives.Desired) {})
	other.Await(t, "desired", func(hb *hives.Heartbeat) bool { return hb.Index >= index })
}

func TestRefusedTokenRetriesSlowly(t *testing.T) {
	q := agenttest.New(t)
	var tries atomic.Int64
	q.Fail(func(*http.Request) (int, string) { tries.Add(1); return 401, hives.CodeUnauthenticated })
	r := &rig{t: t, queen: q, engine: newFakeEngine(t), config: testConfig(t, q.URL), workers: map[string]*fakeWorker{}}
	r.launch()
	agenttest.Eventually(t, "first try", func() bool { return tries.Load() > 0 })
	r.agent.Stop()
	if err := r.wait(); err != nil {
		t.Fatal(err)
	}
	if n := tries.Load(); n > 1 {
		t.Fatalf("tried %d times: a refusal is retried slowly", n)
	}
}

func TestAsksTheLeaderWhenItStaysBehind(t *testing.T) {
	var l lag
	at := time.Unix(0, 0)
	for i, step := range []struct {
		row, own uint64
		after    time.Duration
		want     bool
	}{
		{5, 5, 0, false},
		{7, 5, 0, false},
		{9, 5, 900 * time.Millisecond, false},
		{9, 5, time.Second, true},
		{9, 5, 1100 * time.Millisecond, false},
		{9, 5, 2 * time.Second, true},
		{9, 7, 3 * time.Second, false}, // caught up with what was first seen; 9 counts from now
		{9, 7, 3500 * time.Millisecond, false},
		{9, 7, 4 * time.Second, true},
		{9, 9, 5 * time.Second, false},
	} {
		if got := l.tell(step.row, step.own, at.Add(step.after)); got != step.want {
			t.Fatalf("step %d: %v", i, got)
		}
	}
}

func TestRunOfAnEarlierIncarnation(t *testing.T) {
	r := newRig(t)
	r.spawn("w1", 1)
	r.list("j1", "w1", "one two hold", nil)
	agenttest.Eventually(t, "j1 runs", func() bool { return r.engine.held() == 1 })
	frames := make(chan string, 1)
	go func() {
		f, _, _, _ := r.execute("w1", r.bell("j1", ""))
		frames <- f
	}()
	agenttest.Eventually(t, "two tokens", func() bool {
		_, text := r.ask("GET", "/w/w1/v1/execute/j1?attempt=1", nil)
		return strings.Contains(text, `"seq":3`)
	})
	// A SIGKILL leaves the log without an end; here the file is taken before the orderly stop.
	saved, err := os.ReadFile(filepath.Join(r.config.DataDir, "runs", "j1.1.run"))
	if err != nil {
		t.Fatal(err)
	}
	r.list("j2", "w1", "", nil) // listed for the old incarnation, never begun
	r.cancelAndWait()
	<-frames
	if err := os.RemoveAll(filepath.Join(r.config.DataDir, "runs")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(r.config.DataDir, "runs"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(r.config.DataDir, "runs", "j1.1.run"), saved, 0o600); err != nil {
		t.Fatal(err)
	}
	r.launch()
	hb := r.queen.Await(t, "both ends", func(hb *hives.Heartbeat) bool {
		return hb.Incarnation == 2 && agenttest.Ended(hb, "j1") != nil && agenttest.Ended(hb, "j2") != nil
	})
	for job, events := range map[string]uint64{"j1": 3, "j2": 0} {
		end := agenttest.Ended(&hb, job)
		if end.Outcome != hives.Failed || end.Error.Code != hives.CodeAgentRestarted || end.Events != events {
			t.Fatalf("%s: %+v %v", job, end, end.Error)
		}
	}
	bell := r.bell("j1", "")
	bell.Incarnation = 1
	text, end, _, err := r.execute("w1", bell)
	if err != nil || end.Error.Code != hives.CodeAgentRestarted || !strings.Contains(text, `"t":"two "`) {
		t.Fatalf("what was sent stays readable: %v %v %q", err, end, text)
	}
}

func TestASecondAgentOnTheDataDirIsRefused(t *testing.T) {
	r := newRig(t)
	a, err := New(r.config)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "in use by another agent (pid ") {
		t.Fatalf("got %v", err)
	}
}

func TestDamagedStateIsRefused(t *testing.T) {
	for text, want := range map[string]string{
		`{"version":1,"epo`: "is damaged",
		`{"version":9}`:     "version 9",
	} {
		c := testConfig(t, "http://127.0.0.1:1")
		if err := os.WriteFile(filepath.Join(c.DataDir, "agent.json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		a, err := New(c)
		if err != nil {
			t.Fatal(err)
		}
		if err := a.Run(t.Context()); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "agent.json") {
			t.Fatalf("%s: %v", text, err)
		}
	}
}

// After the machine has started anew every pid and start time may be another process's.
func TestProcessesOfAnotherBootOfTheMachineAreForgotten(t *testing.T) {
	dir := t.TempDir()
	s := savedState{Epoch: "e", Machine: engine.MachineBoot(), Processes: []savedProcess{{Worker: "w1", PID: 77, StartTicks: 5}}}
	for _, want := range []int{1, 0} {
		if err := saveState(dir, s); err != nil {
			t.Fatal(err)
		}
		got, err := loadState(dir)
		if err != nil || len(got.Processes) != want || got.Machine != engine.MachineBoot() || got.Epoch != "e" {
			t.Fatalf("%+v %v, want %d processes", got, err, want)
		}
		s.Machine = "another"
	}
}

func TestOldIndexIsIgnored(t *testing.T) {
	store, err := runlog.Open(t.TempDir(), runlog.Limits{}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	tab := newTable(store, hclog.NewNullLogger())
	tab.parts.acted = func(string, uint64) {}
	tab.adopt("e", 1)
	for i, step := range []struct {
		epoch string
		index uint64
		news  bool
	}{{"e", 5, true}, {"e", 4, false}, {"f", 9, false}, {"e", 5, false}, {"e", 6, true}} {
		if got := tab.apply(hives.Desired{Epoch: step.epoch, Index: step.index, Desired: hives.HiveRunning}, 0); got != step.news {
			t.Fatalf("step %d: %v", i, got)
		}
	}
	if tab.acted() != 6 {
		t.Fatalf("acted on %d", tab.acted())
	}
}
