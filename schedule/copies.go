package schedule

import (
	"slices"

	"queen-rbee/fsm"
)

// fetch wants a model's file on hives, or wants it there no more.
func (p *planner) fetch(a *Answer, f *Fetch) {
	m, ok := p.named(p.resolve(f.Ref))
	switch {
	case !ok:
		a.Err = p.unknownModel(f.Ref)
		return
	case m.Source == "":
		a.Err = fsm.Errorf(fsm.CodeConflict, "model %s has no source: hives offer it by their own configuration", m.Ref)
		return
	case len(f.Hives) > maxText:
		a.Err = fsm.Errorf(fsm.CodeInvalid, "hives: at most %d", maxText)
		return
	}
	for _, id := range f.Hives {
		h, known := p.hive(id)
		if !known {
			a.Err = fsm.Errorf(fsm.CodeNotFound, "hives: no hive %s", id)
			return
		}
		if !f.Drop && !takes(h, m.Engine) {
			a.Err = fsm.Errorf(fsm.CodeNoHiveFits, "hives: %s has no engine %s that takes files", id, m.Engine)
			return
		}
	}
	if f.Drop {
		p.unfetch(a, m, f.Hives)
		return
	}
	hives := sorted(slices.Clone(f.Hives))
	if len(hives) == 0 {
		at, ok := p.bestFor(m)
		if !ok {
			a.Err = fsm.Errorf(fsm.CodeNoHiveFits, "no hive that is online has engine %s and room for model %s%s", m.Engine, m.Ref, p.unplaced(m.Ref))
			a.Err.RetryAfter = clampRetry(p.lim.HiveTimeout)
			return
		}
		hives = []string{at}
	}
	for _, id := range hives {
		y, there := p.copy(m.Ref, id)
		want := fsm.Copy{Model: m.Ref, Hive: id, State: fsm.CopyDownloading, Wanted: true}
		if there && y.State != fsm.CopyFailed { // a failed one is tried again
			want.State, want.Bytes, want.Digest = y.State, y.Bytes, y.Digest
		}
		p.setCopy(want)
	}
	a.Hives = hives
}

// bestFor chooses the hive that should hold a model: one that does or is to, else the one with
// a device that can hold it and most memory free.
func (p *planner) bestFor(m *fsm.Model) (string, bool) {
	for y := range p.copiesOf(m.Ref) {
		if h, ok := p.hive(y.Hive); ok && usable(h) && takes(h, m.Engine) && y.State != fsm.CopyFailed {
			return h.ID, true
		}
	}
	for id := range p.view.Spaces(m.Engine) {
		h, ok := p.hive(id)
		if ok && usable(h) && takes(h, m.Engine) && hasLabels(h, m.Labels) && (m.Need() == 0 || p.largeEnough(h, m.Ref)) {
			return id, true
		}
	}
	return "", false
}

// unfetch wants a model's file on hives no more, on all of them when none is named, and its idle
// workers there gone.
func (p *planner) unfetch(a *Answer, m *fsm.Model, hives []string) {
	meant := func(id string) bool { return len(hives) == 0 || slices.Contains(hives, id) }
	for y := range p.copiesOf(m.Ref) {
		if y.Wanted && meant(y.Hive) {
			is := *y
			is.Wanted = false
			p.setCopy(is)
		}
		if meant(y.Hive) {
			a.Hives = append(a.Hives, y.Hive)
		}
	}
	for w := range p.workersOf(m.Ref) {
		if w.FromCatalog() && meant(w.Hive) && p.running(w.ID) == 0 {
			p.drain(w)
		}
	}
}

// beatCopies takes a hive's word on the files of the catalog's models. A copy that it has seen
// listed and does not name is gone: fetched anew if somebody wants it, else forgotten.
func (p *planner) beatCopies(b *Beat) bool {
	named := make(map[string]bool, len(b.Copies))
	for i := range b.Copies {
		said := &b.Copies[i]
		named[said.Model] = true
		m, ok := p.model(said.Model)
		if !ok {
			continue
		}
		if !p.room() {
			return false
		}
		is := fsm.Copy{Model: said.Model, Hive: b.Hive, State: said.State, Bytes: said.Bytes, Digest: said.Digest, Failure: clipped(said.Failure)}
		if y, there := p.copy(said.Model, b.Hive); there {
			if is.Wanted = y.Wanted; y.Index > b.Acted && y.State == fsm.CopyDownloading && is.State == fsm.CopyFailed {
				continue // it does not know yet that it is asked again
			}
		}
		if is.State == fsm.CopyDownloading {
			is.Bytes = 0 // how far it is, is telemetry
		}
		p.setCopy(is)
		p.learn(m, &is)
	}
	for _, y := range p.copiesOn(b.Hive) {
		switch {
		case named[y.Model] || y.Index > b.Acted:
		case !p.room():
			return false
		case y.Wanted:
			p.setCopy(fsm.Copy{Model: y.Model, Hive: y.Hive, State: fsm.CopyDownloading, Wanted: true})
		default:
			p.dropCopy(y)
		}
	}
	return true
}

// learn takes from a checked copy what nobody knew of the model.
func (p *planner) learn(m *fsm.Model, y *fsm.Copy) {
	if y.State != fsm.CopyPresent || m.Digest != "" && m.Size != 0 {
		return
	}
	is := *m
	if is.Digest == "" {
		is.Digest = y.Digest
	}
	if is.Size == 0 {
		is.Size = y.Bytes
	}
	if !sameModel(m, &is) {
		p.putModel(is)
	}
}

// copiesOn are the copies that the View knows on a hive, as they stand in the draft.
func (p *planner) copiesOn(hive string) []*fsm.Copy {
	var list []*fsm.Copy
	for was := range p.view.CopiesOn(hive) {
		if y, ok := p.copy(was.Model, hive); ok {
			list = append(list, y)
		}
	}
	return list
}

func hasLabels(h *fsm.Hive, labels []fsm.Label) bool {
	for _, l := range labels {
		if !hasLabel(h, l) {
			return false
		}
	}
	return true
}
