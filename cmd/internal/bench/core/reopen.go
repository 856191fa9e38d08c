package core

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"queen-rbee/cluster/clustertest"
	"queen-rbee/cmd/internal/bench"
)

// reopen restarts a queen with many jobs waiting. What it has to do beside decoding them is
// to open and check its files, to replay the log behind the snapshot and to be elected.
func reopen() bench.Family {
	const row = "restart to ready with 1,000,000 jobs"
	return bench.Family{
		Name: "restart",
		Rows: []bench.Spec{{Name: row, Unit: "ms", Against: "decoding the same records from memory", Goal: bench.AtMost(5)}},
		Run: func(ctx context.Context, r *bench.Rounds) error {
			jobs := many(r, row)
			r.N = min(r.N, 3)
			return withQueens(r, 1, roomy, func(c *clustertest.Cluster) error {
				node := c.Settled()
				if err := fill(ctx, c, jobs); err != nil {
					return err
				}
				records, err := encoded(node.Queen().View())
				if err != nil {
					return err
				}
				return r.Each(ctx, func(n int) error {
					v, b, err := bench.Pair(n, func() (bench.Figure, error) {
						node.Kill()
						runtime.GC() // of the state that went with it: a process begins without
						at := time.Now()
						node.Restart()
						select {
						case <-node.Queen().Ready():
						case <-ctx.Done():
							return bench.None, ctx.Err()
						}
						took := time.Since(at)
						if got := node.Queen().View().Counts().Queued; got != jobs {
							return bench.None, fmt.Errorf("%d jobs came back of %d", got, jobs)
						}
						return bench.Figure(bench.Millis(took)), nil
					}, func() (bench.Figure, error) {
						runtime.GC()
						d, err := decode(records)
						return bench.Figure(bench.Millis(d)), err
					})
					r.Put(row, v, b)
					return err
				})
			})
		},
	}
}

// fill submits so many jobs, from as many goroutines as fill a batch.
func fill(ctx context.Context, c *clustertest.Cluster, n int) error {
	q := leaderOf(c)
	if err := offer(ctx, q, false); err != nil {
		return err
	}
	var (
		j    jobs
		left atomic.Int64
	)
	left.Store(int64(n))
	g, ctx := errgroup.WithContext(ctx)
	for range 1024 {
		g.Go(func() error {
			for left.Add(-1) >= 0 {
				if _, err := q.Do(ctx, j.next()); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}
