package cluster

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"

	"queen-rbee/fsm"
)

// asking is a leader that answers when told, with the number of the question.
type asking struct {
	mu     sync.Mutex
	asked  int
	ended  int // questions whose askers had all gone
	answer chan error
}

func (a *asking) ask(ctx context.Context) (uint64, error) {
	a.mu.Lock()
	a.asked++
	n := a.asked
	a.mu.Unlock()
	select {
	case err := <-a.answer:
		return uint64(n), err
	case <-ctx.Done():
		a.mu.Lock()
		defer a.mu.Unlock()
		a.ended++
		return 0, ctx.Err()
	}
}

func (a *asking) counts() (asked, ended int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.asked, a.ended
}

// reads starts n strong reads and returns what they get.
func reads(ctx context.Context, r *rounds, n int) <-chan uint64 {
	got := make(chan uint64, n)
	for range n {
		go func() {
			i, err := r.index(ctx)
			if err != nil {
				i = 0
			}
			got <- i
		}()
	}
	synctest.Wait()
	return got
}

func each(t *testing.T, what string, got <-chan uint64, want uint64) {
	t.Helper()
	for range cap(got) {
		if i := <-got; i != want {
			t.Errorf("%s got the answer of question %d, want %d", what, i, want)
		}
	}
}

func TestStrongReadsShareTheNextQuestion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &asking{answer: make(chan error)}
		r := &rounds{ask: a.ask}
		first := reads(t.Context(), r, 1)
		later := reads(t.Context(), r, 1000)
		if n, _ := a.counts(); n != 1 {
			t.Errorf("%d questions are on their way", n)
		}
		a.answer <- nil
		each(t, "the first", first, 1)
		a.answer <- nil
		each(t, "one that came while the first was on its way", later, 2)
		failed := reads(t.Context(), r, 1)
		after := reads(t.Context(), r, 3)
		a.answer <- errors.New("no leader")
		each(t, "one of a failed question", failed, 0)
		a.answer <- nil
		each(t, "one after it", after, 4)
		r.close()
	})
}

func TestWhoLeavesAStrongReadFailsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &asking{answer: make(chan error)}
		r := &rounds{ask: a.ask}
		short, cancel := context.WithCancel(t.Context())
		first := reads(short, r, 1) // asks alone
		leaves := reads(short, r, 1)
		stays := reads(t.Context(), r, 2)
		cancel()
		each(t, "who left", first, 0)
		each(t, "who left", leaves, 0)
		synctest.Wait()
		if asked, ended := a.counts(); asked != 2 || ended != 1 {
			t.Errorf("%d questions, %d ended: the one that nobody waits for ends, the next is asked", asked, ended)
		}
		a.answer <- nil
		each(t, "who stayed", stays, 2)
		r.close()
		if r.busy || r.next != nil {
			t.Error("it is not at rest")
		}
		if _, err := r.index(t.Context()); asError(err).Code != fsm.CodeNoLeader {
			t.Errorf("after the end: %v", err)
		}
	})
}
