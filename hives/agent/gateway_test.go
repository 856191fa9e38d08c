package agent

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"queen-rbee/hives"
	"queen-rbee/hives/agent/agenttest"
	"queen-rbee/hives/runlog"
)

func TestDoorbells(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*hives.Execute)
		worker string
		code   string // "" for served
	}{
		"younger than the newest answer": {func(*hives.Execute) {}, "w1", ""},
		"as old as the newest answer":    {func(e *hives.Execute) { e.AssignedIndex = 3 }, "w1", hives.CodeStale},
		"older":                          {func(e *hives.Execute) { e.AssignedIndex = 1 }, "w1", hives.CodeStale},
		"another epoch":                  {func(e *hives.Execute) { e.Epoch = "e0" }, "w1", hives.CodeStale},
		"an earlier incarnation":         {func(e *hives.Execute) { e.Incarnation = 0 }, "w1", hives.CodeStale},
		"a later incarnation":            {func(e *hives.Execute) { e.Incarnation = 2 }, "w1", hives.CodeStale},
		"a worker that never comes":      {func(*hives.Execute) {}, "w7", hives.CodeStale},
		"known and old":                  {func(e *hives.Execute) { e.JobID = "old"; e.AssignedIndex = 1 }, "w1", ""},
		"known and of another epoch": {func(e *hives.Execute) { e.JobID = "old"; e.Epoch = "e0"; e.Incarnation = 9 },
			"w1", ""},
		"known, at a worker that is gone": {func(e *hives.Execute) { e.JobID = "old" }, "w0", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.spawn("w1", 2)
			if _, _, _, err := r.execute("w1", r.bell("old", "before")); err != nil {
				t.Fatal(err)
			}
			e := r.bell("new", "one")
			c.change(&e)
			_, end, _, err := r.execute(c.worker, e)
			if hives.CodeOf(err) != c.code || (err == nil && end.Outcome != hives.Complete) {
				t.Fatalf("%v %+v", err, end)
			}
			if _, known := r.agentKnows(e.JobID); known != (c.code == "") {
				t.Fatalf("known: %v", known)
			}
		})
	}
}

func (r *rig) agentKnows(job string) (string, bool) {
	status, text := r.ask("GET", "/w/x/v1/execute/"+job+"?attempt=1", nil)
	return text, status == http.StatusOK
}

// reaches waits until the run's log has so many records: what the engine has sent may still be
// on its way there.
func (r *rig) reaches(job string, seq int) {
	r.t.Helper()
	agenttest.Eventually(r.t, fmt.Sprintf("%s reaches record %d", job, seq), func() bool {
		text, _ := r.agentKnows(job)
		return strings.Contains(text, fmt.Sprintf(`"seq":%d,`, seq))
	})
}

func TestNoDoorbellStartsWithoutAnsweredHeartbeats(t *testing.T) {
	r := newRig(t, func(c *Config) { c.OfflineAfter = 400 * time.Millisecond })
	r.spawn("w1", 1)
	r.silence(false)
	if _, _, _, err := r.execute("w1", r.bell("j1", "one")); hives.CodeOf(err) != hives.CodeStale {
		t.Fatalf("got %v", err)
	}
	r.list("j2", "w1", "two", nil)
	agenttest.Eventually(t, "run is listed here", func() bool { _, known := r.agentKnows("j2"); return known })
	if text, end, _, err := r.execute("w1", r.bell("j2", "")); err != nil || end.Outcome != hives.Complete || !strings.Contains(text, "two") {
		t.Fatalf("a listed run is started all the same: %v %v", err, end)
	}
}

// silence has no heartbeat answered any more, and no strong query unless it is to be, and waits
// until the hive takes itself for cut off. It gives how many strong queries were refused.
func (r *rig) silence(leaderToo bool) *atomic.Int64 {
	r.t.Helper()
	var refused atomic.Int64
	r.queen.Fail(func(q *http.Request) (int, string) {
		strong := q.URL.Query().Get("consistency") == "strong"
		switch {
		case strong && leaderToo:
			refused.Add(1)
			fallthrough
		case strings.HasSuffix(q.URL.Path, "/heartbeat"):
			return http.StatusServiceUnavailable, "no_leader"
		}
		return 0, ""
	})
	agenttest.Eventually(r.t, "the hive is cut off", r.agent.hive.up.broken)
	return &refused
}

// An agent may have been stopped with an answer in its socket, and its runs be others' by now.
func TestAnAnswerFromBeforeASilenceStartsNothing(t *testing.T) {
	r := newRig(t, func(c *Config) { c.OfflineAfter = 400 * time.Millisecond })
	r.spawn("w1", 1)
	strong := r.silence(true)
	before := strong.Load()
	r.list("j1", "w1", "one", nil)
	agenttest.Eventually(t, "the leader is asked instead", func() bool { return strong.Load() > before })
	if _, known := r.agentKnows("j1"); known {
		t.Fatal("a run was started by an answer that may be old")
	}
	r.queen.Fail(nil)
	r.queen.Await(t, "the run, by the leader's word", func(hb *hives.Heartbeat) bool { return agenttest.Ended(hb, "j1") != nil })
}

func TestReadersResumeFromAnyRecord(t *testing.T) {
	r := newRig(t)
	r.spawn("w1", 1)
	e := r.bell("j1", "a b c hold d e")
	first := make(chan string, 1)
	go func() {
		text, _, _, err := r.execute("w1", e)
		if err != nil {
			text = err.Error()
		}
		first <- text
	}()
	agenttest.Eventually(t, "engine holds", func() bool { return r.engine.held() == 1 })
	var wg sync.WaitGroup
	late := make([]string, 5)
	for from := range late {
		agenttest.Eventually(t, "record is there", func() bool {
			text, _ := r.agentKnows("j1")
			return strings.Contains(text, `"seq":4`)
		})
		wg.Go(func() {
			again := e
			again.From, again.Body = uint64(from), nil
			late[from], _, _, _ = r.execute("w1", again)
		})
	}
	agenttest.Eventually(t, "all read", func() bool {
		text, _ := r.agentKnows("j1")
		return strings.Contains(text, `"readers":6`)
	})
	r.engine.letGo()
	whole := <-first
	wg.Wait()
	if n := strings.Count(whole, "\nid: "); n != 7 {
		t.Fatalf("%d records:\n%s", n, whole)
	}
	for from, text := range late {
		if from == 0 && text != whole || from > 0 && !strings.HasSuffix(whole, "\n\n"+text) {
			t.Fatalf("from %d:\n%s", from, text)
		}
		if from > 0 && !strings.HasPrefix(text, fmt.Sprintf("event: token\nid: 1.%d\n", from+1)) {
			t.Fatalf("from %d:\n%s", from, text)
		}
	}
	beyond := e
	beyond.From = 99
	if _, _, _, err := r.execute("w1", beyond); hives.CodeOf(err) != hives.CodeInvalid {
		t.Fatalf("beyond what exists: %v", err)
	}
	openai := e
	openai.API = hives.APIOpenAI
	if text, _, rest, err := r.execute("w1", openai); err != nil || strings.Contains(text, "event:") || !strings.HasSuffix(rest, "data: [DONE]\nid: 1.8\n\n") {
		t.Fatalf("%v\n%s\n---\n%s", err, text, rest)
	}
	folded := e
	folded.Whole = true
	if text, _, rest, err := r.execute("w1", folded); err != nil || text != "" || !strings.Contains(rest, `"text":"a b c hold d e "`) {
		t.Fatalf("%v\n%s\n---\n%s", err, text, rest)
	}
}

func TestSlotsAreNeverOverbooked(t *testing.T) {
	r := newRig(t)
	r.spawn("w1", 2)
	var want []string
	for i := range 8 {
		prompt := fmt.Sprintf("p%d hold", i)
		e := r.bell(fmt.Sprintf("j%d", i), prompt)
		e.Follow = false
		if status, text := r.ask("POST", "/w/w1/v1/execute", e); status != 202 {
			t.Fatalf("%d %s", status, text)
		}
		want = append(want, prompt)
		agenttest.Eventually(t, "in line", func() bool { return r.waiting("w1") == max(0, i-1) && r.engine.held() == min(2, i+1) })
	}
	for i := range 4 {
		r.engine.letGo()
		agenttest.Eventually(t, "the next two", func() bool {
			r.engine.mu.Lock()
			defer r.engine.mu.Unlock()
			return len(r.engine.order) == min(8, 2*i+4) && (i == 3 || r.engine.holding == 2)
		})
	}
	r.queen.Await(t, "all ended", func(hb *hives.Heartbeat) bool { return len(hb.Ended) == 8 })
	if r.engine.most != 2 {
		t.Fatalf("%d at once on 2 slots", r.engine.most)
	}
	for i := range want { // two at a time may overtake each other on the wire
		if a, b := r.engine.order[i], want[i^1]; a != want[i] && a != b {
			t.Fatalf("order: %q", r.engine.order)
		}
	}
}

func (r *rig) waiting(worker string) int {
	w := r.tableWorker(worker)
	w.slots.mu.Lock()
	defer w.slots.mu.Unlock()
	return len(w.slots.waiting)
}

func TestWorkerDeathEndsItsRunsAtOnce(t *testing.T) {
	r := newRig(t)
	r.spawn("w1", 1)
	r.list("j1", "w1", "one hold", nil)
	agenttest.Eventually(t, "j1 runs", func() bool { return r.engine.held() == 1 })
	r.reaches("j1", 2)
	r.list("j2", "w1", "two", nil)
	agenttest.Eventually(t, "j2 waits", func() bool { return r.waiting("w1") == 1 })
	r.worker("w1").die()
	hb := r.queen.Await(t, "both ended", func(hb *hives.Heartbeat) bool { return len(hb.Ended) == 2 })
	for job, events := range map[string]uint64{"j1": 2, "j2": 0} {
		if end := agenttest.Ended(&hb, job); end.Error == nil || end.Error.Code != hives.CodeWorkerDied || end.Events != events {
			t.Fatalf("%s: %+v", job, end)
		}
	}
	r.worker("w1").revive()
	r.queen.Await(t, "ready again", func(hb *hives.Heartbeat) bool { return agenttest.State(hb, "w1") == hives.WorkerReady })
	if _, end, _, err := r.execute("w1", r.bell("j3", "three")); err != nil || end.Outcome != hives.Complete {
		t.Fatalf("%v %+v", err, end)
	}
}

func TestWorkerNoLongerDesired(t *testing.T) {
	r := newRig(t)
	r.spawn("w1", 1)
	r.list("j1", "w1", "one hold", nil)
	agenttest.Eventually(t, "j1 runs", func() bool { return r.engine.held() == 1 })
	r.queen.Want(func(_ uint64, d *hives.Desired) { d.Workers = nil })
	agenttest.Eventually(t, "stopped", func() bool {
		return r.queen.Heard(func(hb *hives.Heartbeat) bool { return agenttest.State(hb, "w1") == hives.WorkerStopped })
	})
	hb := r.queen.Await(t, "forgotten", func(hb *hives.Heartbeat) bool {
		return agenttest.State(hb, "w1") == "" && agenttest.Ended(hb, "j1") != nil
	})
	if end := agenttest.Ended(&hb, "j1"); end.Error.Code != hives.CodeWorkerGone {
		t.Fatalf("%+v", end)
	}
}

func TestWorkerThatCannotBe(t *testing.T) {
	r := newRig(t)
	r.queen.Want(func(index uint64, d *hives.Desired) {
		d.Workers = append(d.Workers,
			hives.DesiredWorker{ID: "a", Index: index, Model: "m", Engine: "none", Device: "cpu", Slots: 1},
			hives.DesiredWorker{ID: "b", Index: index, Model: "none", Engine: "fake", Device: "cpu", Slots: 1},
			hives.DesiredWorker{ID: "c", Index: index, Model: "m", Engine: "fake", Device: "gpu9", Slots: 1})
	})
	hb := r.queen.Await(t, "all failed", func(hb *hives.Heartbeat) bool { return len(hb.Workers) == 3 })
	for _, w := range hb.Workers {
		if w.State != hives.WorkerFailed || w.Error == "" {
			t.Errorf("%+v", w)
		}
	}
}

func TestFailedWorkerEndsWhatWaitsForIt(t *testing.T) {
	r := newRig(t)
	r.spawn("w1", 1)
	r.list("j1", "w1", "one hold", nil)
	agenttest.Eventually(t, "j1 runs", func() bool { return r.engine.held() == 1 })
	r.worker("w1").fail <- fmt.Errorf("given up")
	r.queen.Await(t, "failed", func(hb *hives.Heartbeat) bool {
		return agenttest.State(hb, "w1") == hives.WorkerFailed && agenttest.Ended(hb, "j1") != nil
	})
	_, end, _, err := r.execute("w1", r.bell("j2", "two"))
	if err != nil || end.Error.Code != hives.CodeWorkerGone {
		t.Fatalf("%v %+v", err, end)
	}
}

func TestEndWishes(t *testing.T) {
	for wish, c := range map[string]struct {
		outcome hives.Outcome
		code    string
	}{
		"cancelled":         {hives.Cancelled, codeCancelled},
		"deadline_exceeded": {hives.Failed, hives.CodeDeadlineExceeded},
		"drained":           {hives.Failed, hives.CodeDrained},
	} {
		t.Run(wish, func(t *testing.T) {
			r := newRig(t)
			r.spawn("w1", 1)
			r.list("j1", "w1", "one hold", nil)
			r.reaches("j1", 2)
			r.queen.Want(func(index uint64, d *hives.Desired) {
				d.Runs[0].End, d.Runs[0].AssignedIndex = wish, index
			})
			hb := r.queen.Await(t, "ended", func(hb *hives.Heartbeat) bool { return agenttest.Ended(hb, "j1") != nil })
			end := agenttest.Ended(&hb, "j1")
			if end.Outcome != c.outcome || end.Error.Code != c.code || end.Events != 2 {
				t.Fatalf("%+v %v", end, end.Error)
			}
			agenttest.Eventually(t, "engine let go", func() bool { return r.engine.held() == 0 })
		})
	}
}

func TestDeadlineByTheOwnClock(t *testing.T) {
	r := newRig(t)
	r.spawn("w1", 1)
	r.list("j1", "w1", "one hold", func(d *hives.DesiredRun) { d.DeadlineMillis = 300 })
	hb := r.queen.Await(t, "ended", func(hb *hives.Heartbeat) bool { return agenttest.Ended(hb, "j1") != nil })
	if end := agenttest.Ended(&hb, "j1"); end.Outcome != hives.Failed || end.Error.Code != hives.CodeDeadlineExceeded {
		t.Fatalf("%+v", end)
	}
}

func TestCancelAtTheHive(t *testing.T) {
	r := newRig(t)
	r.spawn("w1", 1)
	r.list("j1", "w1", "one hold", nil)
	agenttest.Eventually(t, "j1 runs", func() bool { return r.engine.held() == 1 })
	if status, _ := r.ask("DELETE", "/w/w1/v1/execute/j1?attempt=1", nil); status != 202 {
		t.Fatal(status)
	}
	hb := r.queen.Await(t, "ended", func(hb *hives.Heartbeat) bool { return agenttest.Ended(hb, "j1") != nil })
	if end := agenttest.Ended(&hb, "j1"); end.Outcome != hives.Cancelled {
		t.Fatalf("%+v", end)
	}
}

func TestLastClientGoneEndsAnAttachedRun(t *testing.T) {
	r := newRig(t)
	r.spawn("w1", 1)
	e := r.bell("j1", "one hold")
	e.Mode, e.Client, e.GraceMillis = hives.Attached, true, 600_000
	c := hives.NewClient(func() string { return agenttest.Token }, nil)
	defer c.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s, err := c.Execute(ctx, hives.WorkerURL(r.agent.URL(), "w1"), e)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	agenttest.Eventually(t, "j1 runs", func() bool { return r.engine.held() == 1 })
	if err := c.Leave(t.Context(), hives.WorkerURL(r.agent.URL(), "w1"), "j1", hives.Leave{Attempt: 1}); err != nil {
		t.Fatal(err)
	}
	if text, _ := r.agentKnows("j1"); strings.Contains(text, "terminal") {
		t.Fatal("ended while its reader was there")
	}
	cancel()
	r.queen.Await(t, "given up", func(hb *hives.Heartbeat) bool { return len(hb.Runs) == 0 })
	if text, ok := r.agentKnows("j1"); !ok || !strings.Contains(text, `"outcome":"cancelled"`) {
		t.Fatal(text)
	}
}

func TestWorkerDoorbells(t *testing.T) {
	r := newRig(t)
	epoch, _ := r.queen.Registered()
	bell := func(id string, index uint64) workerBell {
		return workerBell{epoch, hives.DesiredWorker{ID: id, Index: index, Model: "m", Engine: "fake", Device: "cpu", Slots: 1}}
	}
	post := func(path string, b workerBell) int { status, _ := r.ask("POST", path, b); return status }
	if got := post("/v1/workers/spawn", bell("w1", 1)); got != 409 {
		t.Fatalf("old: %d", got)
	}
	index := r.queen.Pass(1)
	if got := post("/v1/workers/spawn", bell("w1", index)); got != 202 {
		t.Fatalf("young: %d", got)
	}
	if got := post("/v1/workers/spawn", bell("w1", index)); got != 202 || r.spawned() != 1 {
		t.Fatalf("again: %d, %d started", got, r.spawned())
	}
	r.queen.Await(t, "ready", func(hb *hives.Heartbeat) bool { return agenttest.State(hb, "w1") == hives.WorkerReady })
	if got := post("/v1/workers/shutdown", bell("w1", 1)); got != 409 {
		t.Fatalf("old shutdown: %d", got)
	}
	end := r.queen.Pass(2)
	if got := post("/v1/workers/shutdown", bell("w1", end)); got != 202 {
		t.Fatalf("shutdown: %d", got)
	}
	r.queen.Await(t, "stopped", func(hb *hives.Heartbeat) bool { return agenttest.State(hb, "w1") == hives.WorkerStopped })
	if got := post("/v1/workers/spawn", bell("w1", end)); got != 409 {
		t.Fatalf("spawn of what is ended: %d", got)
	}
	other := bell("w2", r.queen.Pass(1))
	other.Epoch = "e0"
	if got := post("/v1/workers/spawn", other); got != 409 {
		t.Fatalf("another epoch: %d", got)
	}
	index = r.queen.Want(func(_ uint64, d *hives.Desired) { d.Desired = hives.HiveDraining })
	r.queen.Await(t, "draining", func(hb *hives.Heartbeat) bool { return hb.Index >= index })
	if got := post("/v1/workers/spawn", bell("w3", r.queen.Pass(1))); got != 409 {
		t.Fatalf("draining: %d", got)
	}
}

func TestOlderAnswerDoesNotUndoAShutdown(t *testing.T) {
	r := newRig(t)
	r.spawn("w1", 1)
	epoch, _ := r.queen.Registered()
	young := r.queen.Pass(10)
	if status, text := r.ask("POST", "/v1/workers/shutdown", workerBell{epoch, hives.DesiredWorker{ID: "w1", Index: young}}); status != 202 {
		t.Fatalf("%d %s", status, text)
	}
	r.queen.Await(t, "stopped", func(hb *hives.Heartbeat) bool { return agenttest.State(hb, "w1") == hives.WorkerStopped })
	tab := r.table()
	tab.mu.Lock()
	d := tab.last
	tab.mu.Unlock()
	d.Index++ // younger than what was acted on, older than the doorbell, and it lists w1
	if !tab.apply(d, 0) || r.spawned() != 1 {
		t.Fatalf("%d starts", r.spawned())
	}
	d.Index = young
	if !tab.apply(d, 0) {
		t.Fatal("not acted on")
	}
	agenttest.Eventually(t, "started again: the doorbell was not the last word", func() bool { return r.spawned() == 2 })
}

// The log of a run is made while its engine is at work; one that cannot be made ends the run,
// and the engine has its slot back.
func TestADiskThatTakesNoLog(t *testing.T) {
	r := newRig(t)
	r.spawn("w1", 1)
	dir := filepath.Join(r.config.DataDir, "runs")
	away := dir + "-away"
	if err := os.Rename(dir, away); err != nil {
		t.Fatal(err)
	}
	_, end, _, err := r.execute("w1", r.bell("j1", "one hold"))
	if err != nil || end.Outcome != hives.Failed || end.Error.Code != runlog.CodeStorage || end.Events != 0 {
		t.Fatalf("%v %+v", err, end)
	}
	agenttest.Eventually(t, "the engine is left", func() bool { return r.engine.held() == 0 })
	if err := os.Rename(away, dir); err != nil {
		t.Fatal(err)
	}
	if _, end, _, err := r.execute("w1", r.bell("j2", "two")); err != nil || end.Outcome != hives.Complete {
		t.Fatalf("%v %+v", err, end)
	}
}

// Who waits for a slot is read meanwhile, by anyone who comes.
func TestReadersOfARunThatWaits(t *testing.T) {
	r := newRig(t)
	r.spawn("w1", 1)
	r.list("j1", "w1", "one hold", nil)
	agenttest.Eventually(t, "j1 runs", func() bool { return r.engine.held() == 1 })
	e := r.bell("j2", "two three")
	got := make(chan string, 2)
	for range 2 {
		go func() {
			text, _, _, err := r.execute("w1", e)
			if err != nil {
				text = err.Error()
			}
			got <- text
		}()
	}
	agenttest.Eventually(t, "both read", func() bool {
		text, _ := r.agentKnows("j2")
		return strings.Contains(text, `"readers":2`)
	})
	r.engine.letGo()
	one, other := <-got, <-got
	if one != other || strings.Count(one, "\nid: ") != 3 {
		t.Fatalf("%q\n%q", one, other)
	}
}
