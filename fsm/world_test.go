package fsm

import (
	"fmt"
	"testing"
	"time"
)

// world is a state with a ready worker of many slots, and the shortest way to feed it.
type world struct {
	tb testing.TB
	*State
}

func newWorld(tb testing.TB) *world {
	w := &world{tb, New()}
	w.do(&Genesis{ClusterID: "c1", Epoch: testEpoch, Level: 1, AdminKey: hash32(1)})
	w.do(
		&RegisterHive{ID: "h1", Boot: "b1", Incarnation: 1, Mode: "network", Facts: sampleFacts()},
		&Spawn{ID: "w1", Hive: "h1", Device: "gpu0", Model: "m", Engine: "e", Slots: MaxSlots},
		&SetWorkerState{ID: "w1", State: WorkerReady},
	)
	return w
}

// do applies commands as one batch, all of which must succeed.
func (w *world) do(cmds ...Command) Outcome {
	w.tb.Helper()
	now := w.meta.Now + time.Millisecond
	out := w.Apply(&Batch{Base: w.meta.Index, Epoch: w.meta.Epoch, Now: now, Wall: now.Milliseconds(), Level: 1, Commands: cmds})
	if out.Refused != nil {
		w.tb.Fatal(out.Refused)
	}
	for i, err := range out.Errs {
		if err != nil {
			w.tb.Fatalf("%s: %v", cmds[i].number(), err)
		}
	}
	return out
}

func jobID(n int) string { return fmt.Sprintf("01J%023d", n) }

// job is a submission as a client would make it, with a body of its own.
func (w *world) job(n int) *Submit {
	body := fmt.Appendf(nil, `{"prompt":"number %d"}`, n)
	return &Submit{Job: Job{
		ID: jobID(n), Tenant: fmt.Sprint("tenant-", n%7), Model: "m", API: "openai", Path: "/v1/chat/completions",
		Priority: PriorityInteractive, Rank: w.meta.Now, Deadline: time.Hour + Time(n),
		Holders: []Holder{{"queen-1", "01JBOOT"}}, RequestHash: hash32(byte(n)),
		Body: Body{Data: body, Size: uint32(len(body))},
	}}
}

// fill has n jobs: most are queued, every fifth runs, every seventh of those has ended.
func (w *world) fill(n int) {
	for i := range n {
		cmds := []Command{w.job(i)}
		if i%5 == 0 {
			cmds = append(cmds, &Assign{Job: jobID(i), Worker: "w1", Attempt: 1})
		}
		if i%35 == 0 {
			cmds = append(cmds, &EndJob{Job: jobID(i), Attempt: 1, State: JobComplete, Events: 3, Usage: Usage{1, 2}})
		}
		w.do(cmds...)
	}
}
