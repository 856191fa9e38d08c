package engine

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"

	"pgregory.net/rapid"
)

// waiter is one request for a slot that runs in a synctest bubble.
type waiter struct {
	slot   int
	err    error
	done   bool
	cancel context.CancelFunc
}

func ask(s *Slots) *waiter {
	ctx, cancel := context.WithCancel(context.Background())
	w := &waiter{cancel: cancel}
	go func() {
		w.slot, w.err = s.Acquire(ctx)
		w.done = true
	}()
	synctest.Wait()
	return w
}

func TestSlotsAreGivenInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewSlots(1, 10)
		first, second, third, fourth := ask(s), ask(s), ask(s), ask(s)
		if !first.done || second.done || third.done || fourth.done {
			t.Fatal("one slot, but not exactly the first request holds it")
		}
		third.cancel()
		synctest.Wait()
		if !errors.Is(third.err, context.Canceled) {
			t.Fatalf("the one who left got %v", third.err)
		}
		s.Release(first.slot)
		synctest.Wait()
		if !second.done || fourth.done {
			t.Fatal("the slot did not go to the oldest who still waits")
		}
		s.Release(second.slot)
		synctest.Wait()
		if !fourth.done || fourth.err != nil {
			t.Fatal("the slot skipped the last waiter")
		}
		s.Release(fourth.slot)
		if busy, waiting := s.Busy(); slices.Contains(busy, true) || waiting != 0 {
			t.Errorf("busy %v, waiting %d after everybody left", busy, waiting)
		}
	})
}

func TestSlotsQueueIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewSlots(1, 1)
		holder, queued, refused := ask(s), ask(s), ask(s)
		if !errors.Is(refused.err, ErrQueueFull) {
			t.Errorf("got %v, want ErrQueueFull", refused.err)
		}
		s.Release(holder.slot)
		synctest.Wait()
		if !queued.done || queued.err != nil {
			t.Error("the one in the queue got no slot")
		}
	})
}

func TestSlotsRefuseTheDead(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s := NewSlots(1, 1)
	if _, err := s.Acquire(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	if busy, _ := s.Busy(); busy[0] {
		t.Error("the slot is held by nobody")
	}
}

// Random asking, leaving and releasing: no slot is given twice, none is lost, and nobody is
// overtaken.
func TestSlotsAgainstAQueue(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(1, 4).Draw(rt, "slots")
		steps := rapid.SliceOfN(rapid.IntRange(0, 99), 0, 60).Draw(rt, "steps")
		synctest.Test(t, func(t *testing.T) {
			s := NewSlots(n, 1000)
			var holding, waiting []*waiter
			settle := func() {
				synctest.Wait()
				for len(holding) < n && len(waiting) > 0 {
					holding, waiting = append(holding, waiting[0]), waiting[1:]
				}
				seen := map[int]bool{}
				for _, w := range holding {
					if !w.done || w.err != nil || seen[w.slot] {
						t.Fatalf("holder: done %v, error %v, slot %d given before: %v", w.done, w.err, w.slot, seen[w.slot])
					}
					seen[w.slot] = true
				}
				for _, w := range waiting {
					if w.done {
						t.Fatal("somebody was overtaken, or a slot was made of nothing")
					}
				}
			}
			for _, x := range steps {
				switch {
				case x < 50:
					waiting = append(waiting, ask(s))
				case x < 75 && len(holding) > 0:
					i := x % len(holding)
					s.Release(holding[i].slot)
					holding = slices.Delete(holding, i, i+1)
				case len(waiting) > 0:
					i := x % len(waiting)
					waiting[i].cancel()
					waiting = slices.Delete(waiting, i, i+1)
				}
				settle()
			}
			for _, w := range waiting {
				w.cancel()
			}
		})
	})
}
