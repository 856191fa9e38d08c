package engine

import (
	"context"
	"time"
)

// pace holds a stream to a rate. Every step is due at a time counted from the start, so that
// what one step is late by, the next ones make up for: the rate does not drift.
type pace struct {
	rate  float64 // steps per second; 0: as fast as possible
	start time.Time
	steps int
}

func newPace(rate float64) *pace { return &pace{rate: rate, start: time.Now()} }

// wait returns when the next step is due, or with the context's error.
func (p *pace) wait(ctx context.Context) error {
	if p.rate > 0 {
		p.steps++
		due := p.start.Add(time.Duration(float64(p.steps) / p.rate * float64(time.Second)))
		if left := time.Until(due); left > 0 {
			timer := time.NewTimer(left)
			defer timer.Stop()
			select {
			case <-timer.C:
			case <-ctx.Done():
			}
		}
	}
	return ctx.Err()
}
