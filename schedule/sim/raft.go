package sim

import (
	"time"

	"queen-rbee/fsm"
)

// raft is what the queens' log promises, without its messages: one leader per term chosen by
// a majority, entries that are committed never go away, and an entry under way when its
// leader falls may be committed by the next one or be lost.
type raft struct {
	w       *World
	term    int
	leader  *queen // of the term; nil for none
	proc    *process
	healthy time.Duration // when the leader was last seen with a majority
	log     []entry
	flight  *flight // the one entry under way
}

type entry struct{ data []byte }

// flight is an entry that its leader has stored and that is not committed yet.
type flight struct{ data []byte }

const (
	raftTick = 100 * time.Millisecond
	patience = 300 * time.Millisecond // without a leader before another is elected
)

// quorum tells whether a queen reaches a majority of running queens.
func (r *raft) quorum(q *queen) bool {
	n := 0
	for _, p := range r.w.queens {
		if p.proc.runs() && r.w.reaches(q.id, p.id) {
			n++
		}
	}
	return q.proc.runs() && 2*n > len(r.w.queens)
}

func (r *raft) leads(q *queen) bool { return r.leader == q && r.proc == q.proc }

// tick sees to elections, to what the queens know of them, and to followers that lag.
func (r *raft) tick() {
	r.w.after(raftTick, r.tick)
	switch {
	case r.leader != nil && r.leads(r.leader) && r.quorum(r.leader):
		r.healthy = r.w.now
	case r.leader == nil, r.w.now-r.healthy >= patience:
		r.elect(nil)
	}
	for _, q := range r.w.queens {
		if !q.proc.runs() {
			continue
		}
		r.inform(q)
		q.look()
		if q.applied < len(r.log) && r.leader != nil && r.leader.proc.runs() && r.w.reaches(q.id, r.leader.id) {
			if r.w.calm || !r.w.chance(300) {
				q.catchUp(len(r.log))
			}
		}
	}
}

// inform tells a running queen who leads; one that led and no longer does gives up.
func (r *raft) inform(q *queen) {
	if q.reign != nil && (!r.leads(q) || q.reign.term != r.term || r.w.now-r.healthy >= 2*raftTick) {
		q.reign.end()
	}
	known := ""
	if r.leader != nil && r.w.now-r.healthy < patience && r.w.reaches(q.id, r.leader.id) {
		known = r.leader.id
	}
	if q.leader != "" && known == "" {
		q.noOne = r.w.now
	}
	q.leader = known
}

// elect makes a queen with a majority the leader, not the given one.
func (r *raft) elect(not *queen) {
	var may []*queen
	for _, q := range r.w.queens {
		if q != not && r.quorum(q) {
			may = append(may, q)
		}
	}
	if len(may) == 0 {
		return
	}
	q := pick(r.w.choices, may...)
	r.term++
	r.leader, r.proc, r.healthy = q, q.proc, r.w.now
	r.w.logf("%s is elected in term %d", q.id, r.term)
	if f := r.flight; f != nil {
		r.flight = nil
		if r.w.chance(500) {
			r.w.logf("the entry under way survives")
			r.w.meet("an entry survives its leader")
			r.commit(f.data)
		}
	}
	if q.planned != nil && r.w.chance(200) { // accepted in another term than it was planned in
		r.w.logf("an entry that %s planned long ago gets into the log", q.id)
		r.commit(q.planned)
	}
	term := r.term
	r.w.on(q.proc, r.w.between(5*time.Millisecond, 60*time.Millisecond), func() { r.barrier(q, term) })
}

// barrier establishes a leader: it has applied all that was committed before it.
func (r *raft) barrier(q *queen, term int) {
	if !r.leads(q) || r.term != term {
		return
	}
	q.catchUp(len(r.log))
	if q.reign != nil {
		q.reign.end()
	}
	q.reign = &reign{q: q, term: term, since: q.clock.lead(q.view.Meta().Now, r.w.now)}
	q.leader = q.id
	r.w.logf("%s is established at index %d, time %v", q.id, q.view.Meta().Index, q.reign.since)
	q.reign.kick()
}

// commit puts an entry into the log for ever; it is applied to the truth at once, and to the
// replicas as they hear of it.
func (r *raft) commit(data []byte) fsm.Outcome {
	r.log = append(r.log, entry{data})
	out := r.w.check.commit(data)
	to := len(r.log)
	for _, q := range r.w.queens {
		if q != r.leader && r.leader != nil && q.proc != nil {
			r.w.send(r.leader.id, q.id, q.proc, func() { q.catchUp(to) })
		}
	}
	return out
}

// fate says what became of an entry.
type fate int

const (
	committed fate = iota
	refused        // certainly not accepted
	unknown        // it may come to be
)

// propose stores an entry and tells what became of it, unless the process dies first.
func (r *raft) propose(by *reign, data []byte, done func(fsm.Outcome, fate)) {
	q := by.q
	q.planned = data
	if !r.leads(q) || r.term != by.term {
		f := pick(r.w.choices, refused, unknown)
		if f == refused {
			q.planned = nil // raft has said no to it for good
		}
		r.w.on(q.proc, time.Millisecond, func() { done(fsm.Outcome{}, f) })
		return
	}
	f := &flight{data}
	r.flight = f
	wait := r.w.between(time.Millisecond, 8*time.Millisecond)
	if r.w.faults.Queens && !r.w.calm && r.w.chance(10) {
		wait = r.w.between(20*time.Millisecond, 400*time.Millisecond)
	}
	var ready func()
	ready = func() {
		switch {
		case r.flight != f || by.over:
			done(fsm.Outcome{}, unknown)
		case !r.quorum(q):
			r.w.on(q.proc, 20*time.Millisecond, ready)
		default:
			r.flight = nil
			out := r.commit(data)
			q.catchUp(len(r.log))
			if r.w.faults.Queens && !r.w.calm && r.w.chance(12) {
				r.betweenCommitAndAnswer(q)
			}
			r.w.on(q.proc, 0, func() { done(out, committed) })
		}
	}
	r.w.on(q.proc, wait, ready)
}

// betweenCommitAndAnswer takes a leader away at the worst moment.
func (r *raft) betweenCommitAndAnswer(q *queen) {
	r.w.logf("%s has committed and not answered", q.id)
	r.w.meet("a leader falls between commit and answer")
	if r.w.chance(500) {
		q.kill()
		r.w.after(r.w.between(100*time.Millisecond, 8*time.Second), q.rise)
		return
	}
	r.w.pause(q.proc, r.w.between(100*time.Millisecond, longPause))
}
