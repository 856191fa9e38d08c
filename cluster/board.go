package cluster

import (
	"sync"
	"time"
)

// board says who leads, as far as this queen's raft knows.
type board struct {
	now func() time.Time

	mu        sync.Mutex
	id, addr  string    // empty: nobody known
	term      uint64    // in which it leads
	lastKnown time.Time // when there was last a known leader; the start of this queen at first
	changed   chan struct{}
}

func newBoard(now func() time.Time) *board {
	return &board{now: now, lastKnown: now(), changed: make(chan struct{})}
}

// standing is the board at one moment.
type standing struct {
	id, addr string
	term     uint64
	since    time.Time       // of the last known leader; now, when there is one
	changed  <-chan struct{} // closed at the next change
}

func (b *board) read() standing {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.id != "" {
		b.lastKnown = b.now()
	}
	return standing{b.id, b.addr, b.term, b.lastKnown, b.changed}
}

// set notes who leads now, and in which term.
func (b *board) set(id, addr string, term uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.id != "" {
		b.lastKnown = b.now()
	}
	if b.id == id && b.addr == addr && (id == "" || b.term == term) {
		return
	}
	b.id, b.addr, b.term = id, addr, term
	b.ring()
}

// nudge tells the waiting to look again: the known leader has been established, here.
func (b *board) nudge() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ring()
}

func (b *board) ring() {
	close(b.changed)
	b.changed = make(chan struct{})
}
