package engine

import "time"

// hang decides when a ready engine has been silent for too long. It is part of the worker's
// loop. Its timer runs only once the engine was healthy.
type hang struct {
	limit time.Duration
	last  time.Time // of the last good probe
	due   time.Time
	timer *time.Timer
}

func newHang(limit time.Duration) *hang {
	h := &hang{limit: limit, timer: time.NewTimer(time.Hour)}
	h.timer.Stop()
	return h
}

// alive notes a good probe.
func (h *hang) alive(now time.Time) {
	h.last = now
	h.wait(now)
}

func (h *hang) wait(now time.Time) {
	h.due = h.last.Add(h.limit)
	h.timer.Reset(h.due.Sub(now))
}

// expired is called when the timer fired: true when neither a probe nor bytes (last at the
// given time) came within the limit; else the timer runs on.
func (h *hang) expired(now, bytes time.Time) bool {
	if bytes.After(h.last) {
		h.last = bytes
	}
	// A timer that fires much too late means that we were stopped, not the engine: it gets
	// its time anew.
	if now.Sub(h.due) > h.limit/2 {
		h.last = now
	}
	if now.Sub(h.last) >= h.limit {
		return true
	}
	h.wait(now)
	return false
}
