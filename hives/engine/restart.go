package engine

import (
	"fmt"
	"time"
)

// Backoff between restarts: 500 ms, doubled each time, at most 30 s.
const (
	backoffFirst = 500 * time.Millisecond
	backoffMax   = 30 * time.Second
)

// restarts counts the restarts of one worker and says when the next may be. It is plain
// arithmetic over the times it is given.
type restarts struct {
	limit  int
	window time.Duration
	first  time.Duration
	past   []time.Time // within the window, oldest first
}

// spent says that no restart is left.
func (r *restarts) spent(why string) string {
	if r.limit == 0 {
		return why
	}
	return fmt.Sprintf("%s; given up after %d restarts in %v", why, r.limit, r.window)
}

// next returns how long to wait before one more restart, and counts it; false when limit
// restarts are already within the window before now.
func (r *restarts) next(now time.Time) (time.Duration, bool) {
	for len(r.past) > 0 && now.Sub(r.past[0]) >= r.window {
		r.past = r.past[1:]
	}
	if len(r.past) >= r.limit {
		return 0, false
	}
	wait := r.first
	for range r.past {
		wait = min(2*wait, backoffMax)
	}
	r.past = append(r.past, now)
	return min(wait, backoffMax), true
}
