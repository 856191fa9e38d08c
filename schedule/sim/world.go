package sim

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"queen-rbee/fsm"
	"queen-rbee/schedule"
)

// Faults are the kinds of trouble that a run may meet.
type Faults struct {
	Net      bool // messages lost, late, twice; links cut
	Queens   bool // killed, stopped, elected anew, restored from snapshots
	Hives    bool // agents killed, stopped, cut off
	Workers  bool // engines that die, fail, hang
	Clients  bool // who cancel, leave, move
	Operator bool // drains, stops, spawns
}

// All is every kind of trouble.
func All() Faults { return Faults{true, true, true, true, true, true} }

// PlanFunc is schedule.Plan, or a broken one.
type PlanFunc func(schedule.World, []schedule.Request, fsm.Time, fsm.Millis) schedule.Planned

// Config is one run of the simulation. The zero value of each field is the plain choice.
type Config struct {
	Seed   uint64
	Script []uint32 // choices of an earlier run, instead of the seed's
	Faults Faults
	Length time.Duration // of the time of faults; 0 for the default
	Live   bool          // then the faults stop, and everything accepted must end
	Crowd  int           // clients who come all at once, beside the others
	Trace  bool

	Plan   PlanFunc                                       // nil for schedule.Plan
	Tamper func(queen string, at *fsm.View, b *fsm.Batch) // changes what a replica is about to apply; nil for nothing
	Broken Broken
}

// Broken is what parts of the world may do wrong on purpose, to see whether it is noticed.
type Broken struct {
	Gullible  bool // hives start whatever a doorbell says
	Forgetful bool // hives do not remember what has ended
	Crowded   bool // hives give out more slots than there are
	Drowsy    bool // hives act on any answer, however long they were stopped or unheard
	Hasty     bool // queens call refused what an earlier try of theirs may have brought about
	Eager     bool // queens show an end before it is committed
	Mixing    bool // queens go on with another attempt where the last one broke off
	Hoarding  bool // nobody unloads idle workers
	Boots     bool // queens take any registration for one that has read which incarnation is the newest
}

const (
	defaultLength = 45 * time.Second
	lively        = 4 * time.Minute // in which everything must end once the faults have stopped
	mostSteps     = 150_000

	// No packet lives as long as an ended job is retained: a repeat of its submission finds it.
	latePacket  = 8 * time.Second
	longPause   = 12 * time.Second
	shortRetain = 25 * time.Second
)

// Violation is what a run has broken.
type Violation struct {
	What  string
	At    time.Duration
	Trace []string // one line per event, when asked for
}

// Report is what a run did.
type Report struct {
	Violation *Violation // nil when all held
	Script    []uint32   // the choices made
	Steps     int
	Index     uint64         // batch index reached
	Jobs      int            // that were accepted
	Ended     map[string]int // what clients were shown last
	Met       map[string]int // rare things that happened
}

// World is a cluster with its hives and clients on virtual time.
type World struct {
	*choices
	cfg    Config
	faults Faults
	limits schedule.Limits
	calm   bool // the faults have stopped

	now    time.Duration
	events events
	made   uint64
	steps  int
	done   bool

	raft    *raft
	queens  []*queen
	hives   []*hive
	clients []*client
	cut     map[link]bool

	old                        []schedule.Request // that were made, and may arrive again
	bells                      []*poll
	boots, jobs, texts, wishes int

	check  *checker
	failed *Violation
	lines  []string
	met    map[string]int
}

// Run runs one simulation to its end or to its first violation.
func Run(cfg Config) Report {
	w := newWorld(cfg)
	for len(w.events) > 0 && w.failed == nil && !w.done {
		w.step()
	}
	if w.failed == nil {
		w.check.last()
	}
	if w.failed != nil {
		w.failed.Trace = w.lines
	}
	rep := Report{Violation: w.failed, Script: w.words[:min(w.at, len(w.words))], Steps: w.steps,
		Index: w.check.view.Meta().Index, Jobs: len(w.check.jobs), Ended: map[string]int{}, Met: w.met}
	for _, c := range w.clients {
		rep.Ended[c.ended]++
	}
	return rep
}

func (w *World) step() {
	e := w.events.take()
	w.now = e.at
	e.do()
	if w.steps++; w.steps > mostSteps {
		w.violate("the world does not come to rest: %d events", w.steps)
	}
}

func newWorld(cfg Config) *World {
	if cfg.Plan == nil {
		cfg.Plan = schedule.Plan
	}
	if cfg.Length == 0 {
		cfg.Length = defaultLength
	}
	w := &World{cfg: cfg, faults: cfg.Faults, cut: map[link]bool{}, met: map[string]int{}, choices: seeded(cfg.Seed)}
	if cfg.Script != nil {
		w.choices = scripted(cfg.Script)
	}
	w.check = newChecker(w)
	w.limits = w.drawLimits()
	w.raft = &raft{w: w, healthy: -time.Hour}
	w.raft.commit(w.check.encoded(&fsm.Batch{Level: fsm.CurrentLevel, Commands: []fsm.Command{
		&fsm.Genesis{ClusterID: "sim", Epoch: fsm.Epoch{0xab, 15: 1}, Level: fsm.CurrentLevel}}}))
	for i := range pick(w.choices, 3, 3, 5) {
		w.queens = append(w.queens, &queen{w: w, id: "q" + strconv.Itoa(i+1)})
	}
	for _, q := range w.queens {
		q.start()
	}
	w.raft.tick()
	for i := range 2 + w.below(3) {
		w.addHive(i)
	}
	for range 4 + w.below(30) {
		w.after(w.between(800*time.Millisecond, cfg.Length), w.newClient)
	}
	if cfg.Crowd > 0 {
		w.after(w.between(2*time.Second, cfg.Length), func() {
			for range cfg.Crowd {
				w.after(w.between(0, 300*time.Millisecond), w.newClient)
			}
		})
	}
	w.after(500*time.Millisecond, w.mischief)
	w.after(cfg.Length, w.peace)
	return w
}

// drawLimits makes the bounds small enough to be met.
func (w *World) drawLimits() schedule.Limits {
	l := schedule.Defaults()
	l.QueuedJobs = pick(w.choices, 1000, 12, 3)
	l.Decisions = pick(w.choices, 4096, 32, 4)
	l.WorkersPerModel = pick(w.choices, 0, 0, 2)
	l.Retain, l.RetainMin = pick(w.choices, time.Hour, shortRetain), shortRetain
	l.RetainJobs = pick(w.choices, 1000, 3)
	l.BlockFirst, l.BlockMax = 2*time.Second, 10*time.Second
	return l
}

func (w *World) addHive(i int) {
	h := &hive{w: w, id: w.name("h", i+1), logs: map[runKey]*run{}}
	h.facts = h.whole()
	w.hives = append(w.hives, h)
	w.after(w.between(0, 700*time.Millisecond), h.start)
}

func (w *World) queen(id string) *queen {
	for _, q := range w.queens {
		if q.id == id {
			return q
		}
	}
	return nil
}

func (w *World) hive(id string) *hive {
	for _, h := range w.hives {
		if h.id == id {
			return h
		}
	}
	return nil
}

func (w *World) name(what string, n int) string { return what + strconv.Itoa(n) }

func (w *World) jobName() string {
	w.jobs++
	return fmt.Sprintf("j%04d", w.jobs)
}

// logf writes a line of the trace.
func (w *World) logf(format string, args ...any) {
	if w.cfg.Trace {
		w.lines = append(w.lines, fmt.Sprintf("%10.4f  ", w.now.Seconds())+fmt.Sprintf(format, args...))
	}
}

// meet counts something rare, so that a test can tell that it happens.
func (w *World) meet(what string) { w.met[what]++ }

// violate ends the run: the first violation counts.
func (w *World) violate(format string, args ...any) {
	if w.failed == nil {
		w.logf("VIOLATION: "+format, args...)
		w.failed = &Violation{What: fmt.Sprintf(format, args...), At: w.now}
	}
}

func sortedNames[T any](m map[string]T) []string { return slices.Sorted(maps.Keys(m)) }

func sortedKeys[T any](m map[runKey]T) []runKey {
	keys := slices.Collect(maps.Keys(m))
	slices.SortFunc(keys, func(a, b runKey) int {
		if a.job != b.job {
			if a.job < b.job {
				return -1
			}
			return 1
		}
		return int(a.attempt) - int(b.attempt)
	})
	return keys
}
