package sim

import (
	"time"

	"queen-rbee/fsm"
	"queen-rbee/schedule"
)

// reign is a queen as the established leader: the proposer's loop, with one batch in flight.
type reign struct {
	q     *queen
	term  int
	since fsm.Time
	over  bool

	queue []*ask
	busy  bool // a round is under way or about to begin
	turns int  // timers of earlier turns are void
	next  time.Duration
}

// ask is a request at the leader, and who waits for its answer. The reply is given once.
type ask struct {
	req   schedule.Request
	reply func(schedule.Answer, *fsm.Error, fate)
}

const (
	mostAsks = 48
	idleTick = 250 * time.Millisecond
)

func (r *reign) put(a *ask) {
	if r.over {
		a.reply(schedule.Answer{}, nil, refused)
		return
	}
	r.queue = append(r.queue, a)
	r.kick()
}

// end is the loss of leadership, as noticed: nobody knows what becomes of the entry under
// way, and what has not been planned is refused.
func (r *reign) end() {
	if r.over {
		return
	}
	r.over = true
	r.q.clock.leading = false
	if raft := r.q.w.raft; raft.leads(r.q) && raft.term == r.term {
		raft.leader = nil // it may lead again, after another barrier
	}
	r.q.w.logf("%s no longer leads", r.q.id)
	for _, a := range r.queue {
		a.reply(schedule.Answer{}, nil, refused)
	}
	r.queue = nil
	if r.q.reign == r {
		r.q.reign = nil
	}
}

func (r *reign) kick() {
	if r.busy || r.over {
		return
	}
	r.busy = true
	r.q.w.on(r.q.proc, 100*time.Microsecond, r.round)
}

// round plans what has gathered and commits it.
func (r *reign) round() {
	if r.over {
		return
	}
	q, w := r.q, r.q.w
	asks := r.queue[:min(len(r.queue), mostAsks)]
	r.queue = r.queue[len(asks):]
	p, reqs := r.plan(asks)
	if w.failed != nil {
		return
	}
	r.next = w.now + idleTick
	if p.Wake != 0 {
		r.next = w.now + min(idleTick, max(p.Wake-q.now(), time.Millisecond))
	}
	if p.More && len(p.Batch.Commands) > 0 {
		r.next = w.now
	}
	if len(p.Batch.Commands) == 0 {
		r.confirm(asks, reqs, p)
		return
	}
	data := w.check.encoded(&p.Batch)
	if data == nil {
		return
	}
	w.raft.propose(r, data, func(out fsm.Outcome, f fate) {
		switch {
		case f != committed:
			for _, a := range asks {
				a.reply(schedule.Answer{}, nil, f)
			}
			r.end()
		case out.Refused != nil: // it met another state: planned again
			r.queue = append(asks, r.queue...)
			r.again(0)
		default:
			w.check.outcome(p, out)
			r.answer(asks, reqs, p)
			r.again(r.next - w.now)
		}
	})
}

// plan looks at the world as this leader knows it.
func (r *reign) plan(asks []*ask) (schedule.Planned, []schedule.Request) {
	q, w := r.q, r.q.w
	reqs := make([]schedule.Request, len(asks))
	for i, a := range asks {
		reqs[i] = a.req
	}
	now := max(q.now(), q.view.Meta().Now)
	world := schedule.World{View: q.view, Hives: q.telemetry(), Queens: q.presences(now), LeaderSince: r.since,
		DrainRate: 1, Limits: w.limits}
	p := w.cfg.Plan(world, reqs, now, int64(w.now/time.Millisecond))
	w.check.plan(q, world, reqs, now, p)
	return p, reqs
}

// confirm answers what needs no command, when this queen surely led at this moment.
func (r *reign) confirm(asks []*ask, reqs []schedule.Request, p schedule.Planned) {
	w := r.q.w
	if len(asks) > 0 && !(w.raft.leads(r.q) && w.raft.term == r.term && w.raft.quorum(r.q)) {
		for _, a := range asks {
			a.reply(schedule.Answer{}, nil, refused)
		}
		r.end()
		return
	}
	r.answer(asks, reqs, p)
	r.again(r.next - w.now)
}

func (r *reign) answer(asks []*ask, reqs []schedule.Request, p schedule.Planned) {
	for i, a := range asks {
		r.q.w.check.answer(r.q, reqs[i], p.Answers[i])
		a.reply(p.Answers[i], p.Answers[i].Err, committed)
	}
}

// again begins the next round: at once when somebody waits, else when something is due.
func (r *reign) again(idle time.Duration) {
	if r.over {
		return
	}
	r.busy = false
	r.turns++
	if len(r.queue) > 0 || idle <= 0 {
		r.kick()
		return
	}
	turn := r.turns
	r.q.w.on(r.q.proc, idle, func() {
		if r.turns == turn {
			r.kick()
		}
	})
}
