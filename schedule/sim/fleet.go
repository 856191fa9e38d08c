package sim

import (
	"maps"
	"reflect"
	"time"

	"queen-rbee/fsm"
	"queen-rbee/schedule"
)

// heard is what a queen, while it leads, remembers of a hive beside the state.
type heard struct {
	boot        string // the start whose beats seq counts: a hive that was dropped counts its
	incarnation uint64 // incarnations from one again
	seq         uint64
	at          fsm.Time
}

// telemetry is the leader's memory of all hives, for a plan.
func (q *queen) telemetry() map[string]schedule.HiveTelemetry {
	out := make(map[string]schedule.HiveTelemetry, len(q.heard))
	for id, h := range q.heard {
		out[id] = schedule.HiveTelemetry{LastBeat: h.at}
	}
	return out
}

func (q *queen) remember(hive string) *heard {
	h := q.heard[hive]
	if h == nil {
		h = &heard{}
		q.heard[hive] = h
	}
	return h
}

// look is gossip: which queen processes are there now.
func (q *queen) look() {
	for _, p := range q.w.queens {
		if p.proc.runs() && q.w.reaches(q.id, p.id) {
			q.seen[p.id] = schedule.Presence{Boot: p.boot, LastSeen: q.now()}
		}
	}
}

func (q *queen) presences(now fsm.Time) map[string]schedule.Presence {
	out := maps.Clone(q.seen)
	for id, p := range out {
		p.LastSeen = min(p.LastSeen, now)
		out[id] = p
	}
	return out
}

// atLeader carries a call of the fleet to the leader's process. It is sent at most once.
func (q *queen) atLeader(do func(leader *queen)) {
	if q.reign != nil {
		do(q)
		return
	}
	if l := q.w.queen(q.leader); l != nil && l.proc != nil {
		q.w.send(q.id, l.id, l.proc, func() {
			if l.reign != nil {
				do(l)
			}
		})
	}
}

// newest reads strongly which incarnation of a hive is the newest, 0 for none.
func (q *queen) newest(hive string, reply func(newest uint64, ok bool)) {
	q.strong(func(ok bool) {
		var newest uint64
		if h, known := q.view.Hive(hive); known {
			newest = h.Incarnation
		}
		reply(newest, ok)
	})
}

// register takes a start of a hive's agent in, at any queen.
func (q *queen) register(r schedule.Register, reply func(schedule.Answer, *fsm.Error)) {
	home := q.proc
	q.atLeader(func(l *queen) {
		l.remember(r.ID).at = l.now()
		if h, known := l.view.Hive(r.ID); known && l.w.cfg.Broken.Boots {
			r.Replaces = h.Incarnation
		}
		l.do(schedule.Request{Register: &r}, 2*time.Second, func(a schedule.Answer, err *fsm.Error) {
			l.w.send(l.id, q.id, home, func() { reply(a, err) })
		})
	})
}

// beatAnswer tells a hive that the leader has its beat, and how far its row is.
type beatAnswer struct {
	err   *fsm.Error
	index uint64
}

// beat takes a heartbeat in, at any queen.
func (q *queen) beat(b schedule.Beat, facts fsm.HiveFacts, seq uint64, reply func(beatAnswer)) {
	home := q.proc
	q.atLeader(func(l *queen) {
		back := func(a beatAnswer) { l.w.send(l.id, q.id, home, func() { reply(a) }) }
		h, ok := l.view.Hive(b.Hive)
		switch {
		case !ok:
			back(beatAnswer{err: fsm.Errorf(fsm.CodeNotFound, "hive %s is not registered", b.Hive)})
			return
		case h.Incarnation != b.Incarnation:
			l.w.meet("a beat is stale")
			back(beatAnswer{err: fsm.Errorf(fsm.CodeStale, "hive %s runs as incarnation %d, this is %d", b.Hive, h.Incarnation, b.Incarnation)})
			return
		}
		m := l.remember(b.Hive)
		if m.boot == h.Boot && m.incarnation == b.Incarnation && seq <= m.seq {
			l.w.meet("a beat is stale")
			back(beatAnswer{err: fsm.Errorf(fsm.CodeStale, "beat %d of %s was overtaken by %d", seq, b.Hive, m.seq)})
			return
		}
		m.boot, m.incarnation, m.seq, m.at = h.Boot, b.Incarnation, seq, l.now()
		if !reflect.DeepEqual(h.Facts, facts) {
			b.Facts = &facts
		}
		l.enter(b, back)
	})
}

// enter proposes a beat for as long as it says what the state does not.
func (q *queen) enter(b schedule.Beat, back func(beatAnswer)) {
	h, ok := q.view.Hive(b.Hive)
	if !ok || b.Facts == nil && !news(q.view, h, &b) {
		a := beatAnswer{}
		if ok {
			a.index = h.Changed
		}
		back(a)
		return
	}
	q.do(schedule.Request{Beat: &b}, 2*time.Second, func(a schedule.Answer, err *fsm.Error) {
		switch {
		case err != nil:
			back(beatAnswer{err: err})
		case a.Again:
			b.Facts = nil
			q.enter(b, back)
		default:
			index := uint64(0)
			if h, ok := q.view.Hive(b.Hive); ok {
				index = h.Changed
			}
			back(beatAnswer{index: index})
		}
	})
}

// news tells whether a beat says anything that the state does not.
func news(v *fsm.View, h *fsm.Hive, b *schedule.Beat) bool {
	if h.Status != fsm.HiveOnline {
		return true
	}
	workers, over, runs := map[string]bool{}, map[string]bool{}, map[runKey]bool{}
	for _, said := range b.Workers {
		workers[said.ID], over[said.ID] = true, said.State.Gone()
		w, ok := v.Worker(said.ID)
		if !ok || w.Hive != b.Hive || w.State.Gone() {
			continue
		}
		same := said.State == w.State || said.State == fsm.WorkerReady && w.State == fsm.WorkerDraining
		if !same || said.Slots > 0 && said.Slots != w.Slots {
			return true
		}
	}
	for w := range v.WorkersOn(b.Hive) {
		if w.Index <= b.Acted && !workers[w.ID] {
			return true
		}
	}
	for w := range v.Remaining(b.Hive) {
		if over[w.ID] || !workers[w.ID] && w.Index <= b.Acted {
			return true
		}
	}
	for _, r := range b.Runs {
		runs[runKey{r.Job, r.Attempt}] = true
	}
	for _, e := range b.Ended {
		runs[runKey{e.Job, e.Attempt}] = true
		if j, ok := v.Job(e.Job); ok && j.State == fsm.JobRunning && j.Attempt == e.Attempt {
			return true
		}
	}
	for j := range v.RunsOnHive(b.Hive) {
		if j.AssignedIndex <= b.Acted && !runs[runKey{j.ID, j.Attempt}] {
			return true
		}
	}
	return false
}
