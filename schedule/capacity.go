package schedule

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"queen-rbee/fsm"
)

// servable refuses what nothing that is online could ever serve. A hive that is merely
// busy or out of free memory can serve later; one that is offline, leaving, drained, too
// small, unfit by label or pin, or has failed the model again and again cannot.
func (p *planner) servable(j *fsm.Job) *fsm.Error {
	if p.unseen(j) {
		return nil
	}
	fails := 0
	var failure fsm.Failure
	until := fsm.Time(0)
	for h := range p.hivesFor(j) {
		if !usable(h) || !suits(h, j) || !p.largeEnough(h, j.Model) {
			continue
		}
		b, failing := p.failing(j.Model, h.ID)
		if !failing {
			return nil
		}
		fails++
		failure = b.Failure
		if until == 0 || b.Until < until {
			until = b.Until
		}
	}
	if !p.known(j.Model) {
		return p.unknownModel(j.Model)
	}
	if fails > 0 {
		if p.served(j) {
			return nil
		}
		err := fsm.Errorf(fsm.CodeNoHiveFits, "every hive that fits failed model %s again and again: %s", j.Model, failure.Message)
		err.RetryAfter = clampRetry(until - p.now)
		return err
	}
	err := fsm.Errorf(fsm.CodeNoHiveFits, "no hive that is online %s%s", wants(j), p.unplaced(j.Model))
	err.RetryAfter = clampRetry(p.lim.HiveTimeout)
	return err
}

// known tells whether any hive offers a model, or the catalog has it.
func (p *planner) known(model string) bool {
	if _, ok := p.model(model); ok {
		return true
	}
	for range p.hivesWith(model) {
		return true
	}
	return false
}

// served tells whether some worker of the model is there for the job, ready or on its way.
func (p *planner) served(j *fsm.Job) bool {
	workers := p.workersOf(j.Model)
	if j.Pin != "" {
		workers = p.workersOn(j.Pin)
	}
	for w := range workers {
		if h, ok := p.hive(w.Hive); ok && w.Model == j.Model && w.State != fsm.WorkerDraining && usable(h) && suits(h, j) {
			return true
		}
	}
	return false
}

// wants says in words what a job asks of a hive.
func wants(j *fsm.Job) string {
	var b strings.Builder
	fmt.Fprintf(&b, "can hold model %s", j.Model)
	if j.Pin != "" {
		fmt.Fprintf(&b, ", is hive %s", j.Pin)
	}
	for _, l := range j.Labels {
		fmt.Fprintf(&b, ", has label %s=%s", l.Key, l.Value)
	}
	return b.String()
}

// unknownModel names a few models that are known: those that hives offer, and the catalog's.
func (p *planner) unknownModel(model string) *fsm.Error {
	const most = 8
	var known []string
	for m := range p.view.Models() {
		if known = append(known, m); len(known) > most {
			break
		}
	}
	offered := len(known)
	for m := range p.view.Catalog() {
		if known = append(known, m.Ref); len(known) > offered+most {
			break
		}
	}
	if len(known) == 0 {
		return fsm.Errorf(fsm.CodeModelNotFound, "model %q is not known: the catalog is empty, and no hive has registered a model yet", model)
	}
	slices.Sort(known)
	if known = slices.Compact(known); len(known) > most {
		known = append(known[:most], "…")
	}
	return fsm.Errorf(fsm.CodeModelNotFound, "model %q is not known; known models: %s", model, strings.Join(known, ", "))
}

// capacity refuses a job that the queue has no place for. Where the queue is full, what
// can be assigned is assigned first; a job that then finds a free slot needs no place, and
// the slot's worker is the answer.
func (p *planner) capacity(j *fsm.Job) (*slot, *fsm.Error) {
	if p.bytes+int64(len(j.Body.Data)) > p.lim.QueuedBytes {
		return nil, p.atCapacity("the bodies of unfinished jobs have reached their limit of %d bytes", p.lim.QueuedBytes)
	}
	if !p.full && p.queued < p.lim.QueuedJobs {
		return nil, nil
	}
	if !p.full {
		p.full = true
		req := p.req
		p.req = byPlan
		p.assignAll()
		p.req = req
	}
	if s := p.choose(p.pool(j.Model), j); s != nil {
		return s, nil
	}
	if p.queued < p.lim.QueuedJobs {
		return nil, nil
	}
	return nil, p.atCapacity("%d jobs are waiting, the limit", p.lim.QueuedJobs)
}

// atCapacity tells each of the refused another time to come back: the first when one job
// has left, the next when two have, so that they do not all come at once.
func (p *planner) atCapacity(format string, args ...any) *fsm.Error {
	p.refusals++
	err := fsm.Errorf(fsm.CodeAtCapacity, format, args...)
	err.RetryAfter = clampRetry(maxRetryAfter)
	if p.world.DrainRate > 0 {
		seconds := min(float64(p.refusals)/p.world.DrainRate, maxRetryAfter.Seconds())
		err.RetryAfter = clampRetry(time.Duration(seconds * float64(time.Second)))
	}
	return err
}

const maxRetryAfter = time.Minute

func clampRetry(d time.Duration) time.Duration { return min(max(d, time.Second), maxRetryAfter) }

// usable tells a hive that may be given work.
func usable(h *fsm.Hive) bool {
	return h.Status == fsm.HiveOnline && h.Desired == fsm.HiveRun && !h.Leaving
}

// suits tells whether a hive satisfies a job's pin and labels.
func suits(h *fsm.Hive, j *fsm.Job) bool {
	if j.Pin != "" && j.Pin != h.ID {
		return false
	}
	for _, want := range j.Labels {
		if !hasLabel(h, want) {
			return false
		}
	}
	return true
}

func hasLabel(h *fsm.Hive, want fsm.Label) bool {
	_, ok := slices.BinarySearchFunc(h.Facts.Labels, want, compareLabels)
	return ok
}

// largeEnough tells whether some device of a hive could hold the model, were it empty.
func (p *planner) largeEnough(h *fsm.Hive, model string) bool {
	for _, m := range p.offered(h, model) {
		for _, d := range h.Facts.Devices {
			if d.Total >= m.VRAM {
				return true
			}
		}
	}
	return false
}
