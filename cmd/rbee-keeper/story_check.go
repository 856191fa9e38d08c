package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"time"

	"queen-rbee/cmd/rbee-keeper/client"
)

// wrong notes why the story is not true.
func (s *story) wrong(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.report.Problems = append(s.report.Problems, fmt.Sprintf(format, args...))
}

// checkStreams compares each stream with its undisturbed run. That its ids are 1, 2, 3 … and
// its end is one, the client has checked already.
func (s *story) checkStreams() {
	r := &s.report
	for i, got := range s.runs {
		r.Reconnects += max(0, got.stats.Connections-1)
		r.Duplicates += got.stats.Repeats
		r.LongestPauseMS = max(r.LongestPauseMS, millis(got.stats.LongestPause))
		switch {
		case got.problem != nil:
			s.wrong("stream %d: %v", i+1, got.problem)
		case got.text != s.want[i].text:
			s.wrong("stream %d differs from its undisturbed run: %d tokens against %d", i+1, got.tokens, s.want[i].tokens)
		case got.stats.Repeats > 0:
			s.wrong("stream %d got %d records twice", i+1, got.stats.Repeats)
		default:
			r.StreamsWhole++
		}
	}
}

// checkJobs reads every job's events to their end at a surviving queen and compares the text,
// then asks each survivor for the state of all.
func (s *story) checkJobs(ctx context.Context) error {
	var wait sync.WaitGroup
	ended := make([]bool, len(s.jobs))
	for i, j := range s.jobs {
		wait.Go(func() {
			if err := s.checkJob(ctx, i, j); err != nil {
				s.wrong("job %s: %v", j.id, err)
				return
			}
			ended[i] = true
		})
	}
	stop := s.screen.progress(func() string { return "reading the jobs' output to the end" })
	wait.Wait()
	stop()
	for _, ok := range ended {
		if ok {
			s.report.JobsEnded++
		}
	}
	if err := context.Cause(ctx); err != nil {
		return err
	}
	return s.checkReplicas(ctx, s.survivors(s.report.Killed))
}

func (s *story) checkJob(ctx context.Context, i int, j job) error {
	c, err := s.clientAt(i, 0)
	if err != nil {
		return err
	}
	defer c.Close()
	var tr client.Transcript
	var last client.Event
	for ev, err := range c.Follow(ctx, j.id).Events() {
		if err != nil {
			return err
		}
		tr.Add(ev)
		last = ev
	}
	switch {
	case last.Kind != client.End:
		return fmt.Errorf("it ended with %s: %s", last.Data.Code, last.Data.Message)
	case tr.Text() != s.want[j.task].text:
		return errors.New("its text differs from its undisturbed run")
	}
	return nil
}

// checkReplicas asks each queen by itself whether it knows every job as complete, no job
// that nobody asked for, and the same state as the others.
func (s *story) checkReplicas(ctx context.Context, urls []string) error {
	all, err := s.each(urls)
	if err != nil {
		return err
	}
	defer all.close()
	first := s.report.Replicas == 0
	s.report.Replicas = len(urls)
	if first {
		for i, c := range all {
			lost, extra, err := s.census(ctx, c)
			if err != nil {
				return err
			}
			s.report.Lost, s.report.Duplicates = max(s.report.Lost, lost), max(s.report.Duplicates, extra)
			if lost != 0 || extra != 0 {
				s.wrong("%s: %d jobs are not complete, %d are too many", urls[i], lost, extra)
			}
		}
	}
	return s.checkHashes(ctx, all, urls)
}

// census counts, as one queen sees them, the accepted jobs that are not complete and the
// jobs that nobody asked for. A follower may be a moment behind.
func (s *story) census(ctx context.Context, c *client.Client) (lost, extra int, err error) {
	deadline := time.Now().Add(s.lag)
	accepted := s.acceptedIDs()
	err = every(ctx, 50*time.Millisecond, func() (bool, error) {
		items, err := c.Jobs(ctx, url.Values{})
		if err != nil {
			return false, err
		}
		state := map[string]string{}
		for _, j := range items {
			state[j.ID] = j.State
		}
		lost, extra = 0, len(state)-len(accepted)
		for _, id := range accepted {
			if state[id] != client.JobComplete {
				lost++
			}
			if state[id] == "" {
				extra++ // not listed, so it hides none that is too many
			}
		}
		return lost == 0 && extra == 0 || time.Now().After(deadline), nil
	})
	return lost, extra, err
}

// acceptedIDs are the jobs of all streams, undisturbed or not, and the detached ones.
func (s *story) acceptedIDs() []string {
	var ids []string
	for _, r := range append(append([]run(nil), s.want...), s.runs...) {
		ids = append(ids, r.id)
	}
	for _, j := range s.jobs {
		ids = append(ids, j.id)
	}
	return ids
}

// checkHashes compares the replicas' states at one index. The replicas go on meanwhile, so
// it is the newest index of the first one, which the others have or will have.
func (s *story) checkHashes(ctx context.Context, all clients, urls []string) error {
	newest, err := all[0].Hash(ctx, 0)
	if err != nil {
		return err
	}
	s.report.HashIndex, s.report.Hash = newest.Index, newest.Hash
	for i, c := range all[1:] {
		var h client.Hash
		err := every(ctx, 25*time.Millisecond, func() (bool, error) {
			var err error
			h, err = c.Hash(ctx, newest.Index)
			if errors.Is(err, &client.Error{Code: "replica_behind"}) {
				return false, nil
			}
			return true, err
		})
		if err != nil {
			return err
		}
		if h != newest {
			s.wrong("%s has the state %s at index %d, %s has %s", urls[i+1], h.Hash, newest.Index, urls[0], newest.Hash)
		}
	}
	return nil
}

// rejoin starts the killed queen again and measures how long until it has the state of the
// others.
func (s *story) rejoin(ctx context.Context) error {
	at := time.Now()
	if err := s.cluster.Again(ctx, s.report.Killed); err != nil {
		return err
	}
	s.report.RejoinMS = millis(time.Since(at))
	s.screen.step("%s is started again and ready after %d ms", s.report.Killed, s.report.RejoinMS)
	return nil
}
