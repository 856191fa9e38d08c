package agent

import (
	"net/http/httptest"
	"slices"
	"testing"

	"queen-rbee/hives"
	"queen-rbee/hives/agent/agenttest"
	"queen-rbee/hives/engine/enginetest"
)

// keeping has the rig's worker be an engine with a replay buffer.
func keeping(t *testing.T, slots int) (*rig, *enginetest.Llama) {
	r := newRig(t)
	r.engine.server.Close()
	l := &enginetest.Llama{Slots: slots}
	r.engine.server = httptest.NewServer(l)
	r.spawn("w1", slots)
	w := r.worker("w1")
	s := w.State()
	s.Replay = true
	w.set(s)
	t.Cleanup(func() { l.Step(1000) })
	return r, l
}

func (r *rig) chat(job string, tokens string) hives.Execute {
	e := r.bell(job, "")
	e.Path, e.Body, e.Follow = "/v1/chat/completions", []byte(`{"max_tokens":`+tokens+`}`), false
	return e
}

// ring starts a run without reading it.
func (r *rig) ring(e hives.Execute) {
	r.t.Helper()
	if status, text := r.ask("POST", "/w/w1/v1/execute", e); status != 202 {
		r.t.Fatalf("%d %s", status, text)
	}
}

// A run that nobody wants any more is ended in an engine that would go on without its reader,
// and its slot is given on only when the engine's own slots show it free.
func TestCancelWaitsForTheEnginesSlot(t *testing.T) {
	r, l := keeping(t, 1)
	r.ring(r.chat("j1", "9"))
	l.Step(1)
	r.reaches("j1", 2)
	r.ring(r.chat("j2", "1"))
	r.ask("DELETE", "/w/w1/v1/execute/j1?attempt=1", nil)
	agenttest.Eventually(t, "the engine is told", func() bool { return slices.Contains(l.Ended(), "j1.1") })
	if busy := r.tableWorker("w1").slots.inUse(); busy != 1 || l.Busy() != 1 {
		t.Errorf("the slot is given on at its word: %d in use, %d busy", busy, l.Busy())
	}
	l.Step(2) // the first notices, the second says its token
	hb := r.queen.Await(t, "both ended", func(hb *hives.Heartbeat) bool {
		return agenttest.Ended(hb, "j1") != nil && agenttest.Ended(hb, "j2") != nil
	})
	if one, two := agenttest.Ended(&hb, "j1"), agenttest.Ended(&hb, "j2"); one.Outcome != hives.Cancelled || two.Outcome != hives.Complete {
		t.Errorf("%+v %+v", one, two)
	}
}

// What has ended by itself is not kept in the engine.
func TestEndedStreamsAreForgotten(t *testing.T) {
	r, l := keeping(t, 2)
	l.Step(3)
	r.ring(r.chat("j1", "3"))
	r.queen.Await(t, "ended", func(hb *hives.Heartbeat) bool { return agenttest.Ended(hb, "j1") != nil })
	agenttest.Eventually(t, "forgotten", func() bool { return slices.Contains(l.Ended(), "j1.1") && l.Kept("j1.1") == 0 })
}
