package sim

import (
	"bytes"
	"time"

	"queen-rbee/fsm"
	"queen-rbee/schedule"
)

// queen is a replica of the state, an entrance for clients and hives, and at times the leader.
type queen struct {
	w    *World
	id   string
	proc *process // nil while it is down
	boot string

	state   *fsm.State
	view    *fsm.View
	applied int // entries of the log in state
	clock   clock

	snap   []byte // newest snapshot on its disk, and how much of the log is in it
	snapAt int

	leader  string        // who leads, as it knows; "" for nobody
	noOne   time.Duration // since when it knows nobody
	reign   *reign        // as the established leader, or as one that has not noticed its end
	planned []byte        // newest batch it planned

	seen  map[string]schedule.Presence
	heard map[string]*heard

	waits   []wait
	queries []*query
	readers map[string][]*reader
	holds   map[string]*hold
}

// wait is a turn that waits for an index.
type wait struct {
	index uint64
	do    func()
}

// start begins a process on what the disk has: the newest snapshot and the log behind it,
// which is applied as the leader says how far it is committed.
func (q *queen) start() {
	q.w.boots++
	q.boot = q.w.name("b", q.w.boots)
	q.proc = &process{name: q.id}
	q.leader, q.noOne, q.reign = "", q.w.now, nil
	q.heard, q.seen = map[string]*heard{}, map[string]schedule.Presence{}
	q.readers, q.holds = map[string][]*reader{}, map[string]*hold{}
	q.waits, q.queries = nil, nil
	q.load(q.snap, q.snapAt)
	q.w.logf("%s starts as %s with %d entries", q.id, q.boot, q.applied)
	q.enrol()
}

// load begins from a snapshot's bytes; none is a blank state.
func (q *queen) load(snap []byte, at int) {
	q.state, q.applied = fsm.New(), at
	if at > 0 {
		state, err := fsm.Restore(bytes.NewReader(snap))
		if err != nil {
			q.w.violate("%s cannot restore its snapshot of entry %d: %v", q.id, at, err)
			return
		}
		q.state = state
		q.w.meet("a queen starts from a snapshot")
	}
	q.view = q.state.View()
	q.clock = clock{base: q.view.Meta().Now, at: q.w.now, last: q.view.Meta().Now}
	q.w.check.equal(q, at)
}

// kill is SIGKILL: what was not committed is gone, and whoever speaks to it is cut off.
func (q *queen) kill() {
	if q.proc == nil {
		return
	}
	q.w.logf("%s is killed", q.id)
	q.proc.dead = true
	q.proc, q.reign = nil, nil
	for _, c := range q.w.clients {
		c.lost(q)
	}
}

// save takes a snapshot through bytes, as raft does at times.
func (q *queen) save() {
	if q.proc == nil || q.applied == q.snapAt {
		return
	}
	var b bytes.Buffer
	if err := fsm.Snapshot(q.view, &b); err != nil {
		q.w.violate("%s cannot write a snapshot: %v", q.id, err)
		return
	}
	q.snap, q.snapAt = b.Bytes(), q.applied
	q.w.logf("%s has a snapshot of entry %d", q.id, q.applied)
}

// enrol puts the queen's row, again until it stands.
func (q *queen) enrol() {
	row := fsm.Queen{ID: q.id, Boot: q.boot, Role: fsm.RoleVoter, HTTP: "http://" + q.id, Level: fsm.CurrentLevel}
	q.do(schedule.Request{Member: &schedule.Member{Queen: row}}, 10*time.Second, func(_ schedule.Answer, err *fsm.Error) {
		if err != nil {
			q.w.on(q.proc, time.Second, q.enrol)
		}
	})
}

// catchUp applies the log up to an entry, and wakes whoever waits for what changed.
func (q *queen) catchUp(to int) {
	for q.applied < to && q.w.failed == nil {
		e := &q.w.raft.log[q.applied]
		batch, err := fsm.DecodeBatch(e.data)
		if err != nil {
			q.w.violate("entry %d cannot be read: %v", q.applied, err)
			return
		}
		if q.w.cfg.Tamper != nil {
			q.w.cfg.Tamper(q.id, q.view, batch)
		}
		out := q.state.Apply(batch)
		q.applied++
		q.view = q.state.View()
		q.clock.applied(q.view.Meta().Now, q.w.now)
		q.w.check.equal(q, q.applied)
		q.wake(out.Changed)
	}
	index := q.view.Meta().Index
	waits := q.waits
	q.waits = nil
	for _, x := range waits {
		if x.index > index {
			q.waits = append(q.waits, x)
			continue
		}
		q.w.on(q.proc, 0, x.do)
	}
}

func (q *queen) wake(changed []fsm.Row) {
	for _, row := range changed {
		switch row.Table {
		case fsm.TableJob:
			for _, r := range q.readers[row.ID] {
				q.w.on(q.proc, 0, r.turn)
			}
		case fsm.TableHive:
			for _, x := range q.queries {
				if x.hive == row.ID {
					q.w.on(q.proc, 0, x.look)
				}
			}
		}
	}
}

// await does something once the queen has an index.
func (q *queen) await(index uint64, do func()) {
	if q.view.Meta().Index >= index {
		do()
		return
	}
	q.waits = append(q.waits, wait{index, do})
}

// now is cluster time as the queen knows it.
func (q *queen) now() fsm.Time { return q.clock.now(q.w.now) }
