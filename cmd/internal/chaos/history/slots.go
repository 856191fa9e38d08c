package history

import (
	"fmt"
	"slices"
)

// slots: in no sample of any queen has a worker more running jobs than slots. A list counts
// where all its rows are of one state.
func slots(c *court) {
	size := map[string]int{}
	for i := range c.ops {
		for _, w := range c.ops[i].Workers {
			size[w.ID] = w.Slots
		}
	}
	for i := range c.ops {
		op := &c.ops[i]
		if op.Outcome != OK {
			continue
		}
		for _, w := range op.Workers {
			c.checked(Slots)
			if w.Busy > w.Slots {
				c.violate(Slots, "", fmt.Sprintf("worker %s runs %d jobs on %d slots", w.ID, w.Busy, w.Slots), op)
			}
		}
		if op.Kind != List || op.Pages != 1 {
			continue
		}
		running := map[string][]string{}
		for _, r := range op.Rows {
			if r.State == "running" {
				running[r.Worker] = append(running[r.Worker], r.ID)
			}
		}
		for _, worker := range sorted(running) {
			n, known := size[worker]
			if !known {
				continue
			}
			c.checked(Slots)
			if jobs := running[worker]; len(jobs) > n {
				slices.Sort(jobs)
				c.violate(Slots, "", fmt.Sprintf("worker %s has %d slots and runs %v", worker, n, jobs), op)
			}
		}
	}
}
