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

func TestQueueIsBoundedInBytes(t *testing.T) {
	b := DefaultBounds()
	b.QueueBytes, b.BatchBytes = 3<<20, 1<<20
	q := newQueue(b)
	submit := func(size int) schedule.Request {
		return schedule.Request{Submit: &schedule.Submit{Job: fsm.Job{Body: fsm.Body{Data: make([]byte, size)}}}}
	}
	for i, size := range []int{600 << 10, 600 << 10, 1500 << 10} {
		if _, err := q.put(&ask{request: submit(size)}); err != nil {
			t.Fatalf("body %d: %v", i, err)
		}
	}
	if _, err := q.put(&ask{request: submit(1 << 20)}); err == nil {
		t.Error("more bytes wait than may")
	}
	for i, want := range []int{1, 1, 1} { // no two fit into a batch, and the large one goes alone
		if got := len(q.take()); got != want {
			t.Errorf("batch %d has %d", i, got)
		}
	}
	if q.bytes != 0 {
		t.Errorf("%d bytes are counted in an empty queue", q.bytes)
	}
}
