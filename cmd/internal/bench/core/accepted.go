package core

import (
	"context"
	"fmt"
	"time"

	"queen-rbee/cluster"
	"queen-rbee/cluster/clustertest"
	"queen-rbee/cmd/internal/bench"
)

// accepted lets many submitters submit at the leader, each one job after the other. The jobs
// wait: nothing but accepting them is measured.
func accepted(submitters int, goal float64) bench.Family {
	row := fmt.Sprintf("accepted jobs/s, %d submitters", submitters)
	cost := fmt.Sprintf("CPU of one accepted job on all three queens, %d submitters", submitters)
	return bench.Family{
		Name: row,
		Rows: []bench.Spec{{Name: row, Unit: "jobs/s", Against: "fdatasync/s", Goal: bench.AtLeast(goal)}, {Name: cost, Unit: "us"}},
		Run: func(ctx context.Context, r *bench.Rounds) error {
			return besideDisk(ctx, r, row, roomy, func(c *clustertest.Cluster, disk *bench.Disk) (_, _ func() (bench.Figure, error)) {
				var j jobs
				return func() (bench.Figure, error) {
						q, cpu, made := leaderOf(c), bench.CPU(), j.made.Load()
						rate, err := crowd(ctx, submitters, r.Span(time.Second), func(ctx context.Context) error {
							_, err := q.Do(ctx, j.next())
							return err
						})
						r.Put(cost, bench.Figure(bench.Micros(bench.CPU()-cpu)/float64(j.made.Load()-made)), bench.None)
						return rate, err
					}, func() (bench.Figure, error) {
						rate, _, err := disk.Rate(r.Span(time.Second))
						return rate, err
					}
			})
		},
	}
}

// roomy lets more jobs wait than a run can make.
func roomy(cfg *cluster.Config) {
	cfg.Limits.QueuedJobs, cfg.Limits.QueuedBytes = 1<<30, 1<<40
}
