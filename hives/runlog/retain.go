package runlog

import (
	"cmp"
	"errors"
	"slices"
	"time"

	"queen-rbee/hives"
)

// block is what disks give out: a thousand small logs cost more than their bytes.
const block = 4 << 10

// Retain drops ended logs: those that ended longer than Limits.Age ago, then the oldest while
// all logs together, running ones too, take more than Limits.Bytes. A log with a reader stays,
// and its turn comes at a later call. It gives the headers of what was dropped, oldest first.
// Files that cannot be removed are in the error; their logs are gone from the Store until the
// next Open. Call it from time to time and after runs end; nobody else waits while it looks
// for what is due and removes files.
func (s *Store) Retain() ([]Meta, error) {
	logs, err := s.all()
	if err != nil {
		return nil, err
	}
	var dropped []Meta
	var expired []*Log
	var errs []error
	for _, l := range s.expire(logs) {
		// Before the Store forgets the log: until then nobody makes one of that name anew.
		if err := s.remove(l.path); err != nil {
			errs = append(errs, hives.Errorf(CodeStorage, "remove run log: %v", err))
		}
		dropped, expired = append(dropped, l.meta), append(expired, l)
	}
	s.forget(expired)
	return dropped, errors.Join(errs...)
}

// Usage is how many bytes of disk all logs take, as Retain counts them, and how many they may.
func (s *Store) Usage() (used, limit int64) {
	logs, err := s.all()
	if err != nil {
		return 0, s.limits.Bytes
	}
	for _, l := range logs {
		bytes, _, _ := l.keeps()
		used += bytes
	}
	return used, s.limits.Bytes
}

// all gives the logs in no order.
func (s *Store) all() ([]*Log, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	all := make([]*Log, 0, len(s.jobs))
	for _, logs := range s.jobs {
		all = append(all, logs...)
	}
	return all, nil
}

func (s *Store) forget(logs []*Log) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range logs {
		s.removeLocked(l)
	}
}

// expire has all logs that are due refuse readers, and gives them oldest first.
func (s *Store) expire(logs []*Log) []*Log {
	oldest := s.now().Add(-s.limits.Age)
	var total int64
	old := false
	for _, l := range logs {
		bytes, at, over := l.keeps()
		total += bytes
		old = old || over && at.Before(oldest)
	}
	if !old && total <= s.limits.Bytes { // nearly always: nothing to put in order
		return nil
	}
	var expired []*Log
	for _, e := range byEnd(logs) {
		if !e.at.Before(oldest) && total <= s.limits.Bytes {
			break
		}
		if e.log.expire() {
			total -= e.bytes
			expired = append(expired, e.log)
		}
	}
	return expired
}

// byEnd gives the ended ones of logs, oldest first.
func byEnd(logs []*Log) []endedLog {
	var ended []endedLog
	for _, l := range logs {
		if bytes, at, over := l.keeps(); over {
			ended = append(ended, endedLog{l, bytes, at})
		}
	}
	slices.SortFunc(ended, func(a, b endedLog) int {
		return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.log.meta.JobID, b.log.meta.JobID), cmp.Compare(a.log.meta.Attempt, b.log.meta.Attempt))
	})
	return ended
}

type endedLog struct {
	log   *Log
	bytes int64
	at    time.Time
}

// keeps says what disk the log takes, and since when it is over.
func (l *Log) keeps() (bytes int64, at time.Time, over bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return (l.size + block - 1) / block * block, l.endedAt, l.terminal != nil
}

// expire makes an ended log refuse readers, unless it has one.
func (l *Log) expire() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.readers > 0 || l.terminal == nil || l.gone != nil {
		return false
	}
	l.gone = hives.Errorf(hives.CodeOutputExpired, "the output of job %s attempt %d is no longer kept", l.meta.JobID, l.meta.Attempt)
	return true
}
