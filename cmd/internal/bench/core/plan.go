package core

import (
	"context"
	"time"

	"queen-rbee/cmd/internal/bench"
	"queen-rbee/schedule"
	"queen-rbee/schedule/scheduletest"
)

const (
	rowPlan     = "a plan's time per decision over 1,000 hives, 10,000 workers, 1,000,000 jobs"
	rowThorough = "a plan that looks at that whole fleet, ten times a second"
)

// plans plans finishes and submissions over a large world and a small one. Both are made at
// once and stay, so that the garbage collector favours neither.
func plans() bench.Family {
	small := "the same over 10, 100 and 1,000"
	return bench.Family{
		Name: "plan",
		Rows: []bench.Spec{
			{Name: rowPlan, Unit: "us", Against: small, Goal: bench.AtMost(3)},
			{Name: rowThorough, Unit: "ms", Against: small},
		},
		Run: func(ctx context.Context, r *bench.Rounds) error {
			large, err := scheduletest.NewCrowd(1_000, 1_000_000, 0)
			if err != nil {
				return err
			}
			little, err := scheduletest.NewCrowd(10, 1_000, 0)
			if err != nil {
				return err
			}
			return r.Each(ctx, func(n int) error {
				span := r.Span(600 * time.Millisecond)
				for row, reqs := range map[string]func(*scheduletest.Crowd) []schedule.Request{
					rowPlan:     func(c *scheduletest.Crowd) []schedule.Request { return c.Gather(200) },
					rowThorough: func(*scheduletest.Crowd) []schedule.Request { return nil },
				} {
					v, b, _ := bench.Pair(n, func() (bench.Figure, error) { return planning(large, reqs(large), span), nil },
						func() (bench.Figure, error) { return planning(little, reqs(little), span), nil })
					r.Put(row, v, b)
				}
				return nil
			})
		},
	}
}

// planning plans the same again and again for a time: the median, in us for each decision,
// or in ms for the whole plan when nothing is asked.
func planning(c *scheduletest.Crowd, reqs []schedule.Request, span time.Duration) bench.Figure {
	var times []float64
	for began := time.Now(); time.Since(began) < span; {
		at := time.Now()
		p := schedule.Plan(c.World, reqs, scheduletest.Now, 0)
		d := time.Since(at)
		if len(reqs) == 0 {
			times = append(times, bench.Millis(d))
		} else {
			times = append(times, bench.Micros(d)/float64(len(p.Batch.Commands)))
		}
	}
	return bench.Median(times)
}
