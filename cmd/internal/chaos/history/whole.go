package history

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// whole: the records of each reader, over all its connections, go 1, 2, 3 and on; all readers
// of a job have the same records; the text is the reference's, or so far a beginning of it.
// One client is one reader of a job.
func whole(c *court) {
	for _, id := range c.ids {
		j := c.jobs[id]
		readers := map[string][]*Op{}
		var names []string
		for _, op := range j.asked {
			if op.Kind != Stream {
				continue
			}
			if readers[op.Client] == nil {
				names = append(names, op.Client)
			}
			readers[op.Client] = append(readers[op.Client], op)
		}
		slices.Sort(names)
		records := map[string]told{}
		for _, name := range names {
			c.checked(Whole)
			c.reader(j, readers[name], records)
		}
		c.results(j)
	}
}

// told is a record as somebody was told it.
type told struct {
	frame Frame
	op    *Op
}

// reader follows one client from connection to connection.
func (c *court) reader(j *job, connections []*Op, records map[string]told) {
	var had []Frame // what it has of the job, as it knows
	o := new(Order)
	for i, op := range connections {
		before := connections[max(0, i-1)]
		if !stands(had, op.LastID) {
			if had, o = rewind(had, op.LastID); o == nil {
				c.violate(Whole, j.id, fmt.Sprintf("is asked for what follows %s, which its reader was never sent: the history is not whole", op.LastID), before, op)
				return
			}
		}
		for n, f := range op.Frames {
			if f.Event == "error" && !f.Final() {
				if n != len(op.Frames)-1 {
					c.violate(Whole, j.id, "goes on after an error of the stream", op)
				}
				break // the stream says that it cannot go on
			}
			had = append(had, f)
			if err := o.Take(f); err != nil {
				c.violate(Whole, j.id, fmt.Sprintf("breaks its stream: frame %d of #%d: %v", n+1, op.ID, err), before, op)
				return
			}
			if was, twice := records[f.ID]; f.Event == "token" && twice && was.frame.Data != f.Data {
				c.violate(Whole, j.id, fmt.Sprintf("has two texts under %s, %s and %s", f.ID, was.frame.Data, f.Data), was.op, op)
				return
			} else if f.Event == "token" && !twice {
				records[f.ID] = told{f, op}
			}
		}
		if !c.likeReference(j, o, op) {
			return
		}
	}
}

// likeReference holds what a reader has so far against the engine's own answer.
func (c *court) likeReference(j *job, o *Order, op *Op) bool {
	want, ok := c.reference(j)
	if !ok {
		return true
	}
	text := o.Text()
	complete := o.Final() != nil && o.Final().Event == "end"
	if complete && text != want || !strings.HasPrefix(want, text) {
		c.violate(Whole, j.id, fmt.Sprintf("has the text %q where the engine says %q", text, want), op)
		return false
	}
	return true
}

func (c *court) reference(j *job) (string, bool) {
	if c.o.Reference == nil || j.task == nil {
		return "", false
	}
	return c.o.Reference(*j.task)
}

// results: the whole output is the streams' text and the reference.
func (c *court) results(j *job) {
	want, ok := c.reference(j)
	var from *Op
	for _, op := range j.asked {
		text := op.Text
		switch {
		case op.Kind == Result && op.Outcome == OK:
		case op.Kind == Stream && op.LastID == "" && op.final() != nil && op.final().Event == "end":
			text = op.text()
		default:
			continue
		}
		if !ok {
			want, ok, from = text, true, op
		}
		if text == want {
			continue
		}
		if from == nil {
			from = op // the reference says otherwise
		}
		c.violate(Whole, j.id, fmt.Sprintf("has the whole text %q, want %q", text, want), from, op)
		return
	}
}

// text is what the tokens of one whole connection make.
func (o *Op) text() string {
	var order Order
	for _, f := range o.Frames {
		if order.Take(f) != nil {
			break // told by reader
		}
	}
	return order.Text()
}

// stands tells whether a reader that has these frames would ask for what follows an id.
func stands(had []Frame, id string) bool {
	for i := len(had) - 1; i >= 0; i-- {
		if had[i].ID != "" {
			return had[i].ID == id
		}
	}
	return id == ""
}

// rewind takes a reader back to an id that it was sent, nil if it was not. Without an id it
// is a new reader.
func rewind(had []Frame, id string) ([]Frame, *Order) {
	o := new(Order)
	if id == "" {
		return nil, o
	}
	at := slices.IndexFunc(had, func(f Frame) bool { return f.ID == id })
	if at < 0 {
		return nil, nil
	}
	had = slices.Clone(had[:at+1])
	for _, f := range had {
		_ = o.Take(f) // was judged when it came
	}
	return had, o
}

// assigned is the attempt that an assigned event names.
func assigned(f Frame) (uint64, bool) {
	var d struct{ Attempt *uint64 }
	if f.Event != "assigned" || json.Unmarshal([]byte(f.Data), &d) != nil || d.Attempt == nil {
		return 0, false
	}
	return *d.Attempt, true
}
