package schedule

import (
	"fmt"
	"testing"

	"queen-rbee/fsm"
)

// twoHives is a world where big, the only hive with the label gpu=big, is busy, and small has
// a free slot.
func twoHives(t *testing.T) *env {
	e := born(t)
	e.lim.WorkersPerModel = 2
	e.hive("big", "b1", 10, model("m", 1, 1))
	e.hive("small", "b1", 10, model("m", 1, 1))
	facts := fsm.HiveFacts{URL: "http://big", Devices: []fsm.Device{{ID: "gpu0", Total: 10}},
		Models: []fsm.EngineModel{model("m", 1, 1)}, Labels: big}
	e.do(Request{Register: &Register{ID: "big", Boot: "b1", Facts: facts}})
	e.do(Request{SpawnWorker: &SpawnWorker{ID: "w-big", Model: "m", Hive: "big"}}, Request{SpawnWorker: &SpawnWorker{ID: "w-small", Model: "m", Hive: "small"}})
	e.allReady("big")
	e.allReady("small")
	e.do(wanting("first", big))
	return e
}

var big = []fsm.Label{{Key: "gpu", Value: "big"}}

func wanting(id string, labels []fsm.Label) Request {
	s := submission(id, "m")
	s.Job.Labels = labels
	return Request{Submit: s}
}

func (e *env) runs(id string) bool {
	j, ok := e.view.Job(id)
	return ok && j.State == fsm.JobRunning
}

// TestOneConstraintHoldsNobodyUp: however many jobs wait for one busy hive, those behind them
// that other hives may run are served.
func TestOneConstraintHoldsNobodyUp(t *testing.T) {
	e := twoHives(t)
	for i := range 10 * lookahead {
		e.do(wanting(fmt.Sprintf("j%04d", i), big))
	}
	pinned := submission("pinned", "m")
	pinned.Job.Pin = "small"
	e.do(Request{Submit: pinned})
	if !e.runs("pinned") {
		t.Error("a pinned job waits behind jobs that ask for another hive")
	}
	e.do(Request{Finished: &Finished{Job: "pinned", Attempt: 1, Outcome: fsm.JobComplete}}, Request{Submit: submission("free", "m")})
	if !e.runs("free") {
		t.Error("a job for any hive waits behind jobs that ask for another hive")
	}
	e.do(Request{Finished: &Finished{Job: "first", Attempt: 1, Outcome: fsm.JobComplete}})
	if !e.runs("j0000") || e.runs("j0001") {
		t.Error("the first of those that wait for the hive is not its next")
	}
}

// TestManyConstraintsHoldNoFreeJobUp: past the lookahead only jobs that ask nothing are
// looked at, and those always are.
func TestManyConstraintsHoldNoFreeJobUp(t *testing.T) {
	for _, n := range []int{lookahead - 1, lookahead, 3 * lookahead} {
		e := twoHives(t)
		facts := fsm.HiveFacts{URL: "http://big", Devices: []fsm.Device{{ID: "gpu0", Total: 10}}, Models: []fsm.EngineModel{model("m", 1, 1)}, Labels: big}
		for i := range n {
			facts.Labels = append(facts.Labels, fsm.Label{Key: fmt.Sprintf("k%03d", i)})
		}
		facts.Labels = facts.Labels[:min(len(facts.Labels), fsm.MaxLabels)]
		e.do(Request{Register: &Register{ID: "big", Boot: "b1", Facts: facts}})
		for i := range n { // pairs of labels are as many constraints as are needed
			e.do(wanting(fmt.Sprintf("j%04d", i), []fsm.Label{facts.Labels[i%128], facts.Labels[(i%128+i/128+1)%128]}))
		}
		pinned := submission("pinned", "m")
		pinned.Job.Pin = "small"
		e.do(Request{Submit: pinned})
		if looked := n < lookahead; e.runs("pinned") != looked {
			t.Errorf("behind %d constraints: a pinned job runs: %v, want %v", n, e.runs("pinned"), looked)
		}
		if !e.runs("pinned") {
			e.do(Request{Submit: submission("free", "m")})
			if !e.runs("free") {
				t.Errorf("behind %d constraints: a job for any hive waits", n)
			}
		}
	}
}
