package schedule

import (
	"container/heap"

	"queen-rbee/fsm"
)

// lanes is a walk over the ready jobs of one model in the order they should be served, of all
// lanes that are open. Jobs that ask the same of a hive are one lane: when one of them finds
// no slot, none behind it does, and its lane is closed. The walk costs time in the lanes it
// meets and the jobs it gives out; the jobs of closed lanes are not looked at, however many.
type lanes struct {
	*draft
	model  string
	first  places
	closed map[string]bool // by constraint
	narrow bool            // only jobs that ask nothing are still served
}

// place is where the walk stands in one lane, or a job that became ready in this plan.
type place struct {
	job   *fsm.Job
	wants string // its constraint
	known bool   // to the View: others may stand behind it
}

// places is a heap, the job to be served first on top.
type places []place

func (p places) Len() int           { return len(p) }
func (p places) Less(i, j int) bool { return byRank(p[i].job, p[j].job) < 0 }
func (p places) Swap(i, j int)      { p[i], p[j] = p[j], p[i] }
func (p *places) Push(x any)        { *p = append(*p, x.(place)) }
func (p *places) Pop() any {
	old := *p
	last := old[len(old)-1]
	*p = old[:len(old)-1]
	return last
}

func (d *draft) lanes(model string) *lanes {
	return &lanes{draft: d, model: model, closed: map[string]bool{}}
}

// close passes over all jobs that ask what j asks.
func (l *lanes) close(j *fsm.Job) { l.closed[j.Constraint()] = true }

// open tells whether jobs of a constraint are still given out.
func (l *lanes) open(wants string) bool { return !l.closed[wants] && (wants == "" || !l.narrow) }

// jobs yields them. The draft may change, and lanes may be closed, while it runs.
func (l *lanes) jobs(yield func(*fsm.Job) bool) {
	for _, j := range l.fresh[l.model] {
		heap.Push(&l.first, place{job: j, wants: j.Constraint()})
	}
	if j, ok := l.view.Head(l.model, ""); ok { // not found in time, maybe, behind many other lanes
		heap.Push(&l.first, place{job: j, known: true})
	}
	for head := range l.view.Heads(l.model) {
		if l.narrow || !l.before(head, yield) {
			break
		}
		if wants := head.Constraint(); wants != "" {
			heap.Push(&l.first, place{job: head, wants: wants, known: true})
		}
	}
	l.before(nil, yield)
}

// before gives out the jobs that go before one; nil stands for the end of the line. It tells
// whether to go on.
func (l *lanes) before(limit *fsm.Job, yield func(*fsm.Job) bool) bool {
	for len(l.first) > 0 && (limit == nil || byRank(l.first[0].job, limit) < 0) {
		at := heap.Pop(&l.first).(place)
		if j, ok := l.job(at.job.ID); ok && j.State == fsm.JobQueued && j.NotBefore == 0 && l.open(at.wants) && !yield(j) {
			l.first = nil
			return false
		}
		if !at.known || !l.open(at.wants) {
			continue
		}
		if next, ok := l.view.Behind(at.job); ok {
			heap.Push(&l.first, place{job: next, wants: at.wants, known: true})
		}
	}
	return true
}
