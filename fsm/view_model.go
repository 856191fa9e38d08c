package fsm

import (
	"iter"
	"strings"
	"time"
)

// Model finds an entry of the catalog by its ref. One that was dropped is not found.
func (v *View) Model(ref string) (*Model, bool) {
	m, ok := v.models.get(ref)
	if !ok || m.Dropped() {
		return nil, false
	}
	return m, true
}

// Catalog yields the entries of the catalog in order of ref.
func (v *View) Catalog() iter.Seq[*Model] {
	return func(yield func(*Model) bool) {
		for m := range v.models.all() {
			if !m.Dropped() && !yield(m) {
				return
			}
		}
	}
}

// CatalogSize counts the rows of the catalog, the dropped ones among them.
func (v *View) CatalogSize() int { return v.models.len() }

// latest is the tag that a name without one has.
const latest = ":latest"

// Resolve finds the ref of the model that a client means: a model of the catalog by its ref or
// an alias, or one that a hive offers by its own configuration; else the same with the tag
// latest added or taken away.
func (v *View) Resolve(name string) (ref string, ok bool) {
	if ref, ok = v.resolve(name); ok {
		return ref, true
	}
	if bare, tagged := strings.CutSuffix(name, latest); tagged {
		return v.resolve(bare)
	}
	return v.resolve(name + latest)
}

func (v *View) resolve(name string) (string, bool) {
	if m, ok := v.named(name); ok {
		return m.Ref, true
	}
	if k, ok := v.offers.next(link{to: name}); ok && k.to == name {
		return name, true
	}
	return "", false
}

// Named finds the model of the catalog that has a ref or alias.
func (v *View) Named(name string) (*Model, bool) { return v.named(name) }

// KeptModels yields the models that have replicas to keep.
func (v *View) KeptModels() iter.Seq[*Model] { return rows(v.models, v.kept.all()) }

// DroppedModels yields the models that have left the catalog and are not settled yet.
func (v *View) DroppedModels() iter.Seq[*Model] { return rows(v.models, v.dropped.all()) }

// UnknownModels yields the models whose source nobody has looked at yet, or could not reach.
func (v *View) UnknownModels() iter.Seq[*Model] { return rows(v.models, v.unknown.all()) }

// Copy finds what a hive has of a model.
func (v *View) Copy(model, hive string) (*Copy, bool) {
	return v.copies.get(&Copy{Model: model, Hive: hive})
}

// Copies yields the copies of a model, in order of hive.
func (v *View) Copies(model string) iter.Seq[*Copy] { return v.copiesOf(model) }

func (t *tables) copiesOf(model string) iter.Seq[*Copy] {
	return func(yield func(*Copy) bool) {
		for y := range t.copies.from(&Copy{Model: model}) {
			if y.Model != model || !yield(y) {
				return
			}
		}
	}
}

// CopiesOn yields the copies on a hive, in order of model.
func (v *View) CopiesOn(hive string) iter.Seq[*Copy] {
	return func(yield func(*Copy) bool) {
		for model := range linked(v.copiesOn, hive) {
			if y, ok := v.Copy(model, hive); ok && !yield(y) {
				return
			}
		}
	}
}

// HivesWithEngine yields the hives with an engine that takes files, in order of id.
func (v *View) HivesWithEngine(engine string) iter.Seq[*Hive] {
	return rows(v.hives, linked(v.engines, engine))
}

// RestingOn yields the ready workers of a hive that run nothing, in order of id.
func (v *View) RestingOn(hive string) iter.Seq[*Worker] {
	return rows(v.workers, linked(v.resting, hive))
}

// Idle yields the workers that have rested for as long as they may at t, the longest overdue
// first, with when they were to stop.
func (v *View) Idle(t Time) iter.Seq2[*Worker, Time] { return v.due(v.idle, t) }

// Overdue yields the workers on their way that have taken too long at t.
func (v *View) Overdue(t Time) iter.Seq2[*Worker, Time] { return v.due(v.loads, t) }

func (v *View) due(index tree[moment], limit Time) iter.Seq2[*Worker, Time] {
	return func(yield func(*Worker, Time) bool) {
		for k := range index.all() {
			if k.at > limit {
				return
			}
			if w, ok := v.workers.get(k.id); ok && !yield(w, k.at) {
				return
			}
		}
	}
}

// Remaining yields the workers that are gone by the state, but not yet by their hive's word.
func (v *View) Remaining(hive string) iter.Seq[*Worker] {
	return rows(v.workers, linked(v.remaining, hive))
}

// KeepOf is how long a worker may rest, false when for ever: what the last job on it said,
// else what its model says. A worker of no model in the catalog rests for ever if no job said
// otherwise.
func (v *View) KeepOf(w *Worker) (time.Duration, bool) { return v.keepOf(w) }

func (t *tables) keepOf(w *Worker) (time.Duration, bool) {
	m, ok := t.models.get(w.Model)
	inCatalog := ok && !m.Dropped()
	switch {
	case inCatalog && m.Pin:
		return 0, false
	case w.KeepAlive != 0:
		return w.KeepAlive.For()
	case !inCatalog || m.IdleTTL < 0 || m.IdleTTL == 0 && m.Source == "":
		return 0, false
	case m.IdleTTL > 0:
		return m.IdleTTL, true
	}
	return DefaultIdleTTL, true
}
