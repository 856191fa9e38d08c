package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"queen-rbee/cmd/rbee-keeper/client"
	"queen-rbee/cmd/rbee-keeper/local"
)

// story is what the demo does: undisturbed runs to compare with, then the same prompts again
// as streams and as queued jobs, with the leader killed in the middle.
type story struct {
	k       *keeper
	cluster processes
	cfg     local.Config
	screen  *screen
	model   string
	size    struct{ streams, jobs, tokens int }
	lag     time.Duration // how far a replica may be behind when it is asked
	began   time.Time

	want    []run        // undisturbed, one for each task
	runs    []run        // the streams
	started atomic.Int64 // streams that show tokens
	ended   atomic.Int64 // streams that ended

	mu     sync.Mutex
	jobs   []job
	killed time.Time // zero until the leader is dead
	report report
}

// processes is what the story needs of a local cluster.
type processes interface {
	Key() string
	QueenURLs() []string
	QueenURL(name string) string
	Kill(ctx context.Context, name string) error  // SIGKILL, returns when it is over
	Again(ctx context.Context, name string) error // starts it, returns when it is ready
}

// run is what one stream gave.
type run struct {
	id      string
	text    string
	tokens  int
	problem error // why it is not whole
	stats   client.Stats
}

// job is one accepted detached job.
type job struct {
	id   string
	task int
}

// midStream is how many tokens a stream has shown when it counts as running.
const midStream = 8

var prompts = []string{
	"The queen of the hive", "Once upon a time", "A bee that found", "In the morning the workers",
	"When the leader falls", "Nobody in the garden", "The honey of the year", "Far away from home",
}

// task i is the same prompt, seed and length every time it is asked.
func (s *story) task(i int) client.Task {
	seed, tokens := int64(1000+i), s.size.tokens
	return client.Task{Model: s.model, Prompt: prompts[i%len(prompts)], Seed: &seed, MaxTokens: &tokens}
}

// tell runs the story from a ready cluster to the report.
func (s *story) tell(ctx context.Context) error {
	s.report = report{Problems: []string{}, Queens: s.cfg.Queens, Hives: s.cfg.Hives, Streams: s.size.streams, Jobs: s.size.jobs}
	s.screen.step("%d prompts run undisturbed, to compare with", s.size.streams)
	s.want = s.stream(ctx)
	for i, r := range s.want {
		if r.problem != nil {
			return fmt.Errorf("the undisturbed run of prompt %d failed: %w", i+1, r.problem)
		}
	}
	if err := s.storm(ctx); err != nil {
		return err
	}
	s.screen.step("checking every stream, every job and every replica")
	s.checkStreams()
	if err := s.checkJobs(ctx); err != nil {
		return err
	}
	if err := s.rejoin(ctx); err != nil {
		return err
	}
	if err := s.checkReplicas(ctx, s.cluster.QueenURLs()); err != nil {
		return err
	}
	s.report.True = len(s.report.Problems) == 0
	return nil
}

// storm runs streams and jobs and kills the leader in the middle of both.
func (s *story) storm(ctx context.Context) error {
	s.started.Store(0)
	s.ended.Store(0)
	s.screen.step("the same %d prompts stream through %d queens, %d jobs are queued beside them",
		s.size.streams, s.cfg.Queens, s.size.jobs)
	stop := s.screen.progress(s.line)
	defer stop()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	group, ctx := errgroup.WithContext(ctx)
	if err := s.strike(ctx, group); err != nil {
		cancel()
		return cmp.Or(ignoreCancel(group.Wait()), err)
	}
	return group.Wait()
}

// ignoreCancel drops the echo of a cancellation, so that its reason is told instead.
func ignoreCancel(err error) error {
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// strike puts the load into group, kills the leader in the middle of it, and goes on.
func (s *story) strike(ctx context.Context, group *errgroup.Group) error {
	group.Go(func() error { s.runs = s.stream(ctx); return nil })
	before := s.size.jobs * 2 / 3
	group.Go(func() error { return s.submit(ctx, 0, before) })
	if err := s.awaitMidStream(ctx, before); err != nil {
		return err
	}
	leader, err := s.leader(ctx)
	if err != nil {
		return err
	}
	at := time.Now()
	if err := s.cluster.Kill(ctx, leader); err != nil {
		return err
	}
	s.mu.Lock()
	s.killed, s.report.Killed = at, leader
	s.mu.Unlock()
	s.screen.step("%s, the leader, is killed (SIGKILL) while %d streams show text", leader, s.started.Load()-s.ended.Load())
	group.Go(func() error { return s.submit(ctx, before, s.size.jobs) })
	group.Go(func() error { return s.awaitLeader(ctx, leader) })
	return nil
}

// stream runs every task once as a stream, each by a client of its own that starts at
// another queen.
func (s *story) stream(ctx context.Context) []run {
	out := make([]run, s.size.streams)
	var wait sync.WaitGroup
	for i := range out {
		wait.Go(func() { out[i] = s.streamOne(ctx, i) })
	}
	wait.Wait()
	return out
}

func (s *story) streamOne(ctx context.Context, i int) (r run) {
	c, err := s.clientAt(i, 0)
	if err != nil {
		return run{problem: err}
	}
	defer c.Close()
	st := c.Stream(ctx, s.task(i), "")
	var tr client.Transcript
	for ev, err := range st.Events() {
		if err != nil {
			r.problem = err
			break
		}
		tr.Add(ev)
		if ev.Kind == client.Token && tr.Tokens() == midStream {
			s.started.Add(1)
		}
		if ev.Kind == client.Failure {
			r.problem = fmt.Errorf("job %s: %s: %s", st.JobID(), ev.Data.Code, ev.Data.Message)
		}
	}
	s.ended.Add(1)
	r.id, r.text, r.tokens, r.stats = st.JobID(), tr.Text(), tr.Tokens(), st.Stats()
	if tr.Restarts > 0 && r.problem == nil {
		r.problem = fmt.Errorf("job %s took back text already shown", st.JobID())
	}
	return r
}

// clientAt makes a client that starts at queen i; patience 0 is the client's own.
func (s *story) clientAt(i int, patience time.Duration) (*client.Client, error) {
	urls := s.cluster.QueenURLs()
	n := i % len(urls)
	return client.New(client.Config{
		Queens: append(append([]string(nil), urls[n:]...), urls[:n]...), APIKey: s.cluster.Key(), Patience: patience,
	})
}

// submit sends the detached jobs from..to, a few at a time, each at another queen.
func (s *story) submit(ctx context.Context, from, to int) error {
	var group errgroup.Group
	group.SetLimit(6)
	for i := from; i < to; i++ {
		group.Go(func() error {
			c, err := s.clientAt(i, 30*time.Second)
			if err != nil {
				return err
			}
			defer c.Close()
			t := s.task(i % s.size.streams)
			t.Priority = "batch"
			a, err := c.Submit(ctx, t, "")
			if err != nil {
				return fmt.Errorf("job %d was refused: %w", i+1, err)
			}
			s.accepted(job{id: a.JobID, task: i % s.size.streams})
			return nil
		})
	}
	return group.Wait()
}

// accepted notes a job, and the first that was accepted after the leader's death: that is
// the first new commit a client can see.
func (s *story) accepted(j job) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.jobs = append(s.jobs, j)
	if !s.killed.IsZero() && s.report.CommitMS == 0 {
		s.report.CommitMS = max(1, millis(time.Since(s.killed)))
	}
}

func (s *story) accepts() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.jobs)
}

// awaitMidStream waits until half of the streams that fit show text, and all jobs of the
// first part are accepted.
func (s *story) awaitMidStream(ctx context.Context, jobs int) error {
	enough := int64(max(1, min(s.size.streams, s.cfg.Hives*s.cfg.Slots)/2))
	return every(ctx, 5*time.Millisecond, func() (bool, error) {
		if s.ended.Load() > 0 && s.ended.Load() == int64(s.size.streams) {
			return false, errors.New("all streams ended before the leader could be killed: use more --tokens or a lower --token-rate")
		}
		return s.started.Load()-s.ended.Load() >= enough && s.accepts() >= jobs, nil
	})
}

// every asks done again and again until it says true or fails, or ctx ends.
func every(ctx context.Context, pause time.Duration, done func() (bool, error)) error {
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for {
		if ok, err := done(); ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}

func (s *story) leader(ctx context.Context) (string, error) {
	c, err := s.clientAt(0, 0)
	if err != nil {
		return "", err
	}
	defer c.Close()
	cl, err := c.Cluster(ctx)
	if err != nil {
		return "", err
	}
	if s.cluster.QueenURL(cl.Leader) == "" {
		return "", fmt.Errorf("the cluster names %q as its leader, which is none of its queens", cl.Leader)
	}
	return cl.Leader, nil
}

// awaitLeader measures how long it takes until a survivor names another leader.
func (s *story) awaitLeader(ctx context.Context, old string) error {
	survivors, err := s.each(s.survivors(old))
	if err != nil {
		return err
	}
	defer survivors.close()
	return every(ctx, 5*time.Millisecond, func() (bool, error) {
		for _, c := range survivors {
			cl, err := c.Cluster(ctx)
			if err != nil || cl.Leader == "" || cl.Leader == old {
				continue
			}
			s.mu.Lock()
			s.report.NewLeader, s.report.LeaderMS = cl.Leader, millis(time.Since(s.killed))
			s.mu.Unlock()
			s.screen.step("%s leads, %d ms after", cl.Leader, s.report.LeaderMS)
			return true, nil
		}
		return false, nil
	})
}

func (s *story) survivors(dead string) []string {
	var urls []string
	for _, u := range s.cluster.QueenURLs() {
		if u != s.cluster.QueenURL(dead) {
			urls = append(urls, u)
		}
	}
	return urls
}

// clients are one for each queen, which ask that queen alone.
type clients []*client.Client

func (s *story) each(urls []string) (clients, error) {
	var all clients
	for _, u := range urls {
		c, err := client.New(client.Config{Queens: []string{u}, APIKey: s.cluster.Key()})
		if err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	return all, nil
}

func (cs clients) close() {
	for _, c := range cs {
		c.Close()
	}
}

// line is the live line under the steps.
func (s *story) line() string {
	return fmt.Sprintf("%d streams show text, %d of %d ended, %d of %d jobs accepted",
		s.started.Load()-s.ended.Load(), s.ended.Load(), s.size.streams, s.accepts(), s.size.jobs)
}
