package core

import (
	"context"
	"time"

	"queen-rbee/cluster"
	"queen-rbee/cluster/clustertest"
	"queen-rbee/cmd/internal/bench"
)

const rowLag = "a follower's state behind the leader's at low load, p99"

// raftCommitTimeout is raft's own default of what the design lowers.
const raftCommitTimeout = 50 * time.Millisecond

// lag commits a job now and then, and looks how much later than the leader a follower shows it.
func lag() bench.Family {
	return bench.Family{
		Name: "follower lag",
		Rows: []bench.Spec{{Name: rowLag, Unit: "ms", Against: "the same with raft's default CommitTimeout", Goal: bench.ValueAtMost(20)}},
		Run: func(ctx context.Context, r *bench.Rounds) error {
			return withQueens(r, 3, nil, func(ours *clustertest.Cluster) error {
				return withQueens(r, 3, func(cfg *cluster.Config) { cfg.Timings.Commit = raftCommitTimeout }, func(theirs *clustertest.Cluster) error {
					var j jobs
					for _, c := range []*clustertest.Cluster{ours, theirs} {
						if err := offer(ctx, leaderOf(c), false); err != nil {
							return err
						}
					}
					return r.Each(ctx, func(n int) error {
						v, b, err := bench.Pair(n, func() (bench.Figure, error) { return j.lag(ctx, ours, r.Span(2*time.Second)) },
							func() (bench.Figure, error) { return j.lag(ctx, theirs, r.Span(2*time.Second)) })
						r.Put(rowLag, v, b)
						return err
					})
				})
			})
		},
	}
}

// lag is the p99 of the time, in ms, by which one follower shows a job later than its submitter had the answer.
func (j *jobs) lag(ctx context.Context, c *clustertest.Cluster, span time.Duration) (bench.Figure, error) {
	ctx, cancel := context.WithTimeout(ctx, span+clustertest.Patience)
	defer cancel()
	leader, follower := leaderOf(c), c.Followers()[0].Queen()
	pause := time.NewTicker(20 * time.Millisecond)
	defer pause.Stop()
	var times []float64
	for began := time.Now(); time.Since(began) < span; {
		a, err := leader.Do(ctx, j.next())
		if err != nil {
			return bench.None, err
		}
		at := time.Now()
		if _, err := follower.WaitIndex(ctx, a.Index); err != nil {
			return bench.None, err
		}
		times = append(times, bench.Millis(time.Since(at)))
		<-pause.C
	}
	return bench.Quantile(times, 0.99), nil
}
