package runlog

import (
	"cmp"
	"errors"
	"os"
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
// next Open. Call it from time to time and after runs end.
func (s *Store) Retain() ([]Meta, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	var total int64
	var ended []endedLog
	for _, logs := range s.jobs {
		for _, l := range logs {
			bytes, at, over := l.keeps()
			total += bytes
			if over {
				ended = append(ended, endedLog{l, bytes, at})
			}
		}
	}
	slices.SortFunc(ended, func(a, b endedLog) int {
		return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.log.meta.JobID, b.log.meta.JobID), cmp.Compare(a.log.meta.Attempt, b.log.meta.Attempt))
	})
	oldest := s.now().Add(-s.limits.Age)
	var dropped []Meta
	var errs []error
	for _, e := range ended {
		if !e.at.Before(oldest) && total <= s.limits.Bytes {
			break
		}
		if !e.log.expire() {
			continue
		}
		total -= e.bytes
		s.removeLocked(e.log)
		dropped = append(dropped, e.log.meta)
		if err := os.Remove(e.log.path); err != nil {
			errs = append(errs, hives.Errorf(CodeStorage, "remove run log: %v", err))
		}
	}
	return dropped, errors.Join(errs...)
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
