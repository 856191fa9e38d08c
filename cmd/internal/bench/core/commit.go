package core

import (
	"context"
	"time"

	"queen-rbee/cluster/clustertest"
	"queen-rbee/cmd/internal/bench"
)

const rowLone = "one lone commit, p50"

// loneCommit submits one job after the other at the leader, whose answer is one commit.
func loneCommit() bench.Family {
	return bench.Family{
		Name: "lone commit",
		Rows: []bench.Spec{{Name: rowLone, Unit: "ms", Against: "fdatasync, p50", Goal: bench.AtMost(3)}},
		Run: func(ctx context.Context, r *bench.Rounds) error {
			return withQueens(r, 3, nil, func(c *clustertest.Cluster) error {
				disk, err := bench.OpenDisk(r.Dir)
				if err != nil {
					return err
				}
				defer disk.Close()
				var j jobs
				if err := offer(ctx, leaderOf(c), false); err != nil {
					return err
				}
				return r.Each(ctx, func(n int) error {
					v, b, err := bench.Pair(n, func() (bench.Figure, error) {
						return j.lone(ctx, leaderOf(c), r.Span(time.Second))
					}, func() (bench.Figure, error) {
						_, p50, err := disk.Rate(r.Span(time.Second))
						return p50, err
					})
					r.Put(rowLone, v, b)
					return err
				})
			})
		},
	}
}
