package models

import (
	"context"
	"sync"
	"time"
)

// pace lets bytes pass at a rate, for all downloads together. Those who wait are served in the
// order of their asking. A rate of 0 is no limit. Safe for concurrent use.
type pace struct {
	rate int64 // bytes a second

	mu   sync.Mutex
	next time.Time // when the next bytes may pass
}

// burst is how far the pace may be behind and still catch up.
const burst = 100 * time.Millisecond

// wait waits until n bytes may pass, or ctx ends.
func (p *pace) wait(ctx context.Context, n int) error {
	if p.rate <= 0 {
		return nil
	}
	p.mu.Lock()
	now := time.Now()
	if late := now.Add(-burst); p.next.Before(late) {
		p.next = late
	}
	p.next = p.next.Add(time.Duration(float64(n) / float64(p.rate) * float64(time.Second)))
	d := p.next.Sub(now)
	p.mu.Unlock()
	return pause(ctx, d)
}

// pause waits for a time, or until ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
