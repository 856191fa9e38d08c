package sim

import (
	"time"

	"queen-rbee/fsm"
)

// clock is a queen's cluster time, by the rules of cluster's own: a follower anchors at each
// batch it applies, a leader runs on from what it knew and does not.
type clock struct {
	base    fsm.Time
	at      time.Duration // virtual time of the anchor
	leading bool
	last    fsm.Time
}

func (c *clock) now(virtual time.Duration) fsm.Time {
	c.last = max(c.last, c.base+virtual-c.at)
	return c.last
}

func (c *clock) applied(batch fsm.Time, virtual time.Duration) {
	if !c.leading {
		c.base, c.at = batch, virtual
	}
}

func (c *clock) lead(state fsm.Time, virtual time.Duration) fsm.Time {
	c.base, c.at, c.leading = max(c.now(virtual), state), virtual, true
	return c.base
}
