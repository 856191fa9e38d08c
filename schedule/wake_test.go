package schedule

import (
	"testing"
	"time"

	"queen-rbee/fsm"
)

// TestWake lets a leader sleep from Wake to Wake with nobody asking anything: everything that
// is due happens in time, with few plans, and in the end there is nothing left to wake for.
func TestWake(t *testing.T) {
	e := born(t)
	e.hive("h1", "b1", 10, model("m", 1, 1))
	e.do(Request{SpawnWorker: &SpawnWorker{ID: "w1", Model: "m"}})
	e.allReady("h1")
	run, late, left := submission("run", "m"), submission("late", "m"), submission("left", "m")
	run.Job.IdempotencyKey, run.Job.Detached = "k", true
	late.Within = 42 * time.Second
	left.Job.Holders[0].Queen = "gone"
	p := e.plan(Request{Submit: run}, Request{Submit: late}, Request{Submit: left})
	e.apply(p)
	ended := map[string]time.Duration{}
	plans := 0
	for ; p.Wake != 0; plans++ {
		if plans > 200 {
			t.Fatalf("wakes for ever: now %v, next %v", e.now, p.Wake)
		}
		e.now = p.Wake
		p = e.plan()
		e.apply(p)
		for p.More {
			p = e.plan()
			e.apply(p)
		}
		for _, id := range []string{"run", "late", "left"} {
			if j, ok := e.view.Job(id); ok && j.State.Ended() && ended[id] == 0 {
				ended[id] = j.Ended
			}
		}
		if e.now > time.Minute { // the detached one waits for a hive that never comes back
			if j, ok := e.view.Job("run"); ok && j.State == fsm.JobQueued {
				e.do(Request{Cancel: &Cancel{Job: "run"}})
			}
		}
	}
	// The hive is lost after 10 s; left's queen is gone after 5 s and has 10 s of grace.
	if ended["late"] != 42*time.Second || ended["left"].Round(time.Millisecond) != 15*time.Second || ended["run"] < time.Minute {
		t.Errorf("ended at %v", ended)
	}
	if n := e.view.Counts().Ended; n != 0 {
		t.Errorf("%d jobs are kept for ever", n)
	}
	if _, ok := e.view.Worker("w1"); ok {
		t.Error("the worker is kept for ever")
	}
	if _, ok := e.view.Idempotency("t1", "k"); ok {
		t.Error("the key is kept for ever")
	}
	t.Logf("%d plans in %v", plans, e.now)
}
