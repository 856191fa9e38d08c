package sim

import (
	"bytes"
	"reflect"

	"queen-rbee/fsm"
	"queen-rbee/schedule"
)

// checker holds a run against the invariants of reliability.md. It has a replica of its own,
// the truth, which has applied every committed entry at the moment of its commit.
type checker struct {
	w     *World
	state *fsm.State
	view  *fsm.View
	sums  []fsm.Sum // hash of the state after so many entries

	jobs    map[string]*fsm.Job // newest row of every job that was ever accepted
	retired map[string]bool     // retained no longer, after its time
	revoked map[runKey]revocation
	begun   map[runKey]*run
	askers  map[string]*client // by the job id that was made for them
	no      map[string]string  // job ids that were refused, and the code
	plans   int
	scans   int
}

func newChecker(w *World) *checker {
	k := &checker{w: w, state: fsm.New(), jobs: map[string]*fsm.Job{}, retired: map[string]bool{},
		revoked: map[runKey]revocation{}, begun: map[runKey]*run{}, askers: map[string]*client{}, no: map[string]string{}}
	k.view = k.state.View()
	k.sums = []fsm.Sum{k.view.Hash()}
	return k
}

// encoded is a batch as the log has it; one that cannot be written or read is a violation.
func (k *checker) encoded(b *fsm.Batch) []byte {
	data, err := fsm.EncodeBatch(b)
	if err == nil {
		_, err = fsm.DecodeBatch(data)
	}
	if err != nil {
		k.w.violate("a batch cannot be encoded: %v", err)
		return nil
	}
	return data
}

// commit applies a committed entry to the truth and looks at everything that it changes.
func (k *checker) commit(data []byte) fsm.Outcome {
	w := k.w
	b, err := fsm.DecodeBatch(data)
	if err != nil {
		w.violate("a committed entry cannot be read: %v", err)
		return fsm.Outcome{}
	}
	before, hash := k.view, k.view.Hash()
	out := k.state.Apply(b)
	k.view = k.state.View()
	k.sums = append(k.sums, k.view.Hash())
	if w.cfg.Trace {
		w.logf("entry %d, index %d: %s", len(k.sums)-1, k.view.Meta().Index, sayBatch(b, out))
	}
	if out.Refused != nil {
		w.meet("a batch meets another state")
		if k.view.Hash() != hash {
			w.violate("a refused batch left a trace")
		}
		return out
	}
	for i, err := range out.Errs {
		if err != nil {
			w.violate("a guard refused %s: %v", words(b.Commands[i]), err)
		}
	}
	if k.view.Meta().Guarded != 0 {
		w.violate("a guard fired")
	}
	for _, row := range out.Changed {
		switch row.Table {
		case fsm.TableJob:
			k.job(before, row.ID)
		case fsm.TableWorker:
			k.slots(row.ID)
		case fsm.TableHive:
			k.hive(before, row.ID)
		}
	}
	k.memory(b)
	if k.scans++; k.scans%64 == 0 {
		k.scan()
	}
	return out
}

// equal holds a replica that has applied so many entries against the truth at that point.
func (k *checker) equal(q *queen, entries int) {
	if q.view.Hash() != k.sums[entries] {
		k.w.violate("%s differs from the others after entry %d", q.id, entries)
	}
}

// outcome: what the truth did is what the plan said.
func (k *checker) outcome(p schedule.Planned, out fsm.Outcome) {
	if out.Index != p.Batch.Base+1 {
		k.w.violate("a batch planned at %d has index %d", p.Batch.Base, out.Index)
	}
}

// plan holds a plan against its promises: the same input gives the same plan, also on a state
// that went through a snapshot; what is refused has no commands; it wakes in the future.
func (k *checker) plan(q *queen, world schedule.World, reqs []schedule.Request, now fsm.Time, p schedule.Planned) {
	w := k.w
	k.plans++
	wall := p.Batch.Wall
	if k.plans%4 == 0 {
		k.same(p, w.cfg.Plan(world, reqs, now, wall), "twice")
	}
	if k.plans%128 == 0 {
		var b bytes.Buffer
		if err := fsm.Snapshot(world.View, &b); err != nil {
			w.violate("%s cannot be written: %v", q.id, err)
			return
		}
		twin, err := fsm.Restore(&b)
		if err != nil {
			w.violate("%s cannot be restored: %v", q.id, err)
			return
		}
		world.View = twin.View()
		k.same(p, w.cfg.Plan(world, reqs, now, wall), "on a restored state")
	}
	if len(p.Answers) != len(reqs) || len(p.Spans) != len(reqs) {
		w.violate("%d answers and %d spans to %d requests", len(p.Answers), len(p.Spans), len(reqs))
		return
	}
	for i, s := range p.Spans {
		switch {
		case s.From < 0 || s.To < s.From || s.To > len(p.Batch.Commands):
			w.violate("span %v of %d commands", s, len(p.Batch.Commands))
		case p.Answers[i].Err != nil && s.From != s.To:
			w.violate("%s is refused (%v) and has commands", words(reqs[i]), p.Answers[i].Err)
		}
	}
	if p.Wake != 0 && p.Wake <= now {
		w.violate("a plan at %v wakes at %v", now, p.Wake)
	}
}

func (k *checker) same(a, b schedule.Planned, how string) {
	if !reflect.DeepEqual(a, b) {
		k.w.violate("planned %s, the same input gives two plans", how)
	}
}

// last looks at everything at the end of a run: replicas that are equally far are equal to
// the last byte, not only by hash.
func (k *checker) last() {
	k.scan()
	var want bytes.Buffer
	if err := fsm.Snapshot(k.view, &want); err != nil {
		k.w.violate("the truth cannot be written: %v", err)
		return
	}
	for _, q := range k.w.queens {
		if q.proc == nil || q.applied != len(k.sums)-1 {
			continue
		}
		var got bytes.Buffer
		if err := fsm.Snapshot(q.view, &got); err != nil || !bytes.Equal(got.Bytes(), want.Bytes()) {
			k.w.violate("%s hashes like the others and is not equal: %v", q.id, err)
		}
		return // one replica in full is enough: the others hash the same
	}
}
