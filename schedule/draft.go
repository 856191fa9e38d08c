package schedule

import (
	"strconv"

	"queen-rbee/fsm"
)

// byPlan marks commands that no request made.
const byPlan = -1

// step is one command and the request that made it, or byPlan.
type step struct {
	cmd fsm.Command
	req int
}

// draft is the state as it will be once the batch is applied: the View plus everything
// decided so far. Every decision goes through a method that both emits the command and
// shows its effect, so that no later decision of the same plan can overbook or repeat it.
// Records it hands out are read-only for everyone outside draft*.go.
type draft struct {
	view  *fsm.View
	lim   Limits
	meta  fsm.Meta
	now   fsm.Time
	index uint64 // that the batch will have

	steps   []step
	req     int                    // whose commands are being made
	assigns map[string]*fsm.Assign // of jobs born in this plan: they go right behind their Submit

	jobs    map[string]*fsm.Job // changed or new; nil: forgotten
	born    map[string]bool     // jobs submitted by this plan
	fresh   map[string][]*fsm.Job
	freshOf []string // models in fresh, in order of appearance
	keys    map[idemKey]*fsm.Idempotency
	keyed   int   // idempotency keys remembered
	queued  int   // jobs waiting, as in Counts
	bytes   int64 // bodies of jobs not ended
	ended   int   // ended jobs retained

	workers  map[string]*fsm.Worker // changed or new; nil: forgotten
	touched  map[string][]string    // their ids by model, in order of the first change
	spawned  []*fsm.Worker          // new in this plan
	busy     map[string]int         // worker -> change of its number of runs
	emptying []string               // draining workers that may have become empty
	hives    map[string]*fsm.Hive
	facts    []string // hives whose facts this plan changes or brings, in order
	shifted  []string // these and the hives to or from which it moves workers, in order
	blocks   map[blockKey]*fsm.Block
	spawns   int // number of worker ids made

	models map[string]*fsm.Model // changed or new
	copies map[copyKey]*fsm.Copy // nil: forgotten
	held   []string              // workers stopped by this plan that hold memory

	queens  map[string]*fsm.Queen // nil: dropped
	apiKeys map[[32]byte]*fsm.Key
}

type idemKey struct{ tenant, key string }

type blockKey struct{ model, hive string }

func newDraft(w World, now fsm.Time) *draft {
	meta, counts := w.View.Meta(), w.View.Counts()
	return &draft{
		view: w.View, lim: w.Limits, meta: meta, now: max(now, meta.Now), index: meta.Index + 1,
		req:     byPlan,
		assigns: map[string]*fsm.Assign{},
		jobs:    map[string]*fsm.Job{}, born: map[string]bool{}, fresh: map[string][]*fsm.Job{},
		keys: map[idemKey]*fsm.Idempotency{}, keyed: w.View.Keyed(),
		queued: counts.Queued, bytes: counts.QueuedBytes, ended: counts.Ended,
		workers: map[string]*fsm.Worker{}, touched: map[string][]string{}, busy: map[string]int{},
		hives: map[string]*fsm.Hive{}, blocks: map[blockKey]*fsm.Block{},
		models: map[string]*fsm.Model{}, copies: map[copyKey]*fsm.Copy{},
		queens: map[string]*fsm.Queen{}, apiKeys: map[[32]byte]*fsm.Key{},
	}
}

func (d *draft) emit(cmd fsm.Command) { d.steps = append(d.steps, step{cmd, d.req}) }

// made counts the commands so far.
func (d *draft) made() int { return len(d.steps) + len(d.assigns) }

// commands lays the steps out as the batch will have them, with the range each of n
// requests made. The assignment of a job born here stands right behind its submission:
// all that frees slots was decided before, so nothing in between can matter to it.
func (d *draft) commands(n int) ([]fsm.Command, []Span) {
	cmds, spans := make([]fsm.Command, 0, d.made()), make([]Span, n)
	for _, s := range d.steps {
		from := len(cmds)
		cmds = append(cmds, s.cmd)
		if sub, ok := s.cmd.(*fsm.Submit); ok {
			if a := d.assigns[sub.Job.ID]; a != nil {
				cmds = append(cmds, a)
			}
		}
		if s.req == byPlan {
			continue
		}
		if spans[s.req].To == 0 {
			spans[s.req].From = from
		}
		spans[s.req].To = len(cmds)
	}
	return cmds, spans
}

// workerID makes an id that no other plan can make: the epoch keeps lives of a state
// apart, the batch index plans, the counter workers of one plan.
func (d *draft) workerID() string {
	id := "w-" + d.meta.Epoch.String()[:4] + "-" + strconv.FormatUint(d.index, 32) + "-" + strconv.Itoa(d.spawns)
	d.spawns++
	return id
}
