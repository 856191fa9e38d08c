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
			return besideDisk(ctx, r, rowLone, nil, func(c *clustertest.Cluster, disk *bench.Disk) (_, _ func() (bench.Figure, error)) {
				var j jobs
				return func() (bench.Figure, error) {
						return j.lone(ctx, leaderOf(c), r.Span(time.Second))
					}, func() (bench.Figure, error) {
						_, p50, err := disk.Rate(r.Span(time.Second))
						return p50, err
					}
			})
		},
	}
}
