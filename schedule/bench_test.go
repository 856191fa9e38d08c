package schedule_test

import (
	"fmt"
	"testing"

	"queen-rbee/schedule"
	"queen-rbee/schedule/scheduletest"
)

// BenchmarkPlan plans the same gather on a small world and on one a hundred to a thousand
// times its size: the time per decision should hardly differ. Run it with
//
//	go test ./schedule -run '^$' -bench Plan
func BenchmarkPlan(b *testing.B) {
	for _, size := range []struct{ hives, jobs int }{{10, 1_000}, {1_000, 1_000_000}} {
		c := crowd(b, size.hives, size.jobs, 0)
		name := fmt.Sprintf("%d_hives/%d_workers/%d_jobs", size.hives, scheduletest.Models*size.hives, size.jobs)
		for _, g := range []struct {
			name string
			reqs []schedule.Request
		}{
			{"gather", c.Gather(200)},
			{"finish", c.Gather(1)[:1]},
			{"submit", c.Gather(1)[1:]},
			{"tick", nil},
		} {
			b.Run(name+"/"+g.name, func(b *testing.B) {
				n := 0
				for b.Loop() {
					n = len(schedule.Plan(c.World, g.reqs, scheduletest.Now, 0).Batch.Commands)
				}
				if n > 0 {
					b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/decision")
				}
			})
		}
	}
}

// BenchmarkPlanPassedOver plans one finish and one submission while many jobs wait for a hive
// that is busy: the time should not depend on their number.
func BenchmarkPlanPassedOver(b *testing.B) {
	for _, waiting := range []int{1_000, 100_000} {
		c := crowd(b, 10, 0, waiting)
		b.Run(fmt.Sprintf("%d_waiting", waiting), func(b *testing.B) {
			for b.Loop() {
				schedule.Plan(c.World, c.Gather(1), scheduletest.Now, 0)
			}
		})
	}
}

func crowd(b *testing.B, hives, jobs, pinned int) *scheduletest.Crowd {
	c, err := scheduletest.NewCrowd(hives, jobs, pinned)
	if err != nil {
		b.Fatal(err)
	}
	return c
}
