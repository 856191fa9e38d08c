package agent

import (
	"testing"

	"queen-rbee/hives"
	"queen-rbee/hives/agent/agenttest"
	"queen-rbee/hives/engine"
)

// What a worker's supervisor knows of its engine is what the queens are told.
func TestAHeartbeatTellsWhatIsKnownOfAnEngine(t *testing.T) {
	r := newRig(t)
	r.spawn("w1", 2)
	r.worker("w1").set(engine.Snapshot{State: hives.WorkerLoading, Generation: 1, Detail: "offloading 33 layers"})
	r.queen.Await(t, "what it said last", func(hb *hives.Heartbeat) bool {
		return len(hb.Workers) == 1 && hb.Workers[0].Detail == "offloading 33 layers"
	})
	r.worker("w1").set(engine.Snapshot{State: hives.WorkerReady, Generation: 1, Slots: 2, Context: 4096, Port: 1})
	r.queen.Await(t, "its context", func(hb *hives.Heartbeat) bool { return hb.Workers[0].Context == 4096 && hb.Workers[0].Detail == "" })
	r.worker("w1").set(engine.Snapshot{State: hives.WorkerSpawning, Generation: 1, Error: "too large", Code: hives.CodeOutOfMemory})
	r.queen.Await(t, "why it failed", func(hb *hives.Heartbeat) bool {
		return hb.Workers[0].Code == hives.CodeOutOfMemory && hb.Workers[0].Error == "too large"
	})
}

// A server that others run may have left: whoever looks after it is told when a stream of it
// breaks off, and only then.
func TestAStreamThatBreaksOffIsADoubt(t *testing.T) {
	r := newRig(t)
	r.spawn("w1", 2)
	r.list("whole", "w1", "a b", nil)
	r.queen.Await(t, "its end", func(hb *hives.Heartbeat) bool { return agenttest.Ended(hb, "whole") != nil })
	if n := r.worker("w1").doubts.Load(); n != 0 {
		t.Fatalf("doubted %d times", n)
	}
	r.list("broken", "w1", "a break", nil)
	r.queen.Await(t, "its end", func(hb *hives.Heartbeat) bool { return agenttest.Ended(hb, "broken") != nil })
	if n := r.worker("w1").doubts.Load(); n != 1 {
		t.Fatalf("doubted %d times", n)
	}
}
