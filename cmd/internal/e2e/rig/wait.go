package rig

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"
)

const pollTime = 20 * time.Millisecond

// Poll asks check until it returns nil, and gives its last error when ctx ends or the time is over.
func Poll(ctx context.Context, within time.Duration, check func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	tick := time.NewTicker(pollTime)
	defer tick.Stop()
	var last error
	for {
		err := check(ctx)
		if err == nil {
			return nil
		}
		if last == nil || !errors.Is(err, context.DeadlineExceeded) {
			last = err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("not within %s: %w", within, last)
		}
	}
}

// Await fails the test if check does not return nil in time.
func Await(t testing.TB, within time.Duration, what string, check func(context.Context) error) {
	t.Helper()
	if err := Poll(t.Context(), within, check); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// Pause waits without looking, for as long as nothing must happen; false when ctx ended first.
func Pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
