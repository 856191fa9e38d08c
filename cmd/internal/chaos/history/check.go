package history

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Options of Check.
type Options struct {
	// Reference is what an engine that nobody disturbs says to a task; false where that is
	// not known. nil: never.
	Reference func(Task) (text string, ok bool)

	Retain   time.Duration // how long an ended job is kept at least; 0: as long as the history lasts
	Patience time.Duration // for the search for an order in Linear; 0: 30 s
}

// Violation is one breach of a promise.
type Violation struct {
	Rule string // the invariant, as on the reliability page
	Job  string // "" where it is not about one
	What string
	Ops  []*Op // that show it
}

// String tells it with the operations, one a line.
func (v Violation) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: ", v.Rule)
	if v.Job != "" {
		fmt.Fprintf(&b, "job %s ", v.Job)
	}
	b.WriteString(v.What)
	for _, op := range v.Ops {
		fmt.Fprintf(&b, "\n    %s", op)
	}
	return b.String()
}

// Verdict is what Check found.
type Verdict struct {
	Violations []Violation
	Undecided  []string       // what Linear had no time to prove or disprove
	Checked    map[string]int // for each rule how many things were held against it: a proof of nothing shows here
}

// The rules, as a report names them.
const (
	Ended    = "1 accepted means durable"
	Once     = "2 a job ends exactly once"
	Whole    = "3 a stream is whole"
	Slots    = "4 a slot is never overbooked"
	Old      = "5 the old is harmless"
	Equal    = "6 replicas are equal"
	Refusals = "8 refusal is clean"
	Linear   = "the strong API is linearizable"
)

// Rules is all of them, in order.
func Rules() []string {
	return []string{Ended, Once, Whole, Slots, Old, Equal, Refusals, Linear}
}

// court is one Check under way.
type court struct {
	*index
	o Options
	v Verdict
}

// Check holds a history to every rule. It does not change ops; violations point into them.
func Check(ops []Op, o Options) Verdict {
	c := &court{index: newIndex(ops), o: o, v: Verdict{Checked: map[string]int{}}}
	for _, rule := range []func(*court){ended, once, whole, slots, old, equal, refusals, linear} {
		rule(c)
	}
	return c.v
}

// violate notes a breach. Operations may be named twice.
func (c *court) violate(rule, job, what string, ops ...*Op) {
	slices.SortFunc(ops, func(a, b *Op) int { return a.ID - b.ID })
	c.v.Violations = append(c.v.Violations, Violation{Rule: rule, Job: job, What: what, Ops: slices.Compact(ops)})
}

// checked counts what was held against a rule.
func (c *court) checked(rule string) { c.v.Checked[rule]++ }

// forgotten tells whether a job may be kept no longer at a time.
func (c *court) forgotten(j *job, at int64) bool {
	e := j.ended()
	return c.o.Retain > 0 && e != nil && at-e.at >= int64(c.o.Retain)
}
