package engine

import (
	"context"
	"time"

	"queen-rbee/hives"
)

// clock ends a stream's context when the first content, or the next chunk after it, is late.
// It belongs to the goroutine that reads the stream.
type clock struct {
	cancel       context.CancelCauseFunc
	first, inter time.Duration // 0: no limit
	timer        *time.Timer   // nil when nothing is limited
	since        time.Time     // when the first-token limit began
}

func newClock(ctx context.Context, first, inter time.Duration) (*clock, context.Context) {
	ctx, cancel := context.WithCancelCause(ctx)
	c := &clock{cancel: cancel, first: first, inter: inter, since: time.Now()}
	c.arm(first, "no token within %v of the request", first)
	return c, ctx
}

func (c *clock) arm(d time.Duration, format string, what time.Duration) {
	if c.timer != nil {
		c.timer.Stop()
		c.timer = nil
	}
	if what > 0 {
		c.timer = time.AfterFunc(d, func() {
			c.cancel(hives.Errorf(hives.CodeEngineTimeout, "the engine sent "+format, what))
		})
	}
}

// pause stops the clock while a chunk is handled.
func (c *clock) pause() {
	if c.timer != nil {
		c.timer.Stop()
	}
}

// resume waits for the next chunk; begun says that content has arrived.
func (c *clock) resume(begun bool) {
	if begun {
		c.arm(c.inter, "nothing for %v", c.inter)
		return
	}
	c.arm(c.first-time.Since(c.since), "no token within %v of the request", c.first)
}

func (c *clock) end() {
	c.pause()
	c.cancel(nil)
}
