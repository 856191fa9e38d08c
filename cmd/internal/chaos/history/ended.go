package history

import "fmt"

// ended: what was accepted has ended by the last strong list, and is there. A job that is
// listed was accepted by somebody.
func ended(c *court) {
	var listed map[string]*Row
	if n := len(c.lists); n > 0 {
		listed = c.lists[n-1].rows
	}
	for _, id := range c.ids {
		j := c.jobs[id]
		if j.known() == 0 {
			continue
		}
		c.checked(Ended)
		row := listed[id]
		switch {
		case row != nil && row.Ended():
		case row != nil:
			c.violate(Ended, id, fmt.Sprintf("is still %s, attempt %d, when everything should have ended", row.State, row.Attempt), j.accepts(c.last)...)
		case c.last != nil && c.last.Start > j.known() && !c.forgotten(j, c.last.End):
			c.violate(Ended, id, "was accepted and is not listed", j.accepts(c.last)...)
		case j.ended() == nil:
			c.violate(Ended, id, "was accepted, and neither an end of it nor a strong list after it was seen", j.accepts()...)
		}
	}
}

// accepts is the operations that made a job, or the first that showed it, and more.
func (j *job) accepts(more ...*Op) []*Op {
	ops := more
	for _, op := range j.asked {
		if op.Kind == Submit {
			ops = append(ops, op)
		}
	}
	if len(ops) == len(more) && len(j.seen) > 0 {
		ops = append(ops, j.seen[0].op)
	}
	return ops
}
