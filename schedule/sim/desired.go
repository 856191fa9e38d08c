package sim

import (
	"time"

	"queen-rbee/fsm"
)

// query is a hive's blocking question for what is desired of it.
type query struct {
	q     *queen
	hive  string
	index uint64
	over  bool
	reply func(*desired, *fsm.Error)
}

// desired is everything that should be on a hive, as of an index.
type desired struct {
	epoch   fsm.Epoch
	index   uint64
	wish    fsm.HiveWish
	workers []*fsm.Worker
	runs    []*fsm.Job
	at      fsm.Time // cluster time at the queen, for deadlines
}

const desiredWait = 30 * time.Second

// desire answers the pipe down once the hive's row has changed after index, or after a while.
func (q *queen) desire(hive string, index uint64, strong bool, reply func(*desired, *fsm.Error)) {
	x := &query{q: q, hive: hive, index: index, reply: reply}
	begin := func() {
		q.await(index, func() {
			q.queries = append(q.queries, x)
			q.w.on(q.proc, desiredWait, x.expire)
			x.look()
		})
	}
	if !strong {
		begin()
		return
	}
	q.strong(func(ok bool) {
		if !ok {
			reply(nil, fsm.Errorf(fsm.CodeNoLeader, "no leader"))
			return
		}
		begin()
	})
}

func (x *query) look() {
	if x.over {
		return
	}
	h, ok := x.q.view.Hive(x.hive)
	switch {
	case !ok:
		x.close()
		x.reply(nil, fsm.Errorf(fsm.CodeNotFound, "hive %s is not registered", x.hive))
	case h.Changed > x.index:
		x.answer()
	}
}

func (x *query) expire() {
	if !x.over {
		x.answer()
	}
}

func (x *query) answer() {
	x.close()
	v := x.q.view
	h, ok := v.Hive(x.hive)
	if !ok {
		x.reply(nil, fsm.Errorf(fsm.CodeNotFound, "hive %s is not registered", x.hive))
		return
	}
	d := &desired{epoch: v.Meta().Epoch, index: v.Meta().Index, wish: h.Desired, at: x.q.now()}
	for w := range v.WorkersOn(x.hive) {
		d.workers = append(d.workers, w)
	}
	for j := range v.RunsOnHive(x.hive) {
		d.runs = append(d.runs, j)
	}
	x.reply(d, nil)
}

func (x *query) close() {
	x.over = true
	for i, other := range x.q.queries {
		if other == x {
			x.q.queries = append(x.q.queries[:i:i], x.q.queries[i+1:]...)
			return
		}
	}
}
