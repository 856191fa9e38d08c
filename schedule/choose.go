package schedule

import (
	"cmp"
	"container/heap"

	"queen-rbee/fsm"
)

// slot is a ready worker with a free slot, and how many runs it has.
type slot struct {
	worker *fsm.Worker
	hive   *fsm.Hive
	runs   int
	at     int // place in the heap
}

// lighter orders workers by load: the share of slots in use, then the number of runs, then
// who was used longest ago, then id.
func lighter(a, b *slot) bool {
	return cmp.Or(
		cmp.Compare(a.runs*b.worker.Slots, b.runs*a.worker.Slots),
		cmp.Compare(a.runs, b.runs),
		cmp.Compare(a.worker.LastUsed, b.worker.LastUsed),
		cmp.Compare(a.worker.ID, b.worker.ID),
	) < 0
}

// slots is a heap of free slots, the least loaded worker first.
type slots []*slot

func (s slots) Len() int           { return len(s) }
func (s slots) Less(i, j int) bool { return lighter(s[i], s[j]) }
func (s slots) Swap(i, j int) {
	s[i], s[j] = s[j], s[i]
	s[i].at, s[j].at = i, j
}
func (s *slots) Push(x any) {
	added := x.(*slot)
	added.at = len(*s)
	*s = append(*s, added)
}
func (s *slots) Pop() any {
	old := *s
	last := old[len(old)-1]
	*s = old[:len(old)-1]
	return last
}

// pool is what one model has to run on. It is read when all that frees slots is decided;
// from then on only assignments and spawns change it.
type pool struct {
	model string
	none  map[string]bool // constraints for which no slot was found

	// Vacant workers. The View has them in order of load; as many are read as are needed.
	// Those that the plan has touched, or has looked at, are in the heap instead.
	free   slots
	ahead  []*slot // read and not in the heap; each loaded as the View has it
	unread bool    // the View may have more
	read   int     // how many of the View's were read

	fleet fleet
}

// pool begins to read a model's workers.
func (p *planner) pool(model string) *pool {
	if known := p.pools[model]; known != nil {
		return known
	}
	pl := &pool{model: model, none: map[string]bool{}, unread: true}
	for _, id := range p.touched[model] {
		if s := p.vacant(p.workers[id]); s != nil {
			heap.Push(&pl.free, s)
		}
	}
	pl.ahead = p.readVacant(pl, pl.ahead)
	if p.pools == nil {
		p.pools = map[string]*pool{}
	}
	p.pools[model] = pl
	return pl
}

// vacant makes a slot of a worker that may be given a run.
func (p *planner) vacant(w *fsm.Worker) *slot {
	if w == nil || w.State != fsm.WorkerReady {
		return nil
	}
	runs := p.running(w.ID)
	h, ok := p.hive(w.Hive)
	if runs >= w.Slots || !ok || !usable(h) {
		return nil
	}
	return &slot{worker: w, hive: h, runs: runs}
}

// readVacant reads on in the View's order: twice as many each time.
func (p *planner) readVacant(pl *pool, into []*slot) []*slot {
	skip, most := pl.read, max(2*pl.read, 8)
	pl.unread = false
	at := 0
	for w := range p.view.Vacant(pl.model) {
		if at++; at <= skip {
			continue
		}
		if at > most {
			pl.unread = true
			break
		}
		pl.read = at
		if _, touched := p.workers[w.ID]; touched {
			continue // in the heap, if anywhere
		}
		if s := p.vacant(w); s != nil {
			into = append(into, s)
		}
	}
	return into
}

// next is the least loaded vacant worker that is not in the heap; nil when there is none.
func (p *planner) next(pl *pool) *slot {
	for len(pl.ahead) == 0 && pl.unread {
		pl.ahead = p.readVacant(pl, pl.ahead)
	}
	if len(pl.ahead) == 0 {
		return nil
	}
	return pl.ahead[0]
}

// pull moves next into the heap.
func (p *planner) pull(pl *pool) {
	heap.Push(&pl.free, pl.ahead[0])
	pl.ahead = pl.ahead[1:]
}

// any tells whether a slot is free at all.
func (p *planner) any(pl *pool) bool { return len(pl.free) > 0 || p.next(pl) != nil }

// choose finds a worker with a free slot for a job: its session's own where that is free,
// else the least loaded.
func (p *planner) choose(pl *pool, j *fsm.Job) *slot {
	s := p.leastLoaded(pl, j)
	if s == nil || j.Session == "" || s.hive.ID == j.Avoid {
		return s
	}
	return p.affine(pl, j, s)
}

// leastLoaded finds the least loaded worker for a job: on another hive than that of its last
// lost attempt, on the same only when no other could serve.
func (p *planner) leastLoaded(pl *pool, j *fsm.Job) *slot {
	if n := p.next(pl); n != nil && (len(pl.free) == 0 || lighter(n, pl.free[0])) {
		p.pull(pl)
	}
	if len(pl.free) == 0 {
		return nil
	}
	if free(j) && (j.Avoid == "" || pl.free[0].hive.ID != j.Avoid) {
		return pl.free[0]
	}
	key := j.Constraint()
	if pl.none[key] {
		return nil
	}
	other, same := p.suitable(pl, j)
	switch {
	case other != nil:
		return other
	case same != nil && !p.elsewhere(pl, j):
		return same
	}
	pl.none[key] = true // slots only become fewer from here
	return nil
}

// suitable finds the least loaded vacant workers for a job on other hives than the avoided
// one, and on that.
func (p *planner) suitable(pl *pool, j *fsm.Job) (other, same *slot) {
	for _, s := range pl.free {
		switch {
		case !suits(s.hive, j):
		case s.hive.ID == j.Avoid:
			same = lightest(same, s)
		default:
			other = lightest(other, s)
		}
	}
	for n := p.next(pl); n != nil && (other == nil || lighter(n, other)); n = p.next(pl) {
		p.pull(pl)
		switch {
		case !suits(n.hive, j):
		case n.hive.ID == j.Avoid:
			same = lightest(same, n)
		default:
			return n, same
		}
	}
	return other, same
}

func lightest(a, b *slot) *slot {
	if a == nil || lighter(b, a) {
		return b
	}
	return a
}

// free tells a job that any hive may run.
func free(j *fsm.Job) bool { return j.Pin == "" && len(j.Labels) == 0 }

// elsewhere tells whether another hive than the avoided one could serve a job: a worker is
// there or on its way, or one could be spawned now.
func (p *planner) elsewhere(pl *pool, j *fsm.Job) bool {
	for _, s := range p.there(pl) {
		if s.hive.ID != j.Avoid && suits(s.hive, j) {
			return true
		}
	}
	if !p.mayGrow(pl) {
		return false
	}
	_, ok := p.placeFor(pl, j, j.Avoid)
	return ok
}

// assignTo gives a job to a worker's slot.
func (p *planner) assignTo(s *slot, j *fsm.Job) {
	pl := p.pools[s.worker.Model]
	p.assign(j, s.worker)
	s.worker, _ = p.worker(s.worker.ID)
	s.runs++
	if s.runs < s.worker.Slots {
		heap.Fix(&pl.free, s.at)
		return
	}
	heap.Remove(&pl.free, s.at)
}
