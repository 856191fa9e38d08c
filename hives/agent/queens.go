package agent

import (
	"context"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// queens knows which queen both pipes use now. Safe for concurrent use.
type queens struct {
	urls []string

	mu   sync.Mutex
	at   int
	ctx  context.Context // ends when the pipes move on
	move context.CancelFunc
}

func newQueens(urls []string) *queens {
	q := &queens{urls: urls}
	q.ctx, q.move = context.WithCancel(context.Background())
	return q
}

// current gives the queen to use and a context that ends when both pipes move to another.
func (q *queens) current() (string, context.Context) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.urls[q.at], q.ctx
}

// fail moves both pipes to the next queen, unless another failure has done so already.
func (q *queens) fail(url string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.urls[q.at] != url {
		return
	}
	q.at = (q.at + 1) % len(q.urls)
	q.move()
	q.ctx, q.move = context.WithCancel(context.Background())
}

// pace says how long a pipe waits after failures in a row: each queen is tried at once, then
// the pauses grow. It belongs to one goroutine.
type pace struct {
	free int // queens to try without a pause
	n    int
	exp  *backoff.ExponentialBackOff
}

// slowRetry is the pause after a refusal that only a person can put right.
const slowRetry = 10 * time.Second

func newPace(queens int) *pace {
	exp := backoff.NewExponentialBackOff()
	exp.InitialInterval, exp.MaxInterval = 100*time.Millisecond, 2*time.Second
	exp.Reset()
	return &pace{free: queens - 1, exp: exp}
}

func (p *pace) ok() {
	p.n = 0
	p.exp.Reset()
}

// failed counts one more failure and gives the pause that follows it.
func (p *pace) failed(v verdict) time.Duration {
	p.n++
	switch {
	case v == refused:
		return slowRetry
	case p.n <= p.free:
		return 0
	}
	return p.exp.NextBackOff()
}

// sleep waits; false when ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
