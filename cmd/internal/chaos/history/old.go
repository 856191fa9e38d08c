package history

import (
	"fmt"
	"maps"
	"slices"
	"sort"
)

// old: no attempt is ever shown beyond the one that a job ended with, a strong read is never
// behind what anybody was shown before it began, and no connection goes back to an earlier
// attempt.
func old(c *court) {
	for _, id := range c.ids {
		j := c.jobs[id]
		if len(j.seen) == 0 {
			continue
		}
		c.checked(Old)
		c.beyondEnd(j)
		c.backwards(j)
		for _, op := range j.asked {
			if op.Kind == Stream {
				c.assignments(j, op)
			}
		}
	}
}

func (c *court) beyondEnd(j *job) {
	var last *sight
	for i := range j.seen {
		if s := &j.seen[i]; s.end != nil && (s.row || last == nil && s.op.Kind == Stream) {
			last = s
		}
	}
	if last == nil {
		return
	}
	for _, s := range j.seen {
		if s.attempt > last.attempt {
			c.violate(Old, j.id, fmt.Sprintf("ended with attempt %d, and attempt %d was shown", last.attempt, s.attempt), last.op, s.op)
			return
		}
	}
}

func (c *court) backwards(j *job) {
	newest := make([]*sight, len(j.seen)) // of the highest attempt up to each
	for i := range j.seen {
		newest[i] = &j.seen[i]
		if i > 0 && newest[i-1].attempt > j.seen[i].attempt {
			newest[i] = newest[i-1]
		}
	}
	for _, s := range j.seen {
		if !s.strong {
			continue
		}
		n := sort.Search(len(j.seen), func(i int) bool { return j.seen[i].at >= s.op.Start }) // in order of at
		if n > 0 && newest[n-1].attempt > s.attempt {
			c.violate(Old, j.id, fmt.Sprintf("was at attempt %d, and a strong read that began later shows attempt %d", newest[n-1].attempt, s.attempt), newest[n-1].op, s.op)
			return
		}
	}
}

func (c *court) assignments(j *job, op *Op) {
	var newest uint64
	for n, f := range op.Frames {
		attempt, ok := assigned(f)
		if !ok {
			var err error
			if attempt, _, err = parseID(f.ID); err != nil {
				continue
			}
		}
		if attempt < newest {
			c.violate(Old, j.id, fmt.Sprintf("was at attempt %d, and frame %d of the same connection is of attempt %d", newest, n+1, attempt), op)
			return
		}
		newest = attempt
	}
}

// sorted is a map's keys in order.
func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
