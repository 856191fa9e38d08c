package core

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"queen-rbee/cluster"
	"queen-rbee/cmd/internal/bench"
	"queen-rbee/cmd/rbee-keeper/client"
	"queen-rbee/cmd/rbee-keeper/local"
)

const (
	rowFailoverP50 = "SIGKILL of the leader to the first new commit, p50"
	rowFailoverMax = "SIGKILL of the leader to the first new commit, longest"
	rowElections   = "elections under full CPU load with writes"
)

// failover kills the leading process of three, again and again, and then lets the three
// compete with more than all cores can do.
func failover() bench.Family {
	against := "heartbeat timeout"
	return bench.Family{
		Name: "failover",
		Rows: []bench.Spec{
			{Name: rowFailoverP50, Unit: "ms", Against: against, Goal: bench.AtMost(2)},
			{Name: rowFailoverMax, Unit: "ms", Against: against, Goal: bench.AtMost(3)},
			{Name: rowElections, Unit: "elections", Goal: bench.ValueAtMost(0)},
		},
		Run: func(ctx context.Context, r *bench.Rounds) (err error) {
			c, err := local.New(local.Config{Dir: filepath.Join(r.Dir, "cluster"), Queens: 3, Hives: 1, Slots: 4, TokenRate: 1000})
			if err != nil {
				return err
			}
			defer func() {
				if stopped := c.Stop(); err == nil {
					err = stopped
				}
			}()
			if err := c.Start(ctx); err != nil {
				return err
			}
			p := &processes{c: c, r: r, queens: map[string]*client.Client{}}
			defer p.close()
			if err := p.meet(); err != nil {
				return err
			}
			if err := p.kills(ctx); err != nil {
				return err
			}
			return p.elections(ctx)
		},
	}
}

// processes is the family being measured.
type processes struct {
	c      *local.Cluster
	r      *bench.Rounds
	queens map[string]*client.Client // by URL, each asks that queen alone
}

// meet makes the clients.
func (p *processes) meet() error {
	for _, url := range p.c.QueenURLs() {
		q, err := client.New(client.Config{Queens: []string{url}, APIKey: p.c.Key(), Patience: 30 * time.Second})
		if err != nil {
			return err
		}
		p.queens[url] = q
	}
	return nil
}

func (p *processes) close() {
	for _, q := range p.queens {
		q.Close()
	}
}

func (p *processes) kills(ctx context.Context) error {
	trials := 20
	if p.r.Quick {
		trials = 6
	}
	heartbeat := bench.Figure(bench.Millis(cluster.LAN().Heartbeat))
	var longest bench.Figure
	p.r.Warm()
	for range trials {
		if err := p.r.Round(ctx, func() error {
			ms, err := p.kill(ctx)
			if err != nil {
				return err
			}
			longest = max(longest, ms)
			p.r.Put(rowFailoverP50, ms, heartbeat)
			return nil
		}); err != nil {
			return err
		}
	}
	p.r.Put(rowFailoverMax, longest, heartbeat)
	p.r.Note(rowFailoverMax, "of %d trials", trials)
	return nil
}

// kill kills the leader, and tells how long it was until one of the others had a job accepted
// that it was asked for after that.
func (p *processes) kill(ctx context.Context) (bench.Figure, error) {
	before, err := p.queens[p.c.QueenURLs()[0]].Cluster(ctx)
	if err != nil {
		return bench.None, err
	}
	var others []*client.Client
	for url, q := range p.queens {
		if url == p.c.QueenURL(before.Leader) {
			continue
		}
		if _, err := q.Submit(ctx, task(), ""); err != nil { // it knows the leader, and its connection stands
			return bench.None, err
		}
		others = append(others, q)
	}
	at := time.Now()
	if err := p.c.Kill(ctx, before.Leader); err != nil {
		return bench.None, err
	}
	took, err := first(ctx, others, at)
	if err != nil {
		return bench.None, err
	}
	return bench.Figure(bench.Millis(took)), p.c.Again(ctx, before.Leader)
}

// first submits through several queens at once, and tells how long after at the first
// submission was accepted.
func first(ctx context.Context, queens []*client.Client, at time.Time) (time.Duration, error) {
	type end struct {
		took time.Duration
		err  error
	}
	ends := make(chan end, len(queens))
	for _, q := range queens {
		go func() {
			_, err := q.Submit(ctx, task(), "")
			ends <- end{time.Since(at), err}
		}()
	}
	var best time.Duration
	var failed error
	for range queens {
		switch e := <-ends; {
		case e.err != nil:
			failed = e.err
		case best == 0 || e.took < best:
			best = e.took
		}
	}
	return best, failed
}

// task is as short as any can be.
func task() client.Task {
	one := 1
	return client.Task{Model: "builtin/markov", Prompt: "The queen", MaxTokens: &one}
}

// elections counts changes of the term while twice as many loops as there are cores run and
// jobs are submitted through all queens.
func (p *processes) elections(ctx context.Context) error {
	span := p.r.Span(time.Minute)
	before, err := p.term(ctx)
	if err != nil {
		return err
	}
	loaded, stop := context.WithTimeout(ctx, span)
	defer stop()
	var wg sync.WaitGroup
	for range 2 * runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for n := uint64(1); loaded.Err() == nil; {
				for range 1 << 20 {
					n = n*6364136223846793005 + 1
				}
			}
		})
	}
	var accepted atomic.Int64
	for _, q := range p.queens {
		wg.Go(func() {
			for loaded.Err() == nil {
				if _, err := q.Submit(loaded, task(), ""); err == nil {
					accepted.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	after, err := p.term(ctx)
	if err != nil {
		return err
	}
	p.r.Put(rowElections, bench.Figure(after-before), bench.None)
	p.r.Note(rowElections, "in %v, with %d jobs accepted beside it", span, accepted.Load())
	return nil
}

// term is the greatest that any queen is in.
func (p *processes) term(ctx context.Context) (uint64, error) {
	var terms []uint64
	for _, q := range p.queens {
		c, err := q.Cluster(ctx)
		if err != nil {
			return 0, fmt.Errorf("the term of a queen: %w", err)
		}
		terms = append(terms, c.Term)
	}
	return slices.Max(terms), nil
}
