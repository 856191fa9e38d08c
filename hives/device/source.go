package device

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

const (
	// askTime is what one question may take: nvidia-smi needs a second or two where the driver
	// is not kept loaded.
	askTime = 5 * time.Second
	// endTime is what a question that was given up gets to end.
	endTime = time.Second
)

// source is one way to learn of devices: a vendor's tool, or files of the system. Any of them
// may hang for ever in the kernel when a device does. So a question is asked by a goroutine
// that can be left behind, and no second one while the first is under way: however often it is
// asked, a source that hangs costs one goroutine and one process.
type source struct {
	name string
	read func(context.Context) ([]Device, error)
	turn chan struct{} // full while a question is under way

	mu   sync.Mutex
	last []Device
	at   time.Time
}

func newSource(name string, read func(context.Context) ([]Device, error)) *source {
	return &source{name: name, read: read, turn: make(chan struct{}, 1)}
}

// known are the devices as they were measured last.
func (s *source) known() []Device {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last
}

// ask measures in at most askTime. When that fails, it gives what was known, with a note.
func (s *source) ask(ctx context.Context) ([]Device, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, askTime, fmt.Errorf("no answer within %v", askTime))
	defer cancel()
	if ctx.Err() != nil {
		return s.stale(context.Cause(ctx))
	}
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return s.stale(fmt.Errorf("busy with an earlier question: %w", context.Cause(ctx)))
	}
	var found []Device
	var failed error
	done := make(chan struct{})
	go func() { // ends with read, which ctx ends, but for what hangs in the kernel
		defer func() { <-s.turn }()
		defer close(done)
		found, failed = s.read(ctx)
	}()
	select {
	case <-done:
	case <-ctx.Done():
		if !within(done, endTime) {
			return s.stale(fmt.Errorf("%w; it hangs", context.Cause(ctx)))
		}
	}
	if failed != nil {
		return s.stale(failed)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last, s.at = found, time.Now()
	return slices.Clone(found), nil
}

// within tells whether done is closed in time.
func within(done <-chan struct{}, most time.Duration) bool {
	t := time.NewTimer(most)
	defer t.Stop()
	select {
	case <-done:
		return true
	case <-t.C:
		return false
	}
}

// stale is what was known, for when it cannot be measured.
func (s *source) stale(why error) ([]Device, error) {
	why = fmt.Errorf("%s: %w", s.name, why)
	s.mu.Lock()
	defer s.mu.Unlock()
	old := slices.Clone(s.last)
	for i := range old {
		old[i].Note = fmt.Sprintf("as it was at %s; %v", s.at.UTC().Format(time.TimeOnly), why)
	}
	return old, why
}
