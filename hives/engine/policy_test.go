package engine

import (
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"queen-rbee/hives"
)

func TestTransitionsAreATable(t *testing.T) {
	ends := map[hives.WorkerState]bool{hives.WorkerFailed: true, hives.WorkerStopped: true}
	reached := map[hives.WorkerState]bool{hives.WorkerSpawning: true}
	for from, moves := range transitions {
		if ends[from] {
			t.Errorf("%s is an end and can be left", from)
		}
		for c, to := range moves {
			reached[to] = true
			if _, known := transitions[to]; !known && !ends[to] {
				t.Errorf("%s on %s leads to %s, which is not in the table", from, c, to)
			}
		}
		if moves[ended] != hives.WorkerStopped || moves[stuck] != hives.WorkerFailed {
			t.Errorf("%s cannot be stopped in every way", from)
		}
	}
	if len(reached) != 5 {
		t.Errorf("reached only %v", reached)
	}
}

// Whatever happens in whatever order: ends are final, ready comes only after loading, loading
// only after spawning, and a refused move changes nothing.
func TestTransitionsUnderAnyEvents(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at := hives.WorkerSpawning
		for _, n := range rapid.SliceOfN(rapid.IntRange(0, int(ended)), 1, 40).Draw(t, "causes") {
			to, err := next(at, cause(n))
			switch {
			case err != nil && to != at:
				t.Fatalf("refused and moved from %s to %s", at, to)
			case err == nil && (at == hives.WorkerFailed || at == hives.WorkerStopped):
				t.Fatalf("left the end %s for %s", at, to)
			case err == nil && to == hives.WorkerReady && at != hives.WorkerLoading,
				err == nil && to == hives.WorkerLoading && at != hives.WorkerSpawning:
				t.Fatalf("from %s to %s", at, to)
			}
			at = to
		}
	})
}

func TestBackoff(t *testing.T) {
	r := restarts{limit: 3, window: 10 * time.Minute, first: backoffFirst}
	at := time.Unix(0, 0)
	for i, want := range []time.Duration{500 * time.Millisecond, time.Second, 2 * time.Second} {
		if got, ok := r.next(at.Add(time.Duration(i) * time.Minute)); !ok || got != want {
			t.Fatalf("restart %d: %v %v", i, got, ok)
		}
	}
	if _, ok := r.next(at.Add(10*time.Minute - 1)); ok {
		t.Fatal("a fourth restart within the window")
	}
	if got, ok := r.next(at.Add(10 * time.Minute)); !ok || got != 2*time.Second {
		t.Fatalf("the first is out of the window: %v %v", got, ok)
	}
	if _, ok := (&restarts{limit: 0}).next(at); ok {
		t.Fatal("a restart although none is allowed")
	}
}

// In no window are there more restarts than the limit, and every wait is within its bounds.
func TestBackoffUnderAnyTimes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := restarts{limit: rapid.IntRange(0, 20).Draw(t, "limit"), window: time.Minute, first: backoffFirst}
		now := time.Unix(0, 0)
		var granted []time.Time
		for _, gap := range rapid.SliceOf(rapid.Int64Range(0, int64(30*time.Second))).Draw(t, "gaps") {
			now = now.Add(time.Duration(gap))
			wait, ok := r.next(now)
			within := 0
			for _, g := range granted {
				if now.Sub(g) < r.window {
					within++
				}
			}
			if ok != (within < r.limit) {
				t.Fatalf("%v with %d of %d in the window", ok, within, r.limit)
			}
			if ok {
				granted = append(granted, now)
				if wait < backoffFirst || wait > backoffMax || within < 6 && wait != backoffFirst<<within {
					t.Fatalf("waits %v after %d", wait, within)
				}
			}
		}
	})
}

func TestHangOnVirtualTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit = 30 * time.Second
		h := newHang(limit)
		begin := time.Now()
		h.alive(begin)
		<-h.timer.C
		if h.expired(time.Now(), begin.Add(20*time.Second)) {
			t.Fatal("bytes came 10 s ago")
		}
		<-h.timer.C
		if got := time.Since(begin); got != 50*time.Second {
			t.Fatalf("looked again after %v", got)
		}
		if !h.expired(time.Now(), begin.Add(20*time.Second)) {
			t.Fatal("nothing for 30 s")
		}
		h.alive(time.Now())
		<-h.timer.C
		late := time.Now().Add(time.Minute) // we were stopped, not the engine
		if h.expired(late, begin) {
			t.Fatal("killed for our own absence")
		}
		if !h.expired(late.Add(limit), begin) {
			t.Fatal("lives on although silent after that")
		}
		h.timer.Stop()
	})
}
