package client

import (
	"context"
	"errors"
	"time"
)

// round paces the going round among queens: no pause until each has been tried once, then
// one that doubles; over when nothing has been got for the whole patience.
type round struct {
	tried, size int
	pause, max  time.Duration
	patience    time.Duration
	since       time.Time
	tries       map[string]error
	order       []string
	answered    *Error // the last refusal by a queen that was reached
}

func (c *Client) newRound(patience time.Duration) *round {
	r := &round{size: len(c.queens), patience: patience}
	r.pause, r.max = c.cfg.Backoff, 20*c.cfg.Backoff
	r.since, r.tries = time.Now(), map[string]error{}
	return r
}

// progress starts the patience anew.
func (r *round) progress() {
	r.since = time.Now()
	if r.tried > 0 {
		r.tried, r.order, r.answered = 0, nil, nil
		clear(r.tries)
	}
}

func (r *round) failed(queen string, err error) {
	r.tried++
	if _, seen := r.tries[queen]; !seen {
		r.order = append(r.order, queen)
	}
	r.tries[queen] = err
	var e *Error
	if errors.As(err, &e) {
		r.answered = e
	}
}

// wait returns nil when another try is due, else the error that ends it all.
func (r *round) wait(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	if r.tried < r.size {
		return nil
	}
	if time.Since(r.since)+r.pause > r.patience {
		return r.verdict()
	}
	t := time.NewTimer(r.pause)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
	}
	r.tried = 0
	r.pause = min(2*r.pause, r.max)
	return nil
}

func (r *round) verdict() error {
	if r.answered != nil {
		return r.answered
	}
	u := &Unreachable{}
	for _, q := range r.order {
		u.Tries = append(u.Tries, Try{URL: q, Err: r.tries[q]})
	}
	return u
}
