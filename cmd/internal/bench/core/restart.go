package core

import (
	"context"
	"errors"
	"sync"
	"time"

	"queen-rbee/cluster/clustertest"
	"queen-rbee/cmd/internal/bench"
	"queen-rbee/fsm"
)

const rowPlanned = "planned restart of the leader, longest gap between commits"

// planned stops the leader in order and starts it again, and kills the next one, while the
// other queens go on submitting.
func planned() bench.Family {
	return bench.Family{
		Name: "planned restart",
		Rows: []bench.Spec{{Name: rowPlanned, Unit: "ms", Against: "the same when it is killed", Goal: bench.AtMost(0.1)}},
		Run: func(ctx context.Context, r *bench.Rounds) error {
			return withQueens(r, 3, nil, func(c *clustertest.Cluster) error {
				if err := offer(ctx, leaderOf(c), false); err != nil {
					return err
				}
				var j jobs
				return r.Each(ctx, func(n int) error {
					v, b, err := bench.Pair(n, func() (bench.Figure, error) { return j.gap(ctx, c, (*clustertest.Node).Stop) },
						func() (bench.Figure, error) { return j.gap(ctx, c, (*clustertest.Node).Kill) })
					r.Put(rowPlanned, v, b)
					return err
				})
			})
		},
	}
}

// gap ends the leader and starts it again while submitters at the other queens go on, and
// tells the longest time, in ms, in which none of them had an answer.
func (j *jobs) gap(ctx context.Context, c *clustertest.Cluster, end func(*clustertest.Node)) (bench.Figure, error) {
	leader, others := c.Settled(), c.Followers()
	s := &answers{}
	loaded, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	fails := make(chan error, len(others))
	for _, o := range others {
		q := o.Queen()
		wg.Go(func() {
			for loaded.Err() == nil {
				_, err := q.Do(loaded, j.next())
				var coded *fsm.Error
				switch {
				case err == nil:
					s.note(time.Now())
				case loaded.Err() != nil:
				case errors.As(err, &coded) && coded.Code == fsm.CodeUnknownOutcome:
				default:
					fails <- err
					return
				}
			}
		})
	}
	s.await(50)
	end(leader)
	s.await(50)
	leader.Restart()
	c.Settled()
	stop()
	wg.Wait()
	select {
	case err := <-fails:
		return bench.None, err
	default:
		return bench.Figure(bench.Millis(s.longest)), nil
	}
}

// answers are when submissions were answered.
type answers struct {
	mu      sync.Mutex
	count   int
	last    time.Time
	longest time.Duration
	want    int           // close reached at so many
	reached chan struct{} // nil when nobody waits
}

func (s *answers) note(at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.last.IsZero() {
		s.longest = max(s.longest, at.Sub(s.last))
	}
	s.last = at
	if s.count++; s.reached != nil && s.count >= s.want {
		close(s.reached)
		s.reached = nil
	}
}

// await waits for n more answers, at most Patience.
func (s *answers) await(n int) {
	reached := make(chan struct{})
	s.mu.Lock()
	s.want, s.reached = s.count+n, reached
	s.mu.Unlock()
	limit := time.NewTimer(clustertest.Patience)
	defer limit.Stop()
	select {
	case <-reached:
	case <-limit.C:
	}
}
