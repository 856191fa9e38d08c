package history

import (
	"cmp"
	"encoding/json"
	"slices"
)

// index is a history by jobs.
type index struct {
	ops  []Op
	jobs map[string]*job
	ids  []string // of the jobs, sorted

	first int64 // when the first submission began; 0 without one
	lists []listing
	last  *Op // the last of lists
}

// listing is a strong List of all jobs that was answered.
type listing struct {
	op   *Op
	rows map[string]*Row
}

// job is all that a history has about one.
type job struct {
	id       string
	task     *Task // as it was submitted, nil if nobody of this history did
	attached bool
	accepted int64 // when a submission had been answered with it; 0: never
	asked    []*Op // every operation about it, in order of their beginnings
	seen     []sight
}

// sight is one thing that a client was shown of a job: the state was so at some time before at.
type sight struct {
	op      *Op
	at      int64  // when it was known
	strong  bool   // and at some time since the operation began
	attempt uint32 // 0: not told
	state   string // queued, running, or an end's
	ending  string // of a running job's row
	row     bool   // ending was told
	end     *end   // nil while it lives
}

// end is how a job ended, as far as it was told.
type end struct {
	state  string // complete, failed, cancelled; "error" where a stream says only that it was one of the latter
	reason string // finish_reason of a complete job
	code   string // of another's error
	tokens int    // of the completion, -1 if not told
}

// same tells whether two may be of one end.
func (e *end) same(o *end) bool {
	if e.tokens >= 0 && o.tokens >= 0 && e.tokens != o.tokens {
		return false
	}
	vague := e.state == "error" || o.state == "error"
	both := e.state != "complete" && o.state != "complete"
	return e.reason == o.reason && e.code == o.code && (e.state == o.state || vague && both)
}

func (e *end) cancelled() bool { return e.state == "cancelled" || e.code == "cancelled" }

func newIndex(ops []Op) *index {
	x := &index{ops: ops, jobs: map[string]*job{}}
	for i := range x.ops {
		x.take(&x.ops[i])
	}
	if n := len(x.lists); n > 0 {
		x.last = x.lists[n-1].op
	}
	for id, j := range x.jobs {
		x.ids = append(x.ids, id)
		slices.SortStableFunc(j.seen, func(a, b sight) int { return cmp.Compare(a.at, b.at) })
	}
	slices.Sort(x.ids)
	return x
}

func (x *index) job(id string) *job {
	j := x.jobs[id]
	if j == nil {
		j = &job{id: id}
		x.jobs[id] = j
	}
	return j
}

func (x *index) take(op *Op) {
	if op.Kind == Submit && (x.first == 0 || op.Start < x.first) {
		x.first = op.Start
	}
	if op.Kind == List && op.Outcome == OK {
		rows := map[string]*Row{}
		for i, r := range op.Rows {
			x.job(r.ID).see(op, r)
			rows[r.ID] = &op.Rows[i]
		}
		if op.Strong && op.Filter == "" {
			x.lists = append(x.lists, listing{op, rows})
		}
	}
	id := op.Asked()
	if id == "" {
		return
	}
	j := x.job(id)
	j.asked = append(j.asked, op)
	switch {
	case op.Kind == Submit && op.Outcome == OK:
		j.attached = j.attached || op.Attached
		if j.accepted == 0 || op.End < j.accepted {
			j.accepted, j.task = op.End, op.Task
		}
	case op.Kind == Submit:
		j.attached = j.attached || op.Attached
	case op.Kind == Result && op.Outcome == OK:
		j.seen = append(j.seen, sight{op: op, at: op.End, state: "complete", end: &end{state: "complete", reason: op.Reason, tokens: -1}})
	case op.Kind == Stream:
		j.watch(op)
	}
	if op.Row != nil {
		j.see(op, *op.Row)
	}
}

// see takes in a row that was read.
func (j *job) see(op *Op, r Row) {
	s := sight{op: op, at: op.End, attempt: r.Attempt, state: r.State, ending: r.Ending, row: true}
	// The row of a cancelled job is of a state at or after the wish.
	s.strong = op.Strong || op.Kind == Cancel
	if r.Ended() {
		s.end = &end{state: r.State, tokens: -1}
		if r.Usage != nil {
			s.end.tokens = r.Usage.CompletionTokens
		}
		if r.State == "complete" {
			s.end.reason = r.FinishReason
		} else if r.Error != nil {
			s.end.code = r.Error.Code
		}
	}
	j.seen = append(j.seen, s)
}

// watch takes in what a stream tells of the job's state. Many frames of one attempt tell the same.
func (j *job) watch(op *Op) {
	var told uint32
	for _, f := range op.Frames {
		s := sight{op: op, at: f.At, state: "running"}
		switch {
		case f.Final():
			s.end = frameEnd(f)
			s.state = s.end.state
			attempt, _, _ := parseID(f.ID)
			s.attempt = uint32(attempt)
		case f.Event == "assigned":
			var d struct{ Attempt uint32 }
			_ = json.Unmarshal([]byte(f.Data), &d) // Streams says what is wrong with it
			s.attempt = d.Attempt
		default:
			attempt, _, err := parseID(f.ID)
			if err != nil {
				continue
			}
			s.attempt = uint32(attempt)
		}
		if s.end == nil && (s.attempt == 0 || s.attempt == told) {
			continue
		}
		told = s.attempt
		j.seen = append(j.seen, s)
	}
}

// frameEnd is the end that a final frame tells.
func frameEnd(f Frame) *end {
	var d struct {
		FinishReason string `json:"finish_reason"`
		Code         string `json:"code"`
		Usage        *struct {
			CompletionTokens int `json:"completion_tokens"`
		} `json:"usage"`
	}
	_ = json.Unmarshal([]byte(f.Data), &d)
	if f.Event == "error" {
		return &end{state: "error", code: d.Code, tokens: -1}
	}
	e := &end{state: "complete", reason: d.FinishReason, tokens: -1}
	if d.Usage != nil {
		e.tokens = d.Usage.CompletionTokens
	}
	return e
}

// ended is the first sight of the job's end, nil if nobody was shown one.
func (j *job) ended() *sight {
	for i := range j.seen {
		if j.seen[i].end != nil {
			return &j.seen[i]
		}
	}
	return nil
}

// known is from when on the job certainly exists; 0 if it may not.
func (j *job) known() int64 {
	at := j.accepted
	if len(j.seen) > 0 && (at == 0 || j.seen[0].at < at) {
		at = j.seen[0].at
	}
	return at
}
