package history

import "fmt"

// once: whoever was shown an end was shown the same one, no strong read after it says
// otherwise, and the end of every stream has the id of the state's last attempt.
func once(c *court) {
	for _, id := range c.ids {
		j := c.jobs[id]
		first := j.ended()
		if first == nil {
			continue
		}
		c.checked(Once)
		c.sameEnd(j)
		for _, s := range j.seen {
			if s.strong && s.end == nil && s.op.Start > first.at {
				c.violate(Once, id, fmt.Sprintf("had ended (%s) and is %s", first.state, s.state), first.op, s.op)
				break
			}
		}
		c.sameEndID(j)
	}
}

// sameEnd compares every end with every other: one that a stream tells is vague, so that two
// may differ that are both like a third.
func (c *court) sameEnd(j *job) {
	var kinds []*sight // one of each
	for i := range j.seen {
		s := &j.seen[i]
		if s.end == nil {
			continue
		}
		known := false
		for _, k := range kinds {
			if !k.end.same(s.end) {
				c.violate(Once, j.id, fmt.Sprintf("ended as %s and as %s", k.end, s.end), k.op, s.op)
				return
			}
			known = known || *k.end == *s.end
		}
		if !known {
			kinds = append(kinds, s)
		}
	}
}

func (e *end) String() string {
	text := e.state
	for _, part := range []string{e.reason, e.code} {
		if part != "" {
			text += " (" + part + ")"
		}
	}
	if e.tokens >= 0 {
		text += fmt.Sprintf(" with %d tokens", e.tokens)
	}
	return text
}

// sameEndID: the end of a complete job has one id for every reader; every end is of the last attempt.
func (c *court) sameEndID(j *job) {
	var complete *Frame
	var shown, row *sight
	for i := range j.seen {
		if s := &j.seen[i]; s.end != nil && s.row {
			row = s
		}
	}
	for i := range j.seen {
		s := &j.seen[i]
		if s.end == nil || s.op.Kind != Stream {
			continue
		}
		f := s.op.final()
		if row != nil && s.attempt != row.attempt {
			c.violate(Once, j.id, fmt.Sprintf("ended with attempt %d and the stream's end has the id %s", row.attempt, f.ID), row.op, s.op)
			return
		}
		switch {
		case f.Event != "end":
		case complete == nil:
			complete, shown = f, s
		case complete.ID != f.ID:
			c.violate(Once, j.id, fmt.Sprintf("ended with the ids %s and %s", complete.ID, f.ID), shown.op, s.op)
			return
		}
	}
}

// final is the end of the job that a connection brought, nil if it brought none.
func (o *Op) final() *Frame {
	for i := range o.Frames {
		if o.Frames[i].Final() {
			return &o.Frames[i]
		}
	}
	return nil
}
