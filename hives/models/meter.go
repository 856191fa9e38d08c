package models

import "sync"

// Progress is how far a download is.
type Progress struct {
	Done     int64  // bytes on disk
	Total    int64  // bytes of all files; 0 until it is known
	Trouble  string // what went wrong last, and is being tried again; empty: nothing
	Troubles int    // how often that was
}

// meter is where a download tells how far it is. Safe for concurrent use.
type meter struct {
	mu  sync.Mutex
	now Progress
}

func (m *meter) add(n int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now.Done += n
}

func (m *meter) set(done int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now.Done = done
}

func (m *meter) total(n int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now.Total = n
}

func (m *meter) trouble(what string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now.Trouble = what
	m.now.Troubles++
}

func (m *meter) progress() Progress {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.now
}
