package schedule

import (
	"fmt"
	"testing"
	"time"

	"queen-rbee/fsm"
)

// sessions is four workers of two slots, each on a hive of its own.
func sessions(t *testing.T) *env {
	e := born(t)
	for i := range 4 {
		id := fmt.Sprintf("h%d", i)
		e.hive(id, "boot"+id, 8, model("m", 8, 2))
		e.ask(Request{SpawnWorker: &SpawnWorker{ID: "w" + id, Model: "m", Hive: id}})
		e.allReady(id)
	}
	return e
}

// run gives one job of a session to a worker and says to which.
func (e *env) run(id, session string) string {
	s := submission(id, "m")
	s.Job.Session = session
	a := e.ask(Request{Submit: s})
	if a.Assigned == nil {
		e.t.Fatalf("%s was not assigned: %+v", id, a)
	}
	return a.Assigned.Worker
}

func (e *env) done(id string) {
	j, _ := e.view.Job(id)
	e.ask(Request{Finished: &Finished{Job: id, Attempt: j.Attempt, Outcome: fsm.JobComplete}})
	e.now += time.Second
}

// TestSessionStaysOnItsWorker: one after the other they run where the first did, although
// that worker is never the one used longest ago; and sessions are spread.
func TestSessionStaysOnItsWorker(t *testing.T) {
	e := sessions(t)
	used := map[string]bool{}
	for s := range 16 {
		session, first := fmt.Sprintf("s%d", s), ""
		for i := range 4 {
			id := fmt.Sprintf("%s-%d", session, i)
			w := e.run(id, session)
			if first == "" {
				first = w
			}
			if w != first {
				t.Errorf("session %s: job %d on %s, the first on %s", session, i, w, first)
			}
			e.done(id)
		}
		used[first] = true
	}
	if len(used) < 3 {
		t.Errorf("16 sessions on %d of 4 workers", len(used))
	}
}

// TestSessionOverflows: when its worker is full a session's job runs elsewhere at once.
func TestSessionOverflows(t *testing.T) {
	e := sessions(t)
	a, b, c := e.run("a", "s"), e.run("b", "s"), e.run("c", "s")
	if a != b || c == a {
		t.Errorf("jobs on %s, %s and %s; the first two fill their worker", a, b, c)
	}
}
