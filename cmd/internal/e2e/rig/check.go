package rig

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"sync"
	"testing"
	"time"
)

// Each runs do for 0..n-1, at most so many at once, and reports the first few errors.
func Each(t testing.TB, n, atOnce int, do func(i int) error) {
	t.Helper()
	errs := make([]error, n)
	gate := make(chan struct{}, atOnce)
	var wait sync.WaitGroup
	for i := range n {
		wait.Go(func() {
			gate <- struct{}{}
			defer func() { <-gate }()
			errs[i] = do(i)
		})
	}
	wait.Wait()
	told := 0
	for i, err := range errs {
		if err == nil {
			continue
		}
		if told++; told <= 5 {
			t.Errorf("%d: %v", i, err)
		}
	}
	if told > 5 {
		t.Errorf("... and %d more", told-5)
	}
}

// List reads all jobs at one queen as it stands at an index, as raw rows by id.
func (c *Cluster) List(ctx context.Context, queen string, index uint64) (map[string]json.RawMessage, error) {
	rows := map[string]json.RawMessage{}
	cursor := ""
	for {
		var page struct {
			Items      []json.RawMessage `json:"items"`
			NextCursor string            `json:"next_cursor"`
		}
		u := queen + "/v2/jobs?limit=1000&cursor=" + url.QueryEscape(cursor)
		if _, err := c.Get(ctx, u, &page, "X-Rbee-Index", strconv.FormatUint(index, 10)); err != nil {
			return nil, err
		}
		for _, raw := range page.Items {
			var j Job
			if err := json.Unmarshal(raw, &j); err != nil {
				return nil, err
			}
			rows[j.ID] = raw
		}
		if cursor = page.NextCursor; cursor == "" {
			return rows, nil
		}
	}
}

// Index is the newest batch index that has been acknowledged.
func (c *Cluster) Index(ctx context.Context) (uint64, error) {
	r, err := c.GetAny(ctx, "/v2/cluster?consistency=strong", nil)
	if err != nil {
		return 0, err
	}
	return strconv.ParseUint(r.Header.Get("X-Rbee-Index"), 10, 64)
}

// CheckEqual proves that all living queens have the same hash at the same index, and the
// same rows of jobs.
func (c *Cluster) CheckEqual(t testing.TB) {
	t.Helper()
	Await(t, readyTime, "equal hashes", func(ctx context.Context) error {
		index, err := c.Index(ctx)
		if err != nil {
			return err
		}
		hashes := map[string]string{}
		for _, q := range c.Living() {
			var h struct {
				Index uint64
				Hash  string
			}
			if _, err := c.Get(ctx, fmt.Sprintf("%s/v2/cluster/hash?index=%d", q.URL, index), &h); err != nil {
				return fmt.Errorf("%s: %w", q.Name, err)
			}
			if h.Index != index || h.Hash == "" {
				return fmt.Errorf("%s was asked for index %d and gave %+v", q.Name, index, h)
			}
			hashes[h.Hash] += " " + q.Name
		}
		if len(hashes) != 1 {
			t.Fatalf("at index %d the queens differ: %v", index, hashes)
		}
		return nil
	})
}

// CheckEnds proves that every job is known and ended as wanted at every living queen, with
// the same row everywhere. It waits for jobs that still go on.
func (c *Cluster) CheckEnds(t testing.TB, within time.Duration, jobs []string, state string) {
	t.Helper()
	Await(t, within, fmt.Sprintf("%d jobs ending", len(jobs)), func(ctx context.Context) error {
		index, err := c.Index(ctx)
		if err != nil {
			return err
		}
		first := c.Living()[0]
		rows, err := c.List(ctx, first.URL, index)
		if err != nil {
			return err
		}
		open := 0
		var last error
		for _, id := range jobs {
			var j Job
			raw, ok := rows[id]
			if !ok {
				return fmt.Errorf("%s does not know job %s", first.Name, id)
			}
			if err := json.Unmarshal(raw, &j); err != nil {
				return err
			}
			if !j.Ended() {
				open++
				last = fmt.Errorf("e.g. %s", raw)
			} else if j.State != state {
				t.Fatalf("job %s ended %s, want %s: %s", id, j.State, state, raw)
			}
		}
		if open > 0 {
			return fmt.Errorf("%d of %d have not ended, %w", open, len(jobs), last)
		}
		for _, q := range c.Living()[1:] {
			if err := c.sameRows(ctx, q, index, rows, jobs); err != nil {
				return err
			}
		}
		return nil
	})
	if t.Failed() {
		return
	}
	c.CheckEqual(t)
}

// sameRows compares the rows of ended jobs at another queen.
func (c *Cluster) sameRows(ctx context.Context, q *Process, index uint64, want map[string]json.RawMessage, jobs []string) error {
	got, err := c.List(ctx, q.URL, index)
	if err != nil {
		return fmt.Errorf("%s: %w", q.Name, err)
	}
	for _, id := range jobs {
		if string(got[id]) != string(want[id]) {
			return fmt.Errorf("job %s differs at %s: %s and %s", id, q.Name, got[id], want[id])
		}
	}
	return nil
}

// CheckStream proves that a client got the whole of a job that went well, and nothing else.
func (c *Cluster) CheckStream(s *Stream, want string) error {
	switch end := s.End(); {
	case end == nil:
		return errors.New("the stream has no end")
	case end.Event != "end":
		return fmt.Errorf("job %s ended with %s", s.JobID, end.Data)
	case s.Text() != want:
		return fmt.Errorf("job %s: text %q, want %q", s.JobID, s.Text(), want)
	}
	return nil
}

// Reread reads a job's events from the beginning at a queen and checks them.
func (c *Cluster) Reread(ctx context.Context, queen, id, want string) error {
	s := &Stream{C: c, JobID: id, Queens: []string{queen}, Stay: true}
	if err := s.Run(ctx); err != nil {
		return fmt.Errorf("job %s read again at %s: %w", id, queen, err)
	}
	return c.CheckStream(s, want)
}
