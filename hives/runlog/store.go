package runlog

import (
	"cmp"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"queen-rbee/hives"
)

// Store is a directory of logs. Safe for concurrent use.
type Store struct {
	dir     string
	limits  Limits
	now     func() time.Time
	remove  func(path string) error // os.Remove, but for tests
	skipped []error

	mu     sync.Mutex
	jobs   map[string][]*Log // by job, attempts ascending
	closed bool
}

// Open reads the directory, made if it is missing, and checks every log in it. Logs with an
// end can be read again; those without are in Unfinished. What is half written at the end of a
// file is cut off. Files that are no logs of this format are left alone; see Skipped. now is
// the wall clock that ages are counted by.
func Open(dir string, limits Limits, now func() time.Time) (*Store, error) {
	if err := limits.validate(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, hives.Errorf(CodeStorage, "run log directory: %v", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, hives.Errorf(CodeStorage, "run log directory: %v", err)
	}
	s := &Store{dir: dir, limits: limits.withDefaults(), now: now, remove: os.Remove, jobs: map[string][]*Log{}}
	for _, e := range entries {
		job, attempt, ok := parseFileName(e.Name())
		if !ok {
			continue
		}
		l, err := s.reopen(job, attempt)
		if err != nil {
			s.skipped = append(s.skipped, err)
		} else if l != nil {
			s.addLocked(l)
		}
	}
	return s, nil
}

// Skipped says which files with names of logs Open could not take, and why.
func (s *Store) Skipped() []error { return slices.Clone(s.skipped) }

// Create makes the log of a new attempt. conflict if there is one; invalid_request if m cannot
// be a run; storage_failed.
func (s *Store) Create(m Meta) (*Log, error) {
	if err := m.validate(); err != nil {
		return nil, err
	}
	if m.Created.IsZero() {
		m.Created = s.now().UTC()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	if s.findLocked(m.JobID, m.Attempt) != nil {
		return nil, hives.Errorf(CodeConflict, "job %s has a log of attempt %d already", m.JobID, m.Attempt)
	}
	header, err := json.Marshal(m)
	if err != nil {
		return nil, hives.Errorf(hives.CodeInvalid, "run: %v", err)
	}
	l := s.newLog(m)
	f, err := os.OpenFile(l.path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, hives.Errorf(CodeStorage, "create run log: %v", err)
	}
	b := appendFrame([]byte(magic), func(b []byte) []byte { return append(b, header...) })
	if _, err := f.Write(b); err != nil {
		f.Close()
		_ = os.Remove(l.path) // a header without records is skipped by the next Open anyway
		return nil, hives.Errorf(CodeStorage, "create run log: %v", err)
	}
	l.file, l.users, l.size = f, 1, int64(len(b))
	s.addLocked(l)
	return l, nil
}

func (s *Store) newLog(m Meta) *Log {
	return &Log{meta: m, path: filepath.Join(s.dir, fileName(m.JobID, m.Attempt)), limits: s.limits, now: s.now, seq: m.Begin.Seq}
}

// Get gives the log of one attempt.
func (s *Store) Get(job string, attempt uint32) (*Log, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.findLocked(job, attempt)
	return l, l != nil
}

// Latest gives the log of the job's highest attempt here.
func (s *Store) Latest(job string) (*Log, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	logs := s.jobs[job]
	if len(logs) == 0 {
		return nil, false
	}
	return logs[len(logs)-1], true
}

// Logs gives all logs, by job and attempt.
func (s *Store) Logs() []*Log {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []*Log
	for _, logs := range s.jobs {
		all = append(all, logs...)
	}
	slices.SortFunc(all, func(a, b *Log) int {
		return cmp.Or(cmp.Compare(a.meta.JobID, b.meta.JobID), cmp.Compare(a.meta.Attempt, b.meta.Attempt))
	})
	return all
}

// Unfinished gives the logs without an end, by job and attempt: right after Open, those whose
// agent died under them.
func (s *Store) Unfinished() []*Log {
	return slices.DeleteFunc(s.Logs(), func(l *Log) bool {
		_, ended := l.Terminal()
		return ended
	})
}

// Close ends the use of every log: readers that wait get ErrClosed. The files stay as they
// are, so a log without an end is Unfinished at the next Open.
func (s *Store) Close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	for _, l := range s.Logs() {
		l.close()
	}
}

func (l *Log) close() {
	l.wmu.Lock()
	defer l.wmu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.gone != nil {
		return
	}
	l.gone = ErrClosed
	if l.file != nil {
		l.file.Close()
		l.file = nil
	}
	l.wakeLocked()
}

func (s *Store) findLocked(job string, attempt uint32) *Log {
	for _, l := range s.jobs[job] {
		if l.meta.Attempt == attempt {
			return l
		}
	}
	return nil
}

func (s *Store) addLocked(l *Log) {
	logs := append(slices.Clip(s.jobs[l.meta.JobID]), l) // a slice of our own: readers may hold the old one
	slices.SortFunc(logs, func(a, b *Log) int { return cmp.Compare(a.meta.Attempt, b.meta.Attempt) })
	s.jobs[l.meta.JobID] = logs
}

func (s *Store) removeLocked(l *Log) {
	logs := slices.DeleteFunc(s.jobs[l.meta.JobID], func(o *Log) bool { return o == l })
	if len(logs) == 0 {
		delete(s.jobs, l.meta.JobID)
		return
	}
	s.jobs[l.meta.JobID] = logs
}
