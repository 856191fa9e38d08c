package history_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"queen-rbee/cmd/internal/chaos/history"
)

// model is a cluster that keeps its promises, with one hive that loses runs: whatever order
// its clients' calls are begun, done, answered or lost in, Check finds nothing.
type model struct {
	*rapid.T
	book
	jobs    map[string]*modelJob
	keys    map[string]string
	olds    []map[string]history.Row // what the replicas have shown so far
	late    []func()                 // calls given up by their clients that are still on the way
	clients []*modelClient
}

type modelJob struct {
	row    history.Row
	n      uint64 // records of the attempt
	wished bool
}

type modelClient struct {
	name string
	op   int           // index of the call under way, -1 for none
	do   func()        // what the call does where it arrives; nil once it is done
	has  map[string]id // what its streams have brought
	over map[string]bool
}

type id struct{ attempt, n uint64 }

const modelTokens = 3

func TestHistoriesOfAClusterThatKeepsItsPromisesPass(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &model{T: t, jobs: map[string]*modelJob{}, keys: map[string]string{}}
		for i := range rapid.IntRange(1, 4).Draw(t, "clients") {
			m.clients = append(m.clients, &modelClient{name: fmt.Sprint("client-", i), op: -1, has: map[string]id{}, over: map[string]bool{}})
		}
		for range rapid.IntRange(10, 150).Draw(t, "steps") {
			m.now++
			if who := m.draw(2*len(m.clients), "who"); who < len(m.clients) {
				m.turn(m.clients[who])
			} else {
				m.happen()
			}
		}
		m.settle()
		want := func(task history.Task) (string, bool) { return text(0, modelTokens), true }
		for _, v := range history.Check(m.ops, history.Options{Reference: want}).Violations {
			t.Error(v)
		}
	})
}

func (m *model) draw(n int, what string) int { return rapid.IntRange(0, n-1).Draw(m.T, what) }

func text(from, to int) (s string) {
	for i := from; i < to; i++ {
		s += fmt.Sprintf("t%d ", i)
	}
	return s
}

// happen is something in the cluster: a job moves on, or a late call arrives.
func (m *model) happen() {
	defer func() { m.olds = append(m.olds, m.rows()) }()
	if len(m.late) > 0 && m.draw(3, "late") == 0 {
		m.late[0]()
		m.late = m.late[1:]
		return
	}
	if len(m.jobs) == 0 {
		return
	}
	ids := slices.Sorted(maps.Keys(m.jobs))
	j := m.jobs[ids[m.draw(len(ids), "job")]]
	lost := m.draw(4, "lost") == 0
	switch r := &j.row; {
	case r.Ended():
	case r.State == "queued":
		*r, j.n = row(r.ID, "running", r.Attempt+1), 0
	case lost && j.wished:
		*r = row(r.ID, "cancelled", r.Attempt)
	case lost && r.Attempt == 3:
		*r = row(r.ID, "failed", r.Attempt)
	case lost:
		*r = row(r.ID, "queued", r.Attempt)
	case j.n <= modelTokens:
		j.n++
	default:
		*r = row(r.ID, "complete", r.Attempt)
	}
}

func (m *model) rows() map[string]history.Row {
	all := map[string]history.Row{}
	for name, j := range m.jobs {
		all[name] = j.row
	}
	return all
}

// turn takes a client one step further in its call: it begins one, it is done, it is answered.
func (m *model) turn(c *modelClient) {
	switch {
	case c.op < 0:
		m.call(c)
	case c.do != nil && m.draw(6, "given up before") == 0:
		m.late = append(m.late, c.do)
		m.end(c, lost)
	case c.do != nil:
		c.do()
		c.do = nil
	case m.draw(6, "given up after") == 0 && m.ops[c.op].Kind != history.Stream:
		m.end(c, lost)
	default:
		m.end(c, m.ops[c.op].Answer)
	}
}

func (m *model) end(c *modelClient, a history.Answer) {
	op := &m.ops[c.op]
	op.End, op.Answer = m.now, a
	c.op, c.do = -1, nil
}

// call begins one.
func (m *model) call(c *modelClient) {
	op := history.Op{ID: len(m.ops) + 1, Client: c.name, Start: m.now}
	ids := slices.Sorted(maps.Keys(m.jobs))
	kind := m.draw(6, "call")
	if len(ids) == 0 {
		kind = 0
	} else {
		op.Job = ids[m.draw(len(ids), "job")]
	}
	c.op = len(m.ops)
	at := c.op
	answer := func(a history.Answer) {
		if m.ops[at].End == 0 {
			m.ops[at].Answer = ok(a)
		}
	}
	switch kind {
	case 0:
		op.Kind, op.Job, op.Key, op.Task = history.Submit, "", fmt.Sprint("key-", m.draw(4, "key")), bees
		c.do = func() { answer(history.Answer{JobID: m.submitted(op.Key)}) }
	case 1:
		op.Kind, op.Strong = history.Show, true
		c.do = func() { answer(history.Answer{Row: new(m.jobs[op.Job].row)}) }
	case 2:
		op.Kind = history.Show
		c.do = func() { answer(history.Answer{Row: new(m.stale(op.Job))}) }
	case 3:
		op.Kind = history.Cancel
		c.do = func() { answer(history.Answer{Row: new(m.cancelled(op.Job))}) }
	case 4:
		op.Kind, op.Strong = history.List, true
		c.do = func() { answer(history.Answer{Rows: slices.Collect(maps.Values(m.rows())), Pages: 1}) }
	default:
		op.Kind = history.Stream
		if has := c.has[op.Job]; has.n > 0 {
			op.LastID = fmt.Sprintf("%d.%d", has.attempt, has.n)
		}
		c.do = func() {
			if m.ops[at].End == 0 { // a late one has no reader
				answer(history.Answer{})
				m.read(c, at)
			}
		}
	}
	m.ops = append(m.ops, op)
}

func (m *model) submitted(key string) string {
	name := m.keys[key]
	if name == "" {
		name = "job of " + key
		m.keys[key], m.jobs[name] = name, &modelJob{row: row(name, "queued", 0)}
	}
	return name
}

// stale is a job as some replica has it, which may be behind.
func (m *model) stale(name string) history.Row {
	if len(m.olds) > 0 {
		if r, there := m.olds[m.draw(len(m.olds), "replica")][name]; there {
			return r
		}
	}
	return m.jobs[name].row
}

func (m *model) cancelled(name string) history.Row {
	j := m.jobs[name]
	switch j.row.State {
	case "queued":
		j.row = row(name, "cancelled", j.row.Attempt)
	case "running":
		j.wished, j.row.Ending = true, "cancelled"
	}
	return j.row
}

// read gives a stream what its client lacks.
func (m *model) read(c *modelClient, at int) {
	op := &m.ops[at]
	j, has := m.jobs[op.Job], c.has[op.Job]
	frame := func(event, id, data string) {
		op.Frames = append(op.Frames, history.Frame{Event: event, ID: id, Data: data, At: m.now})
	}
	record := func(event, data string) {
		has.n++
		frame(event, fmt.Sprintf("%d.%d", has.attempt, has.n), data)
	}
	if j.row.State == "queued" || c.over[op.Job] {
		return
	}
	if attempt := uint64(j.row.Attempt); attempt != has.attempt {
		if has.n > 0 {
			frame("retry", "", fmt.Sprintf(`{"attempt":%d,"from_i":0}`, attempt))
		}
		has = id{attempt: attempt}
	}
	for has.n < j.n {
		if has.n == 0 {
			record("started", "{}")
		} else {
			i := int(has.n) - 1
			record("token", fmt.Sprintf(`{"t":%q,"i":%d}`, text(i, i+1), i))
		}
	}
	c.over[op.Job] = j.row.Ended()
	switch {
	case !j.row.Ended():
	case j.row.State == "complete":
		record("end", `{"finish_reason":"stop"}`)
	default:
		record("error", fmt.Sprintf(`{"code":%q}`, j.row.Error.Code))
	}
	c.has[op.Job] = has
}

// settle lets every job end and looks.
func (m *model) settle() {
	m.now++
	m.late = nil
	for _, c := range m.clients {
		if c.op >= 0 && c.do == nil {
			m.end(c, m.ops[c.op].Answer)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(m.jobs)) {
		j := m.jobs[name]
		switch {
		case j.row.Ended():
		case j.wished:
			j.row = row(name, "cancelled", j.row.Attempt)
		default:
			j.row = row(name, "failed", j.row.Attempt)
		}
	}
	m.list(slices.Collect(maps.Values(m.rows()))...)
}
