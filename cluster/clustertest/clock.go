package clustertest

import (
	"sync/atomic"
	"time"
	"unsafe"
)

// Clock is a queen's clock. Its wall may jump; like an operating system's, its monotonic part
// never does.
type Clock struct{ jumped atomic.Int64 } // whole seconds

// Jump sets the wall clock by so much, back when below 0, from where it stands.
func (c *Clock) Jump(by time.Duration) { c.jumped.Add(int64(by / time.Second)) }

// Now is time.Now with the wall set wrong.
func (c *Clock) Now() time.Time {
	now := time.Now()
	if s := c.jumped.Load(); s != 0 {
		setWall(&now, s)
	}
	return now
}

// setWall moves the wall reading alone. Package time has no way to do that, and its Add moves
// both: of a Time with a monotonic reading, the first word holds the seconds in bits 30 to 62.
func setWall(t *time.Time, seconds int64) {
	word := (*uint64)(unsafe.Pointer(t))
	*word += uint64(seconds) << 30
}
