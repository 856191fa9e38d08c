package engine

import (
	"container/list"
	"context"
	"errors"
	"sync"
)

// ErrQueueFull means that even the queue for slots has no place left.
var ErrQueueFull = errors.New("the queue for slots is full")

// Slots is a semaphore with numbered places and a first-in, first-out queue.
type Slots struct {
	mu       sync.Mutex
	busy     []bool
	waiting  list.List // of chan int, oldest first
	maxQueue int
}

// NewSlots makes n free slots and a queue of at most maxQueue.
func NewSlots(n, maxQueue int) *Slots {
	return &Slots{busy: make([]bool, n), maxQueue: maxQueue}
}

// Acquire waits for a slot and returns its number; the caller must Release it. It fails with
// the context's error, or with ErrQueueFull at once.
func (s *Slots) Acquire(ctx context.Context) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	s.mu.Lock()
	if s.waiting.Len() == 0 {
		for i, b := range s.busy {
			if !b {
				s.busy[i] = true
				s.mu.Unlock()
				return i, nil
			}
		}
	}
	if s.waiting.Len() >= s.maxQueue {
		s.mu.Unlock()
		return 0, ErrQueueFull
	}
	given := make(chan int, 1)
	place := s.waiting.PushBack(given)
	s.mu.Unlock()

	select {
	case slot := <-given:
		return slot, nil
	case <-ctx.Done():
		s.leave(place, given)
		return 0, ctx.Err()
	}
}

// leave takes a place out of the queue, and passes a slot on that was given in the meantime.
func (s *Slots) leave(place *list.Element, given chan int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case slot := <-given:
		s.next(slot)
	default:
		s.waiting.Remove(place)
	}
}

// Release gives a slot to the oldest waiter, or frees it.
func (s *Slots) Release(slot int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next(slot)
}

// next needs the lock.
func (s *Slots) next(slot int) {
	oldest := s.waiting.Front()
	if oldest == nil {
		s.busy[slot] = false
		return
	}
	s.waiting.Remove(oldest)
	oldest.Value.(chan int) <- slot // has room: each waiter is given one slot at most
}

// Busy says of each slot whether a request is in it, and how many requests wait.
func (s *Slots) Busy() (busy []bool, waiting int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]bool(nil), s.busy...), s.waiting.Len()
}
