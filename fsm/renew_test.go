package fsm

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

// TestRenewGivesEverythingALifeOfItsOwn renews a state with jobs in every situation.
func TestRenewGivesEverythingALifeOfItsOwn(t *testing.T) {
	w := newWorld(t)
	put := func(id string, role Role) Command {
		return &PutQueen{Queen{ID: id, Boot: "b", Role: role, HTTP: "http://h", Raft: "h:1", Gossip: "h:2", Level: 1}}
	}
	w.do(put("q1", RoleVoter), put("q2", RoleRelay), put("q3", RoleVoter))
	submit := func(n int, change func(*Job)) string {
		c := w.job(n)
		if change != nil {
			change(&c.Job)
		}
		w.do(c)
		return c.Job.ID
	}
	run := func(n int, change func(*Job), more ...Command) string {
		id := submit(n, change)
		w.do(append([]Command{&Assign{Job: id, Worker: "w1", Attempt: 1}}, more...)...)
		return id
	}
	alone := func(j *Job) { j.Holders, j.Grace = nil, 10*time.Second }
	fail := func(j *Job) { j.OnLoss = LossFail }
	ended := run(0, nil, &EndJob{Job: jobID(0), Attempt: 1, State: JobComplete})
	queued := submit(1, nil)
	fresh := run(2, alone)
	again := run(3, func(j *Job) { j.OnLoss = LossRestart }, &Started{Job: jobID(3), Attempt: 1})
	delivered := run(4, fail, &Started{Job: jobID(4), Attempt: 1})
	cancelled := run(5, nil, &WishEnd{Job: jobID(5), Reason: EndCancelled})
	late := run(6, nil, &WishEnd{Job: jobID(6), Reason: EndDeadline})

	was := w.View()
	done, err := w.Renew(Renewal{ClusterID: "c2", Epoch: Epoch{7}, Queen: "q2"})
	if err != nil {
		t.Fatal(err)
	}
	if want := (Renewed{Queued: 1, Requeued: 2, Failed: 2, Ended: 1}); done != want {
		t.Errorf("it says %+v, want %+v", done, want)
	}
	v := w.View()
	if m := v.Meta(); m.ClusterID != "c2" || m.Epoch != (Epoch{7}) || m.Index != was.Meta().Index+RaisedIndex || m.Now != was.Meta().Now {
		t.Errorf("meta is %+v after %+v", m, was.Meta())
	}
	if q, ok := v.Queen("q2"); !ok || q.Role != RoleVoter || v.queens.len() != 1 {
		t.Errorf("the queens are not q2 alone, as a voter: %+v of %d", q, v.queens.len())
	}
	for id, want := range map[string]struct {
		state   JobState
		attempt uint32
	}{
		ended: {JobComplete, 1}, queued: {JobQueued, RaisedAttempts}, fresh: {JobQueued, RaisedAttempts + 1},
		again: {JobQueued, RaisedAttempts + 1}, delivered: {JobFailed, 1}, cancelled: {JobCancelled, 1}, late: {JobFailed, 1},
	} {
		j, _ := v.Job(id)
		if j.State != want.state || j.Attempt != want.attempt || j.State == JobQueued && len(j.Body.Data) == 0 {
			t.Errorf("job %s is %s at attempt %d with %d bytes of body, want %s at %d", id, j.State, j.Attempt, len(j.Body.Data), want.state, want.attempt)
		}
		if last := j.History[len(j.History)-1]; j.State == JobQueued && (last.Kind != "retry" || !strings.HasPrefix(last.Detail, CodeRecovered)) {
			t.Errorf("the history of job %s ends with %+v", id, last)
		}
	}
	if j, _ := v.Job(fresh); j.AbandonAt == 0 {
		t.Error("an attached job that nobody holds waits for ever")
	}
	if h, _ := v.Hive("h1"); h.Changed != v.Meta().Index {
		t.Error("the hive is not told that its runs are over")
	}
	if err := checkState(v); err != nil {
		t.Error(err)
	}
	var kept bytes.Buffer
	if err := Snapshot(v, &kept); err != nil {
		t.Fatal(err)
	}
	if back, err := Restore(&kept); err != nil || back.View().Hash() != v.Hash() {
		t.Errorf("the renewed state does not survive a snapshot: %v", err)
	}
	if out := w.Apply(&Batch{Base: was.Meta().Index, Epoch: was.Meta().Epoch, Now: v.Meta().Now, Level: 1}); out.Refused == nil || out.Refused.Code != CodeStale {
		t.Errorf("a batch of the life before: %+v", out)
	}
	w.do(&Assign{Job: queued, Worker: "w1", Attempt: RaisedAttempts + 1})
}

func TestRenewRefuses(t *testing.T) {
	whole := Renewal{ClusterID: "c2", Epoch: Epoch{7}, Queen: "q1"}
	if _, err := New().Renew(whole); err == nil || err.Code != CodeConflict {
		t.Errorf("a blank state: %v", err)
	}
	w := newWorld(t)
	for _, r := range []Renewal{{Epoch: Epoch{7}, Queen: "q1"}, {ClusterID: "c2", Queen: "q1"}, {ClusterID: "c2", Epoch: testEpoch, Queen: "q1"}} {
		if _, err := w.Renew(r); err == nil || err.Code != CodeInvalid {
			t.Errorf("%+v: %v", r, err)
		}
	}
	if w.View().Meta().Index != 2 {
		t.Error("a refused renewal has changed the state")
	}
}
