package history

import (
	"fmt"
	"net/http"
)

// refusals: what was refused is not there later, what was accepted is never answered 404, and
// one key makes one job.
func refusals(c *court) {
	for _, id := range c.ids {
		c.neverMissing(c.jobs[id])
		c.neverMade(c.jobs[id])
	}
	c.keys()
	c.strangers()
}

// neverMissing: a request that began when the job was known finds it, at every queen.
func (c *court) neverMissing(j *job) {
	known := j.known()
	if known == 0 {
		return
	}
	for _, op := range j.asked {
		if op.Start <= known || op.Kind == Submit || op.End == 0 {
			continue
		}
		c.checked(Refusals)
		gone := op.Status == http.StatusNotFound || op.Code == "events_expired"
		if n := len(op.Frames); n > 0 && op.Frames[n-1].Event == "error" {
			gone = gone || frameEnd(op.Frames[n-1]).code == "events_expired"
		}
		if gone && !c.forgotten(j, op.End) {
			c.violate(Refusals, j.id, fmt.Sprintf("was accepted and is answered %d %s", op.Status, op.Code), j.accepts(op)...)
			return
		}
	}
}

// neverMade: a job that a refusal names does not exist, unless another submission made it.
func (c *court) neverMade(j *job) {
	var no *Op
	for _, op := range j.asked {
		switch {
		case op.Kind != Submit:
		case op.Outcome == Refused:
			no = op
		default:
			return
		}
	}
	if no == nil {
		return
	}
	c.checked(Refusals)
	if len(j.seen) > 0 {
		c.violate(Refusals, j.id, "was refused and is there", no, j.seen[0].op)
	}
}

// keys: submissions of one key are given one job, and are not told that they differ when they do not.
func (c *court) keys() {
	first := map[string]*Op{}
	tasks := map[string]*Op{}
	differs := map[string]bool{}
	for i := range c.ops {
		op := &c.ops[i]
		if op.Kind != Submit || op.Key == "" {
			continue
		}
		was := tasks[op.Key]
		if was == nil {
			tasks[op.Key] = op
		} else if was.Attached != op.Attached || (was.Task == nil) != (op.Task == nil) || op.Task != nil && *was.Task != *op.Task {
			differs[op.Key] = true
		}
	}
	for i := range c.ops {
		op := &c.ops[i]
		switch {
		case op.Kind != Submit || op.Key == "":
		case op.Outcome == OK && first[op.Key] == nil:
			first[op.Key] = op
		case op.Outcome == OK:
			c.checked(Refusals)
			if was := first[op.Key]; was.JobID != op.JobID {
				c.violate(Refusals, op.JobID, fmt.Sprintf("is made under the key %s, which had made job %s", op.Key, was.JobID), was, op)
			}
		case op.Code == "idempotency_mismatch" && !differs[op.Key]:
			c.violate(Refusals, "", fmt.Sprintf("one request under the key %s is called two", op.Key), tasks[op.Key], op)
		}
	}
}

// strangers: the last strong list has no more jobs that nobody was told of than there are
// submissions of which nobody knows what became.
func (c *court) strangers() {
	if c.last == nil {
		return
	}
	unknown := map[string]bool{} // by key, or by operation without one
	told := map[string]bool{}
	for i := range c.ops {
		op := &c.ops[i]
		switch {
		case op.Kind == Submit && op.JobID != "" && op.Outcome != Refused:
			told[op.JobID] = true
		case op.Kind == Submit && op.result() == Unknown && op.Key == "":
			unknown[fmt.Sprint("#", op.ID)] = true
		case op.Kind == Submit && op.result() == Unknown:
			unknown[op.Key] = true
		case op.Kind == List && op.End != 0 && op.End < c.first:
			for _, r := range op.Rows {
				told[r.ID] = true // from before
			}
		}
	}
	for i := range c.ops {
		if op := &c.ops[i]; op.Kind == Submit && op.Outcome == OK {
			delete(unknown, op.Key)
		}
	}
	var strangers []string
	for _, r := range c.last.Rows {
		if !told[r.ID] {
			strangers = append(strangers, r.ID)
		}
	}
	c.checked(Refusals)
	if len(strangers) > len(unknown) {
		c.violate(Refusals, "", fmt.Sprintf("the jobs %v are there, and only %d submissions may have made a job that nobody was told of", strangers, len(unknown)), c.last)
	}
}
