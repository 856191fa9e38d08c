package agent

import (
	"context"
	"slices"
	"sync"

	"queen-rbee/hives"
)

// slots is the semaphore of one worker: first come, first served, and open only while its
// process is ready. Safe for concurrent use; no method blocks but acquire.
type slots struct {
	mu      sync.Mutex
	size    int  // 0 while the process is not ready
	begun   bool // it has been ready before
	busy    int
	waiting []*waiter
	closed  error
}

type waiter struct {
	ready chan struct{} // closed when granted or err is set
	err   error
}

// acquire waits for a slot. Its error is a *hives.Error worker_died (the process is gone) or
// the reason given to shut; or the cause of ctx's end. The caller releases what it got.
func (s *slots) acquire(ctx context.Context) error {
	s.mu.Lock()
	switch {
	case s.closed != nil:
		defer s.mu.Unlock()
		return s.closed
	case s.size == 0 && s.begun:
		defer s.mu.Unlock()
		return errDied()
	}
	w := &waiter{ready: make(chan struct{})}
	s.waiting = append(s.waiting, w)
	s.grantLocked()
	s.mu.Unlock()
	select {
	case <-w.ready:
		return w.err
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := slices.Index(s.waiting, w); i >= 0 {
		s.waiting = slices.Delete(s.waiting, i, i+1)
		return context.Cause(ctx)
	}
	if w.err == nil { // granted in the same instant: give it on
		s.busy--
		s.grantLocked()
	}
	return context.Cause(ctx)
}

// take is acquire for a slot that can be had at once, and says whether it was.
func (s *slots) take() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed != nil || s.busy >= s.size || len(s.waiting) > 0 {
		return false
	}
	s.busy++
	return true
}

// keep takes a slot for a run that is in the engine already, whatever its size is known to be.
func (s *slots) keep() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.busy++
}

func errDied() error {
	return hives.Errorf(hives.CodeWorkerDied, "the worker's process ended before the run began")
}

// release gives a slot back, once the engine has let go of it.
func (s *slots) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.busy--
	s.grantLocked()
}

// resize follows the process: size slots while it is ready, 0 while it is not. Those who wait
// for a process that was there and is gone are told.
func (s *slots) resize(size int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	was := s.size
	s.size = size
	s.begun = s.begun || size > 0
	if was > 0 && size == 0 {
		s.dismissLocked(errDied())
	}
	s.grantLocked()
}

// shut tells everyone who waits, and who comes, that there will be no slot.
func (s *slots) shut(reason *hives.Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed == nil {
		s.closed = reason
		s.dismissLocked(reason)
	}
}

// inUse is how many slots are taken.
func (s *slots) inUse() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.busy
}

func (s *slots) grantLocked() {
	for s.closed == nil && s.busy < s.size && len(s.waiting) > 0 {
		s.busy++
		close(s.waiting[0].ready)
		s.waiting = s.waiting[1:]
	}
}

func (s *slots) dismissLocked(err error) {
	for _, w := range s.waiting {
		w.err = err
		close(w.ready)
	}
	s.waiting = nil
}
