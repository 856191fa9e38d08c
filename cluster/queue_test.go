package cluster

import (
	"testing"

	"queen-rbee/fsm"
	"queen-rbee/schedule"
)

func TestQueueKeepsAShareForWhatFreesSlots(t *testing.T) {
	b := DefaultBounds()
	b.Queue, b.Reserved, b.Batch = 10, 4, 8
	q := newQueue(b)
	tick := schedule.Request{Tick: &schedule.Tick{}}
	put := func(r schedule.Request) *fsm.Error {
		_, err := q.put(&ask{request: r})
		return err
	}
	for i := range 6 {
		if err := put(putKey(i)); err != nil {
			t.Fatalf("client's request %d: %v", i, err)
		}
	}
	if err := put(putKey(6)); err == nil || err.Code != fsm.CodeAtCapacity || err.RetryAfter == 0 {
		t.Errorf("over the clients' share: %v", err)
	}
	for i := range 4 {
		if err := put(tick); err != nil {
			t.Errorf("reserved %d: %v", i, err)
		}
	}
	if err := put(tick); err == nil {
		t.Error("the queue has no end")
	}
	taken := q.take()
	clients := 0
	for _, a := range taken {
		if !a.frees {
			clients++
		}
	}
	if len(taken) != 8 || clients != 4 {
		t.Errorf("took %d with %d of clients; want all 4 that free slots and 4 of clients", len(taken), clients)
	}
}

func bodyOf(size int) schedule.Request {
	return schedule.Request{Submit: &schedule.Submit{Job: fsm.Job{Body: fsm.Body{Data: make([]byte, size)}}}}
}

func TestQueueIsBoundedInBytes(t *testing.T) {
	b := DefaultBounds()
	b.QueueBytes, b.BatchBytes = 4<<20, 1<<20 // of which clients get 3
	q := newQueue(b)
	for i, size := range []int{600 << 10, 600 << 10, 1500 << 10} {
		if _, err := q.put(&ask{request: bodyOf(size)}); err != nil {
			t.Fatalf("body %d: %v", i, err)
		}
	}
	if _, err := q.put(&ask{request: bodyOf(1 << 20)}); err == nil {
		t.Error("more bytes wait than may")
	}
	for i, want := range []int{1, 1, 1} { // no two fit into a batch, and the large one goes alone
		if got := len(q.take()); got != want {
			t.Errorf("batch %d has %d", i, got)
		}
	}
	if q.rest.bytes != 0 {
		t.Errorf("%d bytes are counted in an empty queue", q.rest.bytes)
	}
}

// beatOf is a heartbeat of about so many bytes.
func beatOf(size int) schedule.Request {
	return schedule.Request{Beat: &schedule.Beat{Runs: make([]schedule.BeatRun, size/128)}}
}

func TestAFloodOfBodiesDoesNotRefuseWhatFreesSlots(t *testing.T) {
	b := DefaultBounds()
	b.QueueBytes = 4 << 20
	q := newQueue(b)
	for {
		if _, err := q.put(&ask{request: bodyOf(100 << 10)}); err != nil {
			break
		}
	}
	if _, err := q.put(&ask{request: bodyOf(1)}); err != nil {
		t.Errorf("a small body in what is left of the clients' share: %v", err)
	}
	for i := range 9 {
		if _, err := q.put(&ask{request: beatOf(100 << 10)}); err != nil {
			t.Fatalf("heartbeat %d: %v", i, err)
		}
	}
	if got := q.free.bytes + q.rest.bytes; got > 4<<20 {
		t.Errorf("%d bytes wait", got)
	}
	for {
		if _, err := q.put(&ask{request: beatOf(100 << 10)}); err != nil {
			break
		}
	}
	if got := q.free.bytes + q.rest.bytes; got > 4<<20 {
		t.Errorf("%d bytes wait", got)
	}
}

// TestABodyOfAnySizeGoesWhileFinishesKeepComing has new ones in every plan.
func TestABodyOfAnySizeGoesWhileFinishesKeepComing(t *testing.T) {
	for name, tc := range map[string]struct {
		batch, beats, beat int // beats of so many bytes come before each plan
		bodies             []int
	}{
		"larger than a batch":                {1024, 1, 128, []int{2 << 20, 10}},
		"larger than what is left":           {1024, 3, 100 << 10, []int{1<<20 - 600, 2 << 20, 10}},
		"small, and more finishes than fit":  {1024, 20, 100 << 10, []int{10, 10, 10, 10}},
		"large, and more finishes than fit":  {1024, 20, 100 << 10, []int{500 << 10, 3 << 20, 700 << 10}},
		"a plan of one request":              {1, 2, 128, []int{10, 10}},
		"a plan of two, and the large first": {2, 2, 128, []int{2 << 20, 10, 10}},
	} {
		t.Run(name, func(t *testing.T) {
			b := DefaultBounds()
			b.Batch = tc.batch
			q := newQueue(b)
			for _, size := range tc.bodies {
				if _, err := q.put(&ask{request: bodyOf(size)}); err != nil {
					t.Fatal(err)
				}
			}
			clients, free := 0, 0
			for range 2*len(tc.bodies) + 1 {
				for range tc.beats {
					_, _ = q.put(&ask{request: beatOf(tc.beat)})
				}
				size, taken := 0, q.take()
				for _, a := range taken {
					size += a.size
					if a.frees {
						free++
					} else {
						clients++
					}
				}
				if len(taken) == 0 || len(taken) > b.Batch || size > b.BatchBytes && len(taken) > 1 {
					t.Errorf("a plan of %d requests and %d bytes", len(taken), size)
				}
			}
			if clients != len(tc.bodies) {
				t.Errorf("%d of %d bodies were taken", clients, len(tc.bodies))
			}
			if free < len(tc.bodies) {
				t.Errorf("only %d finishes were taken beside them", free)
			}
		})
	}
}
