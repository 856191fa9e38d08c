package cluster

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"queen-rbee/fsm"
	"queen-rbee/schedule"
)

// TestFullIsSaidOnlyOfWhatWasNeverSent has a leader lose a batch in flight, and the next one
// without room for a while.
func TestFullIsSaidOnlyOfWhatWasNeverSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lost := newFakeRaft(t)
		lost.fails = func(int, []byte) (fate, error) { return unknown, raft.ErrLeadershipLost }
		first := newTestProposer(lost)
		_, endFirst := running(t, first)
		next := newTestProposer(newFakeRaft(t))
		next.bounds.Queue, next.bounds.Reserved = 2, 1
		next.queue = newQueue(next.bounds)
		next.submit(&ask{request: putKey(7), reply: func(result) {}})

		leaders := make(chan *leadership, 1)
		leaders <- &leadership{ctx: t.Context(), proposer: first}
		var asked atomic.Int32
		f := &forwarder{park: 10 * time.Second, now: time.Now, board: newBoard(time.Now), closed: make(chan struct{}), leader: func() *leadership {
			select {
			case l := <-leaders:
				return l
			default:
				asked.Add(1)
				return &leadership{ctx: t.Context(), proposer: next}
			}
		}}
		f.board.set("queen-2", "addr", 2)
		_, err := f.send(t.Context(), wireCall{Request: ptr(putKey(1))}, true)
		if asError(err).Code != fsm.CodeUnknownOutcome || asked.Load() < 2 {
			t.Errorf("a request that an earlier leader may have accepted: %v after %d more tries", err, asked.Load())
		}
		began := time.Now()
		_, err = f.send(t.Context(), wireCall{Request: ptr(putKey(2))}, true)
		if asError(err).Code != fsm.CodeAtCapacity || asError(err).RetryAfter == 0 || time.Since(began) != 0 {
			t.Errorf("a request that was never sent: %v after %v", err, time.Since(began))
		}

		leaders <- &leadership{ctx: t.Context(), proposer: first} // its loop is over: refused, not lost
		_, err = f.send(t.Context(), wireCall{Request: ptr(putKey(3))}, true)
		if asError(err).Code != fsm.CodeAtCapacity {
			t.Errorf("a request that was refused before: %v", err)
		}
		_ = endFirst()
	})
}

// TestARefusedRetryIsNoRefusal has a leader lose a batch in flight, and the next one refuse
// what was in it: an entry of the first may still come.
func TestARefusedRetryIsNoRefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lost := newFakeRaft(t)
		lost.fails = func(int, []byte) (fate, error) { return unknown, raft.ErrLeadershipLost }
		first := newTestProposer(lost)
		first.plan = func(w schedule.World, reqs []schedule.Request, now fsm.Time, wall fsm.Millis) schedule.Planned {
			p := planKeys(w, reqs, now, wall)
			p.Batch.Commands = append(p.Batch.Commands, &fsm.PutKey{Key: putKey(1).PutKey.Key})
			return p
		}
		_, endFirst := running(t, first)
		next := newTestProposer(newFakeRaft(t))
		next.plan = func(w schedule.World, reqs []schedule.Request, now fsm.Time, wall fsm.Millis) schedule.Planned {
			p := planKeys(w, reqs, now, wall)
			for i := range p.Answers {
				p.Answers[i].Err = fsm.Errorf(fsm.CodeAtCapacity, "no room")
			}
			return p
		}
		_, endNext := running(t, next)
		leaders := make(chan *leadership, 2)
		f := &forwarder{park: 10 * time.Second, now: time.Now, board: newBoard(time.Now), closed: make(chan struct{}), leader: func() *leadership {
			return <-leaders
		}}
		f.board.set("queen-2", "addr", 1)
		job := wireCall{Request: &schedule.Request{Submit: &schedule.Submit{Job: fsm.Job{ID: "j"}}}}
		leaders <- &leadership{ctx: t.Context(), proposer: first}
		leaders <- &leadership{ctx: t.Context(), proposer: next}
		if _, err := f.send(t.Context(), job, true); asError(err).Code != fsm.CodeUnknownOutcome {
			t.Errorf("a job that the first leader may have accepted: %v", err)
		}
		leaders <- &leadership{ctx: t.Context(), proposer: next}
		if _, err := f.send(t.Context(), job, true); asError(err).Code != fsm.CodeAtCapacity {
			t.Errorf("a job that was sent once, and refused: %v", err)
		}
		_, _ = endFirst(), endNext()
	})
}

// TestANewLeaderIsAskedAgainSoon parks a call for long, and then has a leader that is not
// established for a moment.
func TestANewLeaderIsAskedAgainSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newTestProposer(newFakeRaft(t))
		_, end := running(t, p)
		var established atomic.Pointer[leadership]
		f := &forwarder{self: "queen-2", park: 10 * time.Second, now: time.Now, board: newBoard(time.Now), closed: make(chan struct{}), leader: established.Load}
		var answeredAt time.Time
		done := make(chan error)
		go func() {
			_, err := f.send(t.Context(), wireCall{Request: ptr(putKey(1))}, true)
			answeredAt = time.Now()
			done <- err
		}()
		sleep(t.Context(), 5*time.Second)
		f.board.set("queen-2", "addr", 2)
		sleep(t.Context(), 20*time.Millisecond)
		established.Store(&leadership{ctx: t.Context(), proposer: p})
		at := time.Now()
		if err := <-done; err != nil || answeredAt.Sub(at) > 20*time.Millisecond {
			t.Errorf("answered %v after the leader was established (%v)", answeredAt.Sub(at), err)
		}
		_ = end()
	})
}

func ptr[T any](v T) *T { return &v }
