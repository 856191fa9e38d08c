package schedule

import (
	"iter"
	"slices"
	"strings"

	"queen-rbee/fsm"
)

type copyKey struct{ model, hive string }

// model finds an entry of the catalog as it stands in the draft; a dropped one is not found.
func (d *draft) model(ref string) (*fsm.Model, bool) {
	if m, ok := d.models[ref]; ok {
		return m, !m.Dropped()
	}
	return d.view.Model(ref)
}

// sourced finds a model that hives can have the file of.
func (d *draft) sourced(ref string) (*fsm.Model, bool) {
	m, ok := d.model(ref)
	return m, ok && m.Source != ""
}

// named finds the model of the catalog that has a name, its own or an alias.
func (d *draft) named(name string) (*fsm.Model, bool) {
	for _, ref := range sortedKeys(d.models) {
		if m := d.models[ref]; !m.Dropped() && (ref == name || slices.Contains(m.Aliases, name)) {
			return m, true
		}
	}
	m, ok := d.view.Named(name)
	if ok {
		if _, changed := d.models[m.Ref]; changed {
			return nil, false // by another name now, or dropped
		}
	}
	return m, ok
}

// resolve is the ref of the model that a client means, or the name itself when nobody knows it.
func (d *draft) resolve(name string) string {
	if len(d.models) > 0 {
		for _, form := range []string{name, strings.TrimSuffix(name, ":latest"), name + ":latest"} {
			if m, ok := d.named(form); ok {
				return m.Ref
			}
		}
	}
	if ref, ok := d.view.Resolve(name); ok {
		return ref
	}
	return name
}

// takes tells whether a hive has an engine that runs files.
func takes(h *fsm.Hive, engine string) bool {
	_, ok := slices.BinarySearch(h.Facts.Engines, engine)
	return ok
}

// offered are the entries of a model on a hive, one per engine that serves it: those of its own
// configuration, else one made of the catalog's model. Nothing is offered where the model's
// labels forbid it, or while nobody knows what a worker takes.
func (d *draft) offered(h *fsm.Hive, model string) []fsm.EngineModel {
	own := listed(h, model)
	m, ok := d.model(model)
	if !ok {
		return own
	}
	for _, l := range m.Labels {
		if !hasLabel(h, l) {
			return nil
		}
	}
	if len(own) > 0 || m.Source == "" || !takes(h, m.Engine) || m.Need() == 0 {
		return own
	}
	return []fsm.EngineModel{{Engine: m.Engine, Ref: m.Ref, VRAM: m.Need(), Slots: max(m.Slots, 1), Context: m.Context}}
}

// serves tells whether a hive could be asked for a model at all: by its own configuration, or
// because it has the engine.
func (d *draft) serves(h *fsm.Hive, model string) bool {
	if len(listed(h, model)) > 0 {
		return true
	}
	m, ok := d.sourced(model)
	return ok && takes(h, m.Engine)
}

// fromFile finds the model whose file a worker on a hive would run.
func (d *draft) fromFile(h *fsm.Hive, model string) (*fsm.Model, bool) {
	m, ok := d.sourced(model)
	return m, ok && len(listed(h, model)) == 0
}

func (d *draft) putModel(m fsm.Model) {
	d.emit(&fsm.PutModel{Model: m})
	d.models[m.Ref] = &m
}

func (d *draft) dropModel(m *fsm.Model) {
	d.emit(&fsm.DropModel{Ref: m.Ref})
	own := *m
	own.DroppedAt = max(d.now, 1)
	d.models[m.Ref] = &own
}

// copy finds what a hive has of a model.
func (d *draft) copy(model, hive string) (*fsm.Copy, bool) {
	if y, ok := d.copies[copyKey{model, hive}]; ok {
		return y, y != nil
	}
	return d.view.Copy(model, hive)
}

// copiesOf yields the copies that the View knows of a model, as they stand in the draft.
func (d *draft) copiesOf(model string) iter.Seq[*fsm.Copy] {
	return func(yield func(*fsm.Copy) bool) {
		for was := range d.view.Copies(model) {
			if y, ok := d.copy(model, was.Hive); ok && !yield(y) {
				return
			}
		}
	}
}

// setCopy keeps a copy, if it is another than it was.
func (d *draft) setCopy(y fsm.Copy) {
	if was, ok := d.copy(y.Model, y.Hive); ok && sameCopy(was, &y) {
		return
	}
	d.emit(&fsm.SetCopy{Copy: y})
	y.Index = d.index
	d.copies[copyKey{y.Model, y.Hive}] = &y
}

func sameCopy(a, b *fsm.Copy) bool {
	return a.State == b.State && a.Bytes == b.Bytes && a.Digest == b.Digest && a.Wanted == b.Wanted &&
		(a.Failure == nil) == (b.Failure == nil) && (a.Failure == nil || *a.Failure == *b.Failure)
}

func (d *draft) dropCopy(y *fsm.Copy) {
	d.emit(&fsm.DropCopy{Model: y.Model, Hive: y.Hive})
	d.copies[copyKey{y.Model, y.Hive}] = nil
}

// remaining yields the workers that are gone and whose memory their hive still has to free.
func (d *draft) remaining(hive string) iter.Seq[*fsm.Worker] {
	return func(yield func(*fsm.Worker) bool) {
		for was := range d.view.Remaining(hive) {
			if w, ok := d.worker(was.ID); ok && w.Holds && !yield(w) {
				return
			}
		}
		for _, id := range d.held {
			if w := d.workers[id]; w != nil && w.Hive == hive && w.Holds && !yield(w) {
				return
			}
		}
	}
}

// free notes that nothing of a worker is left on its hive.
func (d *draft) free(w *fsm.Worker) {
	d.emit(&fsm.FreeWorker{ID: w.ID})
	d.editWorker(w).Holds = false
	d.shifted = with(d.shifted, w.Hive)
}
