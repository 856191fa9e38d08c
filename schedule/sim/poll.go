package sim

import (
	"time"

	"queen-rbee/fsm"
	"queen-rbee/schedule"
)

// poll is a reader's question to a hive: the run's record, early, and where the reader
// stands. It is the doorbell, and it may come late or twice like any other.
type poll struct {
	reader *reader
	home   *process // of the queen it came from
	number int
	hive   *hive

	rec    *fsm.Job
	epoch  fsm.Epoch
	at     fsm.Time // cluster time there, for the deadline
	from   uint64
	body   bool
	client bool // counts for grace
	parked bool
}

const (
	keepAlive   = 2 * time.Second // a parked reader is answered after so long, with nothing
	unknownWait = 2 * time.Second // for a worker whose record may be on its way
)

// serve answers a reader, or lets it wait until there is something to read.
func (a *agent) serve(p *poll) {
	r, wait, err := a.ring(p)
	w := a.h.w
	switch {
	case wait && !p.parked:
		p.parked = true
		a.waiting = append(a.waiting, p)
		w.on(a.proc, unknownWait, func() {
			for i, x := range a.waiting {
				if x == p {
					a.waiting = append(a.waiting[:i:i], a.waiting[i+1:]...)
					p.refuse(fsm.Errorf(fsm.CodeStale, "the worker is not on this hive"))
					return
				}
			}
		})
	case wait:
		p.refuse(fsm.Errorf(fsm.CodeStale, "the worker is not on this hive"))
	case err != nil:
		p.refuse(err)
	case r.terminal != nil || r.seq > p.from:
		r.seen = w.now
		p.answer(r)
	default:
		r.seen = w.now
		r.polls = append(r.polls, p)
		w.on(a.proc, keepAlive, func() {
			for i, x := range r.polls {
				if x == p {
					r.polls = append(r.polls[:i:i], r.polls[i+1:]...)
					r.seen = w.now
					p.answer(r)
					return
				}
			}
		})
	}
}

func (p *poll) refuse(err *fsm.Error) {
	p.hive.w.send(p.hive.id, p.reader.q.id, p.home, func() { p.reader.refused(p, err) })
}

// answer sends what the run has by now.
func (p *poll) answer(r *run) {
	upto, text := r.seq, r.text
	var end *schedule.Finished
	if r.terminal != nil {
		t := *r.terminal
		end = &t
	}
	p.hive.w.send(p.hive.id, p.reader.q.id, p.home, func() { p.reader.got(p, upto, text, end) })
}
