package sim

import (
	"time"

	"queen-rbee/fsm"
	"queen-rbee/schedule"
)

// mischief does one piece of harm, and comes back, until peace.
func (w *World) mischief() {
	if w.calm {
		return
	}
	w.after(w.between(50*time.Millisecond, 2*time.Second), w.mischief)
	switch w.below(8) {
	case 1:
		if w.faults.Queens {
			w.harmQueen(w.queens[w.below(len(w.queens))])
		}
	case 2, 7:
		if w.faults.Hives {
			w.harmHive(w.hives[w.below(len(w.hives))])
		}
	case 3:
		if w.faults.Workers {
			w.harmWorker(w.hives[w.below(len(w.hives))])
		}
	case 4:
		if w.faults.Net {
			w.harmLink()
		}
	case 5:
		if w.faults.Operator {
			w.operate(w.hives[w.below(len(w.hives))])
		}
	case 6:
		if w.faults.Net {
			w.repeat()
			w.ringAgain()
		}
	}
}

// ringAgain brings a doorbell to its hive once more, late by anything.
func (w *World) ringAgain() {
	if len(w.bells) == 0 {
		return
	}
	p := w.bells[len(w.bells)-1-w.below(min(len(w.bells), 48))]
	if a := p.hive.agent; a != nil && w.reaches(p.reader.q.id, p.hive.id) {
		w.logf("an old doorbell of %s/%d arrives again at %s", p.rec.ID, p.rec.Attempt, p.hive.id)
		again := *p
		w.on(a.proc, time.Millisecond, func() { a.serve(&again) })
	}
}

// repeat brings what was asked before to the leader once more.
func (w *World) repeat() {
	q := w.queens[w.below(len(w.queens))]
	if len(w.old) == 0 || !q.proc.runs() {
		return
	}
	r := w.old[len(w.old)-1-w.below(min(len(w.old), 24))]
	w.logf("an old request arrives again at %s: %s", q.id, words(r))
	w.meet("an old request arrives again")
	q.do(r, 5*time.Second, func(schedule.Answer, *fsm.Error) {})
}

func (w *World) harmQueen(q *queen) {
	switch w.below(6) {
	case 0:
		q.save()
	case 1:
		q.kill()
		w.after(w.between(50*time.Millisecond, 10*time.Second), q.rise)
	case 2, 3:
		w.pause(q.proc, w.between(50*time.Millisecond, longPause))
	case 4: // leadership is handed on, or lost under load
		w.raft.elect(w.raft.leader)
	case 5: // a lost disk is replaced: the leader's snapshot comes over the wire
		if l := w.raft.leader; l != nil && l != q && l.proc != nil {
			l.save()
			q.kill()
			q.snap, q.snapAt = l.snap, l.snapAt
			w.after(w.between(50*time.Millisecond, 3*time.Second), q.rise)
		}
	}
}

// rise starts a queen that is down.
func (q *queen) rise() {
	if q.proc == nil {
		q.start()
	}
}

func (w *World) harmHive(h *hive) {
	switch w.below(5) {
	case 0, 1:
		h.kill()
		w.after(w.between(20*time.Millisecond, 15*time.Second), h.start)
	case 2:
		if h.agent != nil {
			w.pause(h.agent.proc, w.between(100*time.Millisecond, longPause))
		}
	case 3: // unplugged
		w.isolate(h.id, w.between(200*time.Millisecond, 20*time.Second))
	case 4:
		h.change()
	}
}

// isolate cuts a machine off from all others for a while.
func (w *World) isolate(id string, d time.Duration) {
	w.logf("%s is cut off for %v", id, d)
	for _, q := range w.queens {
		w.sever(link{id, q.id}, d)
		w.sever(link{q.id, id}, d)
	}
	for _, h := range w.hives {
		w.sever(link{id, h.id}, d)
		w.sever(link{h.id, id}, d)
	}
}

func (w *World) sever(l link, d time.Duration) {
	if l.from == l.to || w.cut[l] {
		return
	}
	w.cut[l] = true
	w.after(d, func() { delete(w.cut, l) })
}

func (w *World) harmLink() {
	q, d := w.queens[w.below(len(w.queens))], w.between(100*time.Millisecond, 15*time.Second)
	switch w.below(4) {
	case 0:
		w.isolate(q.id, d)
	case 1: // one direction between two queens
		if o := w.queens[w.below(len(w.queens))]; o != q {
			w.logf("%s no longer reaches %s for %v", q.id, o.id, d)
			w.sever(link{q.id, o.id}, d)
		}
	case 2:
		h := w.hives[w.below(len(w.hives))]
		w.logf("%s no longer reaches %s for %v", h.id, q.id, d)
		w.sever(link{h.id, q.id}, d)
	case 3:
		h := w.hives[w.below(len(w.hives))]
		w.logf("%s no longer reaches %s for %v", q.id, h.id, d)
		w.sever(link{q.id, h.id}, d)
	}
}

func (w *World) harmWorker(h *hive) {
	if h.agent == nil || h.agent.proc.paused || len(h.agent.workers) == 0 {
		return
	}
	ids := sortedNames(h.agent.workers)
	h.agent.workers[ids[w.below(len(ids))]].die("killed")
}

// operate is what a person may ask of a hive, at any queen.
func (w *World) operate(h *hive) {
	q := w.queens[w.below(len(w.queens))]
	if !q.proc.runs() {
		return
	}
	var r schedule.Request
	switch w.below(5) {
	case 0:
		r.HiveWish = &schedule.HiveWish{ID: h.id, Desired: fsm.HiveRun}
	case 1:
		r.HiveWish = &schedule.HiveWish{ID: h.id, Desired: pick(w.choices, fsm.HiveDrain, fsm.HiveStop)}
		w.after(w.between(time.Second, 10*time.Second), func() { w.wish(h) })
	case 2:
		w.wishes++
		r.SpawnWorker = &schedule.SpawnWorker{ID: w.name("w", w.wishes), Model: pick(w.choices, "m", "n"), Hive: h.id}
	case 3:
		for x := range w.check.view.WorkersOn(h.id) {
			r.StopWorker = &schedule.StopWorker{ID: x.ID, Force: w.chance(500)}
			break
		}
	case 4:
		r.DropHive = &schedule.DropHive{ID: h.id}
	}
	if r == (schedule.Request{}) {
		return
	}
	w.logf("an operator asks at %s: %s", q.id, words(r))
	q.do(r, 10*time.Second, func(schedule.Answer, *fsm.Error) {})
}

// wish lets a hive run again, and does not give up.
func (w *World) wish(h *hive) {
	for _, q := range w.queens {
		if q.proc.runs() {
			q.do(schedule.Request{HiveWish: &schedule.HiveWish{ID: h.id, Desired: fsm.HiveRun}}, 10*time.Second, func(schedule.Answer, *fsm.Error) {})
		}
	}
	w.after(5*time.Second, func() {
		if x, ok := w.check.view.Hive(h.id); ok && x.Desired != fsm.HiveRun {
			w.wish(h)
		}
	})
}

// peace ends the faults. In safety mode the run is over; in liveness mode everything that was
// accepted must end from here on.
func (w *World) peace() {
	if !w.cfg.Live {
		w.done = true
		return
	}
	w.logf("the faults stop")
	w.calm = true
	clear(w.cut)
	for _, q := range w.queens {
		if q.proc == nil {
			q.start()
		}
		w.proceed(q.proc)
	}
	for _, h := range w.hives {
		h.facts = h.whole()
		h.start()
		w.proceed(h.agent.proc)
		w.wish(h)
	}
	w.after(lively, w.check.alive)
	if !w.cfg.Broken.Hoarding {
		w.after(15*time.Second, w.unload)
	}
	w.after(time.Second, w.settled)
}

// unload stops idle workers while somebody waits: nothing else makes room for a model whose
// memory, or whose number of workers, others have taken.
func (w *World) unload() {
	v := w.check.view
	if v.Counts().Queued > 0 && v.Counts().Running == 0 {
		for x := range v.Workers() {
			if q := w.queens[0]; x.State == fsm.WorkerReady {
				q.do(schedule.Request{StopWorker: &schedule.StopWorker{ID: x.ID}}, 10*time.Second, func(schedule.Answer, *fsm.Error) {})
			}
		}
	}
	w.after(15*time.Second, w.unload)
}

// settled ends the run as soon as nothing is left to wait for.
func (w *World) settled() {
	if w.check.unfinished() == "" {
		w.done = true
		return
	}
	w.after(time.Second, w.settled)
}
