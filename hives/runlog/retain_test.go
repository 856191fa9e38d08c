package runlog

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"queen-rbee/hives"
)

func TestRetain(t *testing.T) {
	type log struct {
		ended  time.Duration // before now; negative: runs
		bytes  int
		reader bool
	}
	const runs = -1
	tests := []struct {
		name   string
		limits Limits
		logs   []log
		want   string // dropped, in order
	}{
		{"young and small", Limits{}, []log{{ended: time.Hour}, {ended: 0}}, ""},
		{"too old", Limits{}, []log{{ended: time.Hour + 1}, {ended: 2 * time.Hour}, {ended: time.Minute}}, "1 0"},
		{"too old but read", Limits{}, []log{{ended: 2 * time.Hour, reader: true}, {ended: 2 * time.Hour}}, "1"},
		{"too old but runs", Limits{}, []log{{ended: runs}, {ended: 2 * time.Hour}}, "1"},
		{"own age", Limits{Age: time.Minute}, []log{{ended: time.Minute + 1}, {ended: time.Minute}}, "0"},
		{"too many bytes, oldest first", Limits{Bytes: 30 << 10}, []log{{ended: 1, bytes: 10 << 10}, {ended: 3, bytes: 10 << 10}, {ended: 2, bytes: 10 << 10}}, "1"},
		{"too many bytes, the oldest is read", Limits{Bytes: 30 << 10}, []log{{ended: 1, bytes: 10 << 10}, {ended: 3, bytes: 10 << 10, reader: true}, {ended: 2, bytes: 10 << 10}}, "2"},
		{"running ones count", Limits{Bytes: 30 << 10}, []log{{ended: runs, bytes: 40 << 10}, {ended: 1}, {ended: 2}}, "2 1"},
		{"small ones count as blocks", Limits{Bytes: 8 << 10}, []log{{ended: 1}, {ended: 2}, {ended: 3}}, "2"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, dir := newClock(), t.TempDir()
			now := c.at
			s := open(t, dir, tt.limits, c.now)
			defer s.Close()
			for i, want := range tt.logs {
				c.at = now.Add(-want.ended)
				l := create(t, s, Meta{JobID: fmt.Sprint(i), Attempt: 1})
				must(t, l.Start())
				text := strings.Repeat("x", want.bytes/2)
				must(t, l.Append(chunk(text), true, text, false))
				if want.ended != runs {
					_, err := l.End(complete())
					must(t, err)
				}
				if want.reader {
					r, err := l.Reader(0)
					must(t, err)
					defer r.Close()
				}
			}
			c.at = now
			logs := s.Logs()
			dropped, err := s.Retain()
			must(t, err)
			var got []string
			for _, m := range dropped {
				got = append(got, m.JobID)
				if _, has := s.Get(m.JobID, 1); has {
					t.Error("still there:", m.JobID)
				}
			}
			if strings.Join(got, " ") != tt.want {
				t.Errorf("dropped %q, want %q", got, tt.want)
			}
			for i, l := range logs {
				_, err := os.Stat(l.path)
				if gone := slices.Contains(got, fmt.Sprint(i)); gone != errors.Is(err, os.ErrNotExist) {
					t.Errorf("file %d: %v", i, err)
				} else if _, err := l.Reader(0); gone && !errors.Is(err, &hives.Error{Code: hives.CodeOutputExpired}) {
					t.Errorf("reader of a dropped log: %v", err)
				}
			}
		})
	}
}

// A log that was read is dropped once its reader is gone, by its age from before a restart too.
func TestRetainLater(t *testing.T) {
	c, dir := newClock(), t.TempDir()
	s := open(t, dir, Limits{}, c.now)
	l := create(t, s, Meta{})
	_, err := l.End(complete())
	must(t, err)
	s.Close()

	c.at = c.at.Add(time.Hour + time.Second)
	s = open(t, dir, Limits{}, c.now)
	defer s.Close()
	l, _ = s.Get("01JOB", 1)
	r, err := l.Reader(0)
	must(t, err)
	if dropped, err := s.Retain(); err != nil || len(dropped) != 0 {
		t.Fatal(dropped, err)
	}
	r.Close()
	if dropped, err := s.Retain(); err != nil || len(dropped) != 1 {
		t.Fatal(dropped, err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Fatal(left, err)
	}
}

// While files are removed the store serves, and the names of what goes are not given anew.
func TestRetainHoldsNobodyUp(t *testing.T) {
	c := newClock()
	s := open(t, t.TempDir(), Limits{}, c.now)
	defer s.Close()
	_, err := create(t, s, Meta{}).End(complete())
	must(t, err)
	c.at = c.at.Add(2 * time.Hour)
	removed := 0
	s.remove = func(path string) error {
		removed++
		if !s.mu.TryLock() {
			t.Fatal("the store is locked while a file is removed")
		}
		s.mu.Unlock()
		if _, err := s.Create(Meta{JobID: "01JOB", Attempt: 1, Model: "small"}); !errors.Is(err, &hives.Error{Code: CodeConflict}) {
			t.Error("made anew:", err)
		}
		return os.Remove(path)
	}
	if dropped, err := s.Retain(); err != nil || len(dropped) != 1 || removed != 1 {
		t.Fatal(dropped, err, removed)
	}
	create(t, s, Meta{})
}

// A call that finds nothing due costs one look at each log and no more.
func TestRetainWithNothingDueIsCheap(t *testing.T) {
	s := newStore(t, Limits{})
	for i := range 100 {
		_, err := create(t, s, Meta{JobID: fmt.Sprint(i), Attempt: 1}).End(complete())
		must(t, err)
	}
	n := testing.AllocsPerRun(10, func() {
		if dropped, err := s.Retain(); err != nil || len(dropped) != 0 {
			t.Fatal(dropped, err)
		}
	})
	if n > 2 {
		t.Fatalf("%v allocations", n)
	}
}
