package engine

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestPaceDoesNotDrift(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		p := newPace(30) // 33.3 ms: a sum of rounded steps would be off
		for i := range 3000 {
			if err := p.wait(t.Context()); err != nil {
				t.Fatal(err)
			}
			if i == 100 { // the client was slow for a second: made up for, not added
				<-time.After(time.Second)
			}
		}
		if got := time.Since(start); got.Round(time.Millisecond) != 100*time.Second {
			t.Errorf("3000 steps at 30/s took %s, want 100s", got)
		}
	})
}

func TestPaceZeroNeverWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		p := newPace(0)
		for range 1000 {
			if err := p.wait(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if got := time.Since(start); got != 0 {
			t.Errorf("took %s", got)
		}
	})
}

func TestPaceEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		if err := newPace(0.001).wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if got := time.Since(start); got != time.Second {
			t.Errorf("returned after %s, want 1s", got)
		}
	})
}
