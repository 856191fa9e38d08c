package sim

import (
	"time"

	"queen-rbee/fsm"
	"queen-rbee/schedule"
)

// kick has a beat sent soon.
func (a *agent) kick() {
	wait := max(0, a.sentAt+minGap-a.h.w.now)
	session := a.session
	a.h.w.on(a.proc, wait, func() {
		if session == a.session && a.incarnation > 0 {
			a.beat()
		}
	})
}

// beat says what is here, one beat at a time, and takes the answer in.
func (a *agent) beat() {
	if a.beating || a.h.w.now < a.sentAt+minGap && a.seq > 0 {
		return
	}
	w, q := a.h.w, a.at()
	a.beating = true
	a.seq++
	a.sentAt = w.now
	seq, session, sent := a.seq, a.session, w.now
	b, facts := a.report(), a.h.facts
	over := false
	w.send(a.h.id, q.id, q.proc, func() {
		q.beat(b, facts, seq, func(ans beatAnswer) {
			w.send(q.id, a.h.id, a.proc, func() {
				if !over && session == a.session {
					over = true
					a.answered(ans, sent, &b)
				}
			})
		})
	})
	w.on(a.proc, beatPatience, func() {
		if !over && session == a.session {
			over = true
			a.beating = false
			a.fail()
			a.beat()
		}
	})
}

func (a *agent) answered(ans beatAnswer, sent time.Duration, b *schedule.Beat) {
	w := a.h.w
	a.beating = false
	session := a.session
	next := func() {
		if session == a.session && w.now-a.sentAt >= beatEvery {
			a.beat()
		}
	}
	if ans.err != nil {
		switch ans.err.Code {
		case fsm.CodeNotFound:
			w.logf("%s is not known and registers anew", a.h.id)
			a.incarnation = 0
			a.register()
		case fsm.CodeStale:
			if a.stale++; a.stale >= staleLimit {
				a.superseded()
				return
			}
			w.on(a.proc, minGap, a.beat)
		default:
			a.fail()
			w.on(a.proc, 300*time.Millisecond, a.beat)
		}
		return
	}
	broken := w.now-max(a.fresh, a.begun) >= offlineAfter/2
	a.stale, a.fresh = 0, sent
	for _, said := range b.Workers {
		if x := a.workers[said.ID]; x != nil && said.State == fsm.WorkerStopped && x.stopping && x.gone {
			x.told = true
		}
	}
	a.sweep()
	if broken { // any queen may wake with an old doorbell: what is desired is read first
		w.meet("a hive is heard again after a silence")
		a.silences++
		a.askAgain = true
		a.ask()
	}
	a.lag(ans.index)
	w.on(a.proc, beatEvery, next)
}

// lag asks the leader when the hive's row has been ahead of what was acted on for long.
func (a *agent) lag(row uint64) {
	w := a.h.w
	switch {
	case row <= a.index:
		a.behind = 0
	case a.behind == 0 || a.index >= a.behind:
		a.behind, a.lagging = row, w.now
	case w.now-a.lagging >= behindFor:
		a.lagging = w.now
		a.asks++
		a.askAgain = true
		a.ask()
	}
}

// report is what is here. Until the session's first answer no index is named.
func (a *agent) report() schedule.Beat {
	b := schedule.Beat{Hive: a.h.id, Incarnation: a.incarnation}
	if a.synced {
		b.Acted = a.index
	}
	for _, id := range sortedNames(a.workers) {
		b.Workers = append(b.Workers, a.workers[id].report())
	}
	for _, key := range sortedKeys(a.runs) {
		r := a.runs[key]
		switch {
		case r.forgotten:
		case r.terminal != nil:
			b.Ended = append(b.Ended, *r.terminal)
		default:
			b.Runs = append(b.Runs, schedule.BeatRun{Job: r.job, Attempt: r.attempt, Seq: r.seq})
		}
	}
	return b
}

// ask keeps one blocking query at the queen; the first of a session is a strong one.
func (a *agent) ask() {
	if a.incarnation == 0 {
		return
	}
	w, q := a.h.w, a.at()
	a.asks++
	a.askedAt = w.now
	mine, session, strong := a.asks, a.session, a.askAgain
	valid := func() bool { return mine == a.asks && session == a.session }
	index := a.index
	if !a.synced {
		index, strong = 0, true
	}
	settles := 0
	if strong {
		settles = a.silences
	}
	w.send(a.h.id, q.id, q.proc, func() {
		q.desire(a.h.id, index, strong, func(d *desired, err *fsm.Error) {
			w.send(q.id, a.h.id, a.proc, func() {
				switch {
				case valid():
					a.told(d, err, strong, settles)
				case session == a.session && d != nil && d.index <= a.index:
					a.apply(d) // late or a second time: it changes nothing
				}
			})
		})
	})
	limit := askPatience
	if strong {
		limit = 5 * time.Second
	}
	w.on(a.proc, limit, func() {
		if valid() {
			a.fail()
		}
	})
}

// told acts on an answer. One that may have lain in its socket while the agent was stopped or
// unheard is asked for anew: meanwhile the leader may have given the hive up.
func (a *agent) told(d *desired, err *fsm.Error, strong bool, settles int) {
	now := a.h.w.now
	switch {
	case err != nil && err.Code == fsm.CodeNotFound:
		a.asks++
		a.incarnation = 0
		a.register()
		return
	case err != nil || d.epoch != a.epoch:
		a.fail()
		return
	case !a.h.w.cfg.Broken.Drowsy && now-a.fresh > offlineAfter/2 && !(strong && now-a.askedAt <= offlineAfter/2):
		a.h.w.meet("an answer that may be old is asked for anew")
		a.askAgain = true
		a.ask()
		return
	}
	a.askAgain = a.silences > settles && a.settled < a.silences
	a.settled = max(a.settled, settles)
	wait := 100 * time.Millisecond
	if a.apply(d) {
		wait = 0
	}
	a.asks++
	a.h.w.on(a.proc, wait, a.ask)
}
