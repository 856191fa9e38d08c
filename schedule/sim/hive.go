package sim

import (
	"time"

	"queen-rbee/fsm"
	"queen-rbee/schedule"
)

// hive is a GPU machine: what its disk keeps, and the agent that runs on it, if one does.
type hive struct {
	w     *World
	id    string
	facts fsm.HiveFacts
	agent *agent
	logs  map[runKey]*run // run logs; those of an earlier agent have ended
	left  []*worker       // engines of an agent that was killed

	epoch fsm.Epoch // newest desired answer acted on, as on the disk
	acted uint64
}

// whole is what the machine offers when nothing is wrong with it.
func (h *hive) whole() fsm.HiveFacts {
	f := fsm.HiveFacts{
		URL:     "http://" + h.id,
		Devices: []fsm.Device{{ID: "gpu0", Kind: "cuda", Total: 20}},
		Models:  []fsm.EngineModel{{Engine: "e", Ref: "m", VRAM: 8, Slots: 2}, {Engine: "e", Ref: "n", VRAM: 10, Slots: 1}},
	}
	if h.id == "h1" {
		f.Labels = []fsm.Label{{Key: "zone", Value: "a"}}
	}
	return f
}

// change is another configuration, or a device that is gone.
func (h *hive) change() {
	h.facts = h.whole()
	switch h.w.below(5) {
	case 0:
	case 1:
		h.facts.Models = h.facts.Models[:1]
	case 2:
		h.facts.Labels = nil
	case 3:
		h.facts.Devices = nil
	case 4:
		h.facts.Models[0].Slots = 1
	}
	h.w.logf("%s offers something else: %d models, %d devices", h.id, len(h.facts.Models), len(h.facts.Devices))
	h.w.meet("a hive offers something else")
}

// runKey names one attempt of one job.
type runKey struct {
	job     string
	attempt uint32
}

// agent is one start of a hive's daemon, with the promises of hives/agent.
type agent struct {
	h    *hive
	proc *process
	boot string

	queen       int // which queen both pipes use
	session     int // pipes of earlier sessions are void
	incarnation uint64
	epoch       fsm.Epoch
	index       uint64 // of the newest answer acted on
	synced      bool   // this session's first strong answer has come
	last        *desired

	workers map[string]*worker
	runs    map[runKey]*run
	waiting []*poll // readers whose worker is not known yet

	seq      uint64
	beating  bool
	sentAt   time.Duration
	fresh    time.Duration // when the newest answered beat was sent; below 0 for never
	begun    time.Duration // when the session began
	silences int           // so long that runs may have ended elsewhere
	settled  int           // the newest silence after which a strong answer was acted on
	stale    int           // in a row
	behind   uint64        // the row was ahead of index at …
	lagging  time.Duration // … this moment
	asks     int           // queries so far; the answer of an earlier one is void
	askedAt  time.Duration // when the newest query was sent
	askAgain bool          // the next query is a strong one
}

const (
	offlineAfter = 10 * time.Second
	beatEvery    = time.Second
	beatPatience = 2500 * time.Millisecond
	minGap       = 50 * time.Millisecond
	staleLimit   = 3
	behindFor    = time.Second
	askPatience  = 40 * time.Second
)

// start begins an agent: it goes on with engines that an earlier one left, or has ended them
// before anything else, and logs that it left open end with its word.
func (h *hive) start() {
	if h.agent != nil {
		return
	}
	h.w.boots++
	boot := h.w.name("a", h.w.boots)
	a := &agent{h: h, proc: &process{name: h.id + "/" + boot}, boot: boot, epoch: h.epoch, index: h.acted,
		workers: map[string]*worker{}, runs: map[runKey]*run{}, fresh: -time.Hour}
	h.agent = a
	for _, key := range sortedKeys(h.logs) {
		if l := h.logs[key]; l.terminal == nil {
			l.terminal = l.record(fsm.JobFailed, &fsm.Failure{Code: "agent_restarted", Message: "the agent was restarted"})
		}
	}
	h.w.logf("%s starts as %s", h.id, a.boot)
	for _, x := range h.left {
		if !h.w.faults.Workers || h.w.calm || !h.w.chance(200) { // else it has died, too
			a.resume(x)
		}
	}
	h.left = nil
	h.w.on(a.proc, h.w.between(0, 50*time.Millisecond), a.register)
}

// kill ends the agent; its engines live on.
func (h *hive) kill() {
	if h.agent == nil {
		return
	}
	for _, id := range sortedNames(h.agent.workers) {
		if x := h.agent.workers[id]; !x.gone && (x.state == fsm.WorkerLoading || x.state == fsm.WorkerReady) {
			h.left = append(h.left, x)
		}
	}
	h.w.logf("agent of %s is killed", h.id)
	h.agent.proc.dead = true
	h.agent = nil
}

// at is the queen that the pipes use now.
func (a *agent) at() *queen { return a.h.w.queens[a.queen%len(a.h.w.queens)] }

// fail moves both pipes to the next queen; a query under way is broken off.
func (a *agent) fail() {
	a.queen++
	a.asks++
	a.h.w.on(a.proc, 100*time.Millisecond, a.ask)
}

// register asks one queen after the other which incarnation is the newest and tells it of
// this start, until one takes it.
func (a *agent) register() {
	w, h := a.h.w, a.h
	a.session++
	session, q := a.session, a.at()
	r := schedule.Register{ID: h.id, Boot: a.boot, Mode: "network", Facts: h.facts}
	over := false
	next := func(after time.Duration) {
		over = true
		a.queen++
		w.on(a.proc, after, a.register)
	}
	mine := func(do func()) func() {
		return func() {
			if !over && session == a.session {
				do()
			}
		}
	}
	registered := func(ans schedule.Answer, err *fsm.Error) {
		w.send(q.id, h.id, a.proc, mine(func() {
			switch {
			case err != nil && err.Code == fsm.CodeStale:
				over = true
				a.superseded()
			case err != nil:
				if err.Code == fsm.CodeConflict {
					w.meet("a registration is outrun")
				}
				next(500 * time.Millisecond)
			default:
				over = true
				a.adopt(ans)
			}
		}))
	}
	read := func(newest uint64, ok bool) {
		w.send(q.id, h.id, a.proc, mine(func() {
			if !ok {
				next(500 * time.Millisecond)
				return
			}
			r.Replaces = newest
			w.send(h.id, q.id, q.proc, func() { q.register(r, registered) })
		}))
	}
	w.send(h.id, q.id, q.proc, func() { q.newest(h.id, read) })
	w.on(a.proc, 4*time.Second, mine(func() { next(0) }))
}

// adopt begins a session: nothing is started before its first strong answer.
func (a *agent) adopt(ans schedule.Answer) {
	a.h.w.logf("%s runs as incarnation %d", a.h.id, ans.Incarnation)
	if ans.Epoch != a.epoch {
		a.index, a.last = 0, nil
	}
	a.epoch, a.incarnation, a.synced = ans.Epoch, ans.Incarnation, false
	a.stale, a.behind, a.askAgain, a.beating, a.begun = 0, 0, true, false, a.h.w.now
	a.ask()
	a.kick()
}

// superseded ends an agent that a newer one has replaced; whoever watches over it starts it
// anew after a while.
func (a *agent) superseded() {
	a.h.w.logf("%s (%s) is superseded and exits", a.h.id, a.boot)
	if a.h.agent == a {
		a.h.w.violate("the only agent of %s, %s, is told that it is superseded", a.h.id, a.boot)
	}
	if a.h.agent == a {
		a.h.kill()
		a.h.left = nil // it has stopped them
		a.h.w.after(5*time.Second, a.h.start)
	}
	a.proc.dead = true
}
