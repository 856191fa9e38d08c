package agent

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"pgregory.net/rapid"

	"queen-rbee/hives"
)

// TestSlotsAgainstAQueue holds slots against a plain model: a list of names and two numbers.
func TestSlotsAgainstAQueue(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		synctest.Test(t, func(t *testing.T) { slotsPlay(rt) })
	})
}

type ask struct {
	cancel context.CancelFunc
	err    chan error
}

func slotsPlay(t *rapid.T) {
	var s slots
	var waiting []*ask // as the model has them
	size, busy := 0, 0
	begun := false
	expect := func(a *ask, want error) {
		synctest.Wait()
		select {
		case err := <-a.err:
			if want == nil && err != nil || want != nil && !errors.Is(err, want) {
				t.Fatalf("got %v, want %v", err, want)
			}
		default:
			t.Fatalf("still waits, want %v", want)
		}
	}
	grant := func() {
		for busy < size && len(waiting) > 0 {
			busy++
			expect(waiting[0], nil)
			waiting = waiting[1:]
		}
		synctest.Wait()
		for _, a := range waiting {
			if len(a.err) > 0 {
				t.Fatalf("out of turn: %v", <-a.err)
			}
		}
		if s.inUse() != busy {
			t.Fatalf("%d in use, want %d", s.inUse(), busy)
		}
	}
	died := &hives.Error{Code: hives.CodeWorkerDied}
	acquire := func() {
		ctx, cancel := context.WithCancel(context.Background())
		a := &ask{cancel: cancel, err: make(chan error, 1)}
		go func() { a.err <- s.acquire(ctx) }()
		synctest.Wait()
		if size == 0 && begun {
			expect(a, died)
			return
		}
		waiting = append(waiting, a)
	}
	for range rapid.IntRange(1, 40).Draw(t, "steps") {
		switch rapid.IntRange(0, 5).Draw(t, "step") {
		case 0, 1:
			acquire()
		case 2:
			if busy > 0 {
				busy--
				s.release()
			}
		case 3:
			was := size
			size = rapid.IntRange(0, 3).Draw(t, "size")
			begun = begun || size > 0
			s.resize(size)
			if was > 0 && size == 0 {
				for _, a := range waiting {
					expect(a, died)
				}
				waiting = nil
			}
		case 4:
			if n := len(waiting); n > 0 {
				i := rapid.IntRange(0, n-1).Draw(t, "gone")
				waiting[i].cancel()
				expect(waiting[i], context.Canceled)
				waiting = append(waiting[:i:i], waiting[i+1:]...)
			}
		case 5:
			free := busy < size && len(waiting) == 0
			if s.take() != free {
				t.Fatalf("taken: %v, with %d of %d in use and %d waiting", !free, busy, size, len(waiting))
			}
			if free {
				busy++
			}
		}
		grant()
	}
	reason := hives.Errorf(hives.CodeWorkerGone, "over")
	s.shut(reason)
	for _, a := range waiting {
		expect(a, reason)
	}
	waiting = nil
	if err := s.acquire(context.Background()); !errors.Is(err, reason) {
		t.Fatalf("after shut: %v", err)
	}
	if s.take() {
		t.Fatal("taken after shut")
	}
}
