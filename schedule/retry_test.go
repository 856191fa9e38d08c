package schedule

import (
	"strings"
	"testing"
	"time"

	"queen-rbee/fsm"
)

// TestSettle goes through the rules of retry: what a hive's record, or the lack of one,
// makes of a running job.
func TestSettle(t *testing.T) {
	for _, c := range []struct {
		name string
		job  fsm.Job
		rec  Finished
		want string // code of the failure, or the state; "again" and "again uncounted" for a retry
	}{
		{"complete", fsm.Job{}, Finished{Outcome: fsm.JobComplete}, "complete"},
		{"complete though cancelled", fsm.Job{Ending: fsm.EndCancelled}, Finished{Outcome: fsm.JobComplete}, "complete"},
		{"cancelled", fsm.Job{}, Finished{Outcome: fsm.JobCancelled}, "cancelled"},
		{"cancelled, ended otherwise", fsm.Job{Ending: fsm.EndCancelled}, failure("worker_died"), "cancelled"},
		{"deadline, reported as cancelled", fsm.Job{Ending: fsm.EndDeadline}, Finished{Outcome: fsm.JobCancelled}, "deadline_exceeded"},
		{"drained by wish", fsm.Job{Ending: fsm.EndDrained}, failure("drained"), "again uncounted"},
		{"drained by wish, its worker ended first", fsm.Job{Ending: fsm.EndDrained}, failure("worker_gone"), "again uncounted"},
		{"drained by wish, hive lost", fsm.Job{Ending: fsm.EndDrained}, failure(lostHive), "again uncounted"},
		{"drained by wish after delivery", fsm.Job{Ending: fsm.EndDrained, Delivered: true}, failure("drained"), "drained"},
		{"drained by wish after delivery, restart", fsm.Job{Ending: fsm.EndDrained, Delivered: true, OnLoss: fsm.LossRestart}, failure("drained"), "again"},
		{"drained by wish, complete", fsm.Job{Ending: fsm.EndDrained}, Finished{Outcome: fsm.JobComplete}, "complete"},
		{"drained by wish, its client gone", fsm.Job{Ending: fsm.EndDrained}, Finished{Outcome: fsm.JobCancelled}, "cancelled"},
		{"drained by wish, the engine's own 4xx", fsm.Job{Ending: fsm.EndDrained}, failure("invalid_request"), "invalid_request"},
		{"drained by wish, attempts used up", fsm.Job{Ending: fsm.EndDrained, Attempt: 5}, failure("drained"), "drained"},
		{"drained by itself", fsm.Job{}, failure("drained"), "again uncounted"},
		{"agent restarted", fsm.Job{}, failure("agent_restarted"), "again uncounted"},
		{"agent restarted after delivery", fsm.Job{Delivered: true}, failure("agent_restarted"), "worker_failed"},
		{"agent restarted after delivery, restart", fsm.Job{Delivered: true, OnLoss: fsm.LossRestart}, failure("agent_restarted"), "again"},
		{"hive lost", fsm.Job{}, failure(lostHive), "again uncounted"},
		{"run missing", fsm.Job{}, failure(lostRun), "again uncounted"},
		{"worker died", fsm.Job{}, failure("worker_died"), "again"},
		{"worker gone", fsm.Job{}, failure("worker_gone"), "again"},
		{"engine busy", fsm.Job{}, failure("engine_busy"), "again"},
		{"engine's own 4xx", fsm.Job{}, failure("invalid_request"), "invalid_request"},
		{"output too large", fsm.Job{}, failure("output_too_large"), "worker_failed"},
		{"deadline by the hive's clock", fsm.Job{}, failure("deadline_exceeded"), "deadline_exceeded"},
		{"no reason", fsm.Job{}, Finished{Outcome: fsm.JobFailed}, "again"},
		{"started record only", fsm.Job{}, Finished{Outcome: fsm.JobFailed, Events: 1, Failure: &fsm.Failure{Code: "worker_died"}}, "again"},
		{"two records", fsm.Job{}, Finished{Outcome: fsm.JobFailed, Events: 2, Failure: &fsm.Failure{Code: "worker_died"}}, "worker_failed"},
		{"one token", fsm.Job{}, Finished{Outcome: fsm.JobFailed, Usage: fsm.Usage{Completion: 1}, Failure: &fsm.Failure{Code: "worker_died"}}, "worker_failed"},
		{"retries used up", fsm.Job{Retries: 2}, failure("worker_died"), "worker_failed"},
		{"retries used up, uncounted", fsm.Job{Retries: 2}, failure("agent_restarted"), "again uncounted"},
		{"attempts used up", fsm.Job{Attempt: 5}, failure("agent_restarted"), "worker_failed"},
		{"first attempt after a recovery", fsm.Job{Attempt: fsm.RaisedAttempts + 1}, failure("agent_restarted"), "again uncounted"},
		{"attempts used up after a recovery", fsm.Job{Attempt: fsm.RaisedAttempts + 5}, failure("agent_restarted"), "worker_failed"},
		{"past its deadline", fsm.Job{Deadline: time.Nanosecond}, failure("worker_died"), "deadline_exceeded"},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := born(t)
			e.now = time.Minute
			p := &planner{draft: newDraft(e.world(), e.now)}
			j := c.job
			j.ID, j.State = "j1", fsm.JobRunning
			j.Attempt = max(j.Attempt, 1)
			if j.OnLoss == 0 {
				j.OnLoss = fsm.LossFail
			}
			p.settle(&j, &c.rec)
			if len(p.steps) != 1 {
				t.Fatalf("%d commands", len(p.steps))
			}
			if got := settled(p.steps[0].cmd); got != c.want {
				t.Fatalf("want %s, got %s (%s)", c.want, got, say(p.steps[0].cmd))
			}
		})
	}
}

func failure(code string) Finished {
	return Finished{Outcome: fsm.JobFailed, Failure: &fsm.Failure{Code: code, Message: "x"}}
}

func settled(c fsm.Command) string {
	switch c := c.(type) {
	case *fsm.Requeue:
		if c.Counted {
			return "again"
		}
		return "again uncounted"
	case *fsm.EndJob:
		if c.State == fsm.JobFailed {
			return c.Failure.Code
		}
		return c.State.String()
	}
	return say(c)
}

// TestNoBackoff: without a backoff a lost job is assigned again in the same batch.
func TestNoBackoff(t *testing.T) {
	e := born(t)
	e.lim.Backoff, e.lim.BackoffMax = 0, 0
	e.hive("h1", "b1", 10, model("m", 1, 1))
	e.do(Request{SpawnWorker: &SpawnWorker{ID: "w1", Model: "m"}})
	e.allReady("h1")
	e.do(Request{Submit: submission("j1", "m")})
	f := failure("worker_died")
	f.Job, f.Attempt = "j1", 1
	e.do(Request{Finished: &f})
	if j, ok := e.view.Job("j1"); !ok || j.State != fsm.JobRunning || j.Attempt != 2 {
		t.Fatalf("%s", sayJob(j))
	}
}

func TestDoubled(t *testing.T) {
	for _, c := range []struct {
		times uint32
		want  time.Duration
	}{{0, time.Minute}, {1, 2 * time.Minute}, {4, 16 * time.Minute}, {5, 16 * time.Minute}, {1 << 31, 16 * time.Minute}} {
		if got := doubled(time.Minute, c.times, 16*time.Minute); got != c.want {
			t.Errorf("%d times: want %v, got %v", c.times, c.want, got)
		}
	}
}

func TestClip(t *testing.T) {
	for _, c := range []struct {
		in   string
		most int
		want string
	}{{"abc", 3, "abc"}, {"abcd", 3, "abc"}, {"aé", 2, "a"}, {"é", 1, ""}} {
		if got := clip(c.in, c.most); got != c.want {
			t.Errorf("clip(%q, %d) = %q, want %q", c.in, c.most, got, c.want)
		}
	}
	if got := clipped(&fsm.Failure{Code: "c", Message: strings.Repeat("x", 1<<20)}); len(got.Message) != maxMessage {
		t.Errorf("a message of %d bytes", len(got.Message))
	}
}
