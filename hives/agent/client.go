package agent

import (
	"sync"
	"time"

	"queen-rbee/hives"
)

// defaultGrace is how long an attached run waits without a client when its record does not say.
const defaultGrace = 10 * time.Second

// leaveWithin is how long after its reader a client's `leave` may come: queens close the one,
// then send the other, for so long at most.
const leaveWithin = 30 * time.Second

// attendance counts the readers of a run, and gives an attached one up when none of those who
// act for a client has been there for its grace. Safe for concurrent use.
type attendance struct {
	giveUp func(without time.Duration)

	mu       sync.Mutex
	attached bool
	grace    time.Duration
	leaving  time.Duration // grace that a `leave` asked for; negative: none did
	gone     int           // clients that left and of whom no `leave` has spoken
	goneAt   time.Time     // when the last of them did
	readers  int
	clients  int
	timer    *time.Timer // runs while no client is there
	due      time.Time   // when it fires
	over     bool
}

// set follows the run's record; the first call begins the first grace.
func (a *attendance) set(mode string, grace time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if grace <= 0 {
		grace = defaultGrace
	}
	attached := mode != hives.Detached
	if a.attached == attached && a.grace == grace {
		return
	}
	if a.grace == 0 {
		a.leaving = -1
	}
	began := !a.attached && attached
	a.attached, a.grace = attached, grace
	switch {
	case !attached:
		a.disarmLocked()
	case began && a.clients == 0:
		a.armLocked(grace)
	}
}

// enter counts a reader until the function it gives is called.
func (a *attendance) enter(client bool) (leave func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.readers++
	if client {
		a.clients++
		a.leaving = -1 // who said leave has been followed by another
		a.disarmLocked()
	}
	return sync.OnceFunc(func() { a.exit(client) })
}

func (a *attendance) exit(client bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.readers--
	if !client {
		return
	}
	grace := a.grace
	if a.leaving >= 0 {
		grace = a.leaving
		a.leaving = -1 // it spoke of this one
	} else {
		a.gone, a.goneAt = a.unspokenLocked()+1, time.Now()
	}
	a.clients--
	if a.clients == 0 {
		a.armLocked(grace)
	}
}

// leave takes a queen's word that a client has gone: the run waits only grace for another,
// from now, or from the moment its reader is seen to be gone. While others are there, the
// word of one who has just gone is nothing to them: a queen of theirs that dies says none.
func (a *attendance) leave(grace time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	grace = max(0, grace)
	gone := a.unspokenLocked()
	a.gone = max(0, gone-1)
	if a.clients > 0 {
		if gone == 0 {
			a.leaving = grace
		}
		return
	}
	if a.timer != nil && time.Until(a.due) > grace {
		a.armLocked(grace)
	}
}

// unspokenLocked is how many departures a `leave` may still speak of.
func (a *attendance) unspokenLocked() int {
	if time.Since(a.goneAt) > leaveWithin {
		return 0
	}
	return a.gone
}

func (a *attendance) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.readers
}

// stop ends the counting of time.
func (a *attendance) stop() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.over = true
	a.disarmLocked()
}

func (a *attendance) armLocked(d time.Duration) {
	a.disarmLocked()
	if a.over || !a.attached {
		return
	}
	a.due = time.Now().Add(d)
	var t *time.Timer
	t = time.AfterFunc(d, func() {
		a.mu.Lock()
		mine := a.timer == t
		a.mu.Unlock()
		if mine {
			a.giveUp(d)
		}
	})
	a.timer = t
}

func (a *attendance) disarmLocked() {
	if a.timer != nil {
		a.timer.Stop()
		a.timer = nil
	}
}

// deadline fires once, at the earliest time it was ever told.
type deadline struct {
	expire func()

	mu    sync.Mutex
	at    time.Time
	timer *time.Timer
	over  bool
}

// within tells how much time is left now. What a queen said may be late, never early, so the
// earliest counts.
func (d *deadline) within(left time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	at := time.Now().Add(left)
	if d.over || (d.timer != nil && !at.Before(d.at)) {
		return
	}
	if d.timer != nil {
		d.timer.Stop()
	}
	d.at = at
	d.timer = time.AfterFunc(left, d.expire)
}

func (d *deadline) stop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.over = true
	if d.timer != nil {
		d.timer.Stop()
	}
}
