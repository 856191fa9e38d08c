package cluster

import (
	"sync"
	"time"

	"queen-rbee/fsm"
)

// clock carries cluster time on from the last applied batch by the monotonic clock.
//
// A follower anchors at each batch it applies, which is later than the leader planned it, so
// its time is late by that much and never early. A leader does not anchor at its own
// batches: it would lose every commit's time, and under load time would stand still.
type clock struct {
	monotonic func() time.Time

	mu      sync.Mutex
	epoch   fsm.Epoch
	base    fsm.Time  // cluster time …
	at      time.Time // … at this moment
	leading bool
	last    fsm.Time // greatest time told in this epoch
}

func newClock(monotonic func() time.Time) *clock {
	return &clock{monotonic: monotonic, at: monotonic()}
}

// Now is cluster time. It never goes back within an epoch.
func (c *clock) Now() fsm.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now()
}

func (c *clock) now() fsm.Time {
	c.last = max(c.last, c.base+c.monotonic().Sub(c.at))
	return c.last
}

// applied anchors at a batch or a restored state.
func (c *clock) applied(epoch fsm.Epoch, now fsm.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case epoch != c.epoch: // a state of another life: its time, not ours
		c.epoch, c.last = epoch, now
	case c.leading:
		return
	}
	c.base, c.at = now, c.monotonic()
}

// lead runs the clock on without anchoring, from now and never below the state's time.
func (c *clock) lead(state fsm.Time) fsm.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.base = max(c.now(), state)
	c.at = c.monotonic()
	c.leading = true
	return c.base
}

func (c *clock) follow() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.leading = false
}
