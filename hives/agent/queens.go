package agent

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// queens knows which queen both pipes use now: one of those it was given, or of those that the
// cluster has named. Safe for concurrent use.
type queens struct {
	given []string
	saved func([]string) // told what is learnt; nil: nobody is

	mu   sync.Mutex
	urls []string // the given ones, then the learnt
	at   int
	ctx  context.Context // ends when the pipes move on
	move context.CancelFunc
}

// maxLearnt bounds what an answer can make the hive ask; clusters have three or five queens.
const maxLearnt = 32

// newQueens takes the given ones, of which there is one at least, and those that an earlier
// start has learnt.
func newQueens(given, learnt []string, saved func([]string)) *queens {
	q := &queens{given: given, saved: saved}
	q.urls = slices.Concat(given, q.others(learnt))
	q.ctx, q.move = context.WithCancel(context.Background())
	return q
}

// others are the URLs of a list that are good, not given and not said twice.
func (q *queens) others(named []string) []string {
	var learnt []string
	for _, name := range named {
		u, err := baseURL(name)
		if err == nil && !slices.Contains(q.given, u) && !slices.Contains(learnt, u) && len(learnt) < maxLearnt {
			learnt = append(learnt, u)
		}
	}
	return learnt
}

// learn takes in the members that a queen has named, and forgets learnt ones that it has not. The
// given ones always stay: somebody wants them asked. An older queen names nobody, which says
// nothing.
func (q *queens) learn(named []string) {
	if len(named) == 0 {
		return
	}
	learnt := q.others(named)
	q.mu.Lock()
	defer q.mu.Unlock()
	if slices.Equal(learnt, q.urls[len(q.given):]) {
		return
	}
	now := q.urls[q.at]
	q.urls = slices.Concat(q.given, learnt)
	if q.at = slices.Index(q.urls, now); q.at < 0 { // the one in use is no member any more
		q.at = 0
		q.moveLocked()
	}
	if q.saved != nil {
		q.saved(learnt)
	}
}

// count is how many there are to ask.
func (q *queens) count() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.urls)
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
	q.moveLocked()
}

func (q *queens) moveLocked() {
	q.move()
	q.ctx, q.move = context.WithCancel(context.Background())
}

// pace says how long a pipe waits after failures in a row: each queen is tried at once, then
// the pauses grow. It belongs to one goroutine.
type pace struct {
	queens func() int // how many there are to try without a pause
	n      int
	exp    *backoff.ExponentialBackOff
}

// slowRetry is the pause after a refusal that only a person can put right.
const slowRetry = 10 * time.Second

func newPace(queens func() int) *pace {
	exp := backoff.NewExponentialBackOff()
	exp.InitialInterval, exp.MaxInterval = 100*time.Millisecond, 2*time.Second
	exp.Reset()
	return &pace{queens: queens, exp: exp}
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
	case p.n < p.queens():
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
