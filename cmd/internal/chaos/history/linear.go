package history

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"
)

// patience is how long linear searches if Options do not say.
const patience = 30 * time.Second

// linear: for each job there is one order of what was done to it and shown of it, in keeping
// with the time at which each was asked and answered, in which it lives as model says.
func linear(c *court) {
	left := c.o.Patience
	if left == 0 {
		left = patience
	}
	until := time.Now().Add(left)
	groups := c.groups()
	for _, name := range sorted(groups) {
		g := groups[name]
		steps := g.steps(c)
		c.checked(Linear)
		left := time.Until(until)
		if left <= 0 {
			c.v.Undecided = append(c.v.Undecided, name)
			continue
		}
		switch porcupine.CheckOperationsTimeout(model(g), steps, left) {
		case porcupine.Illegal:
			c.violate(Linear, "", g.explain(name, steps, max(left, time.Second)), g.ops...)
		case porcupine.Unknown:
			c.v.Undecided = append(c.v.Undecided, name)
		}
	}
}

// group is what belongs together: a job, and all submissions under its key with the jobs that
// they may have made instead.
type group struct {
	jobs     []*job
	submits  []*Op
	attached bool
	ops      []*Op // that steps come from
}

// groups are named by key or by job.
func (c *court) groups() map[string]*group {
	all := map[string]*group{}
	at := func(name string) *group {
		if all[name] == nil {
			all[name] = &group{}
		}
		return all[name]
	}
	of := map[string]string{} // job to group
	for i := range c.ops {
		op := &c.ops[i]
		if op.Kind != Submit || op.result() == Refused || op.Key == "" && op.JobID == "" {
			continue // what it did, if anything, nobody can tell
		}
		name := "key " + op.Key
		if op.Key == "" {
			name = "job " + op.JobID
		}
		if op.JobID != "" {
			of[op.JobID] = name
		}
		g := at(name)
		g.submits = append(g.submits, op)
		g.attached = g.attached || op.Attached
	}
	for _, id := range c.ids {
		name := of[id]
		if name == "" {
			name = "job " + id
		}
		g := at(name)
		g.jobs = append(g.jobs, c.jobs[id])
	}
	return all
}

// steps are the group's operations as porcupine takes them. What may have been done is a step
// that never returns, and one of each kind is enough: a second one could do no more. What was
// shown by a read that may be old holds for some time before it was shown; the earliest of
// each says all.
func (g *group) steps(c *court) []porcupine.Operation {
	var steps []porcupine.Operation
	begun := int64(1)
	if len(g.submits) > 0 {
		begun = slices.MinFunc(g.submits, func(a, b *Op) int { return cmp.Compare(a.Start, b.Start) }).Start
	}
	did := map[step]bool{}
	add := func(s step, op *Op, from, to int64) {
		once := s
		if once.end != nil {
			once.end, once.told = nil, *s.end
		}
		if to == math.MaxInt64 || from < op.Start {
			if did[once] {
				return
			}
			did[once] = true
		}
		g.ops = append(g.ops, op)
		steps = append(steps, porcupine.Operation{Input: s, Call: from, Return: to})
	}
	for _, op := range g.submits {
		if op.Outcome == OK {
			add(step{do: made, job: op.JobID}, op, op.Start, op.End)
		} else {
			add(step{do: mayMake, job: op.JobID}, op, op.Start, math.MaxInt64)
		}
	}
	for _, j := range g.jobs {
		for _, op := range j.asked {
			gone := op.Status == 404 && (op.Kind == Show && op.Strong || op.Kind == Cancel)
			switch {
			case gone && !c.forgotten(j, op.End):
				add(step{do: missing, job: j.id}, op, op.Start, op.End)
			case op.Kind == Cancel && op.Outcome == OK:
				add(step{do: wished, job: j.id}, op, op.Start, op.End)
			case op.Kind == Cancel && op.result() == Unknown:
				add(step{do: mayWish, job: j.id}, op, op.Start, math.MaxInt64)
			}
		}
		for i := range j.seen {
			s := &j.seen[i]
			from := begun
			if s.strong {
				from = max(begun, s.op.Start)
			}
			look := step{do: shown, job: j.id, end: s.end, attempt: s.attempt}
			if s.end == nil {
				look.queued, look.ending, look.row = s.state == "queued", s.ending, s.row
			}
			add(look, s.op, min(from, s.at), s.at)
		}
	}
	for _, l := range c.lists {
		for _, j := range g.jobs {
			if l.rows[j.id] == nil && !c.forgotten(j, l.op.End) {
				add(step{do: missing, job: j.id}, l.op, l.op.Start, l.op.End)
			}
		}
	}
	return steps
}

// explain says how far the search came: the longest orders that it found, and what none of
// them could take in.
func (g *group) explain(name string, steps []porcupine.Operation, most time.Duration) string {
	_, info := porcupine.CheckOperationsVerbose(model(g), steps, most)
	var longest []int
	for _, p := range info.PartialLinearizations() {
		for _, order := range p {
			if len(order) > len(longest) {
				longest = order
			}
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s has no order that explains what was shown; the longest that was found takes %d of %d steps:", name, len(longest), len(steps))
	in := map[int]bool{}
	for _, i := range longest {
		in[i] = true
		fmt.Fprintf(&b, "\n      %s", steps[i].Input)
	}
	for i := range steps {
		if !in[i] {
			fmt.Fprintf(&b, "\n    left out: %s", steps[i].Input)
		}
	}
	return b.String()
}
