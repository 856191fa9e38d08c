package fsm

import (
	"cmp"
	"reflect"
	"slices"
)

// keepModel puts a changed copy of a model, stamps it, and touches the hives that have
// something of it.
func (t *turn) keepModel(was *Model, is Model) {
	is.Changed = t.index
	t.putModel(was, &is)
	t.mark(TableModel, is.Ref)
	for y := range t.copiesOf(is.Ref) {
		t.touch(y.Hive)
	}
	for w := range rows(t.workers, linked(t.modelWorkers, is.Ref)) {
		t.touch(w.Hive)
	}
}

// setModel adds or replaces. A name that is another model's is a guard.
func (t *turn) setModel(c *PutModel) *Error {
	is := c.Model
	if err := checkModel(&is); err != nil {
		return err
	}
	is.Aliases = slices.Compact(slices.Clone(inOrder(is.Aliases, cmp.Compare[string])))
	is.Aliases = slices.DeleteFunc(is.Aliases, func(name string) bool { return name == is.Ref })
	if len(is.Aliases) == 0 {
		is.Aliases = nil
	}
	is.Labels = inOrder(is.Labels, compareLabel)
	for _, name := range append([]string{is.Ref}, is.Aliases...) {
		if other, ok := t.named(name); ok && other.Ref != is.Ref {
			return Errorf(CodeConflict, "the name %q is that of model %s", name, other.Ref)
		}
	}
	was, ok := t.models.get(is.Ref)
	is.DroppedAt, is.Index, is.Changed, is.sum = 0, t.index, 0, Sum{}
	if ok {
		if was.Source == is.Source && (was.Digest == is.Digest || was.Digest == "") && !was.Dropped() {
			is.Index = was.Index
		}
		is.Changed, is.sum = was.Changed, was.sum
		if reflect.DeepEqual(&is, was) {
			return nil
		}
	}
	t.keepModel(was, is)
	return nil
}

func checkModel(m *Model) *Error {
	switch {
	case m.Ref == "":
		return Errorf(CodeInvalid, "model without a ref")
	case (m.Source == "") != (m.Engine == ""):
		return Errorf(CodeInvalid, "model %s has a source or an engine without the other", m.Ref)
	case m.Size < 0 || m.VRAM < 0 || m.Memory.Weights < 0 || m.Memory.KV < 0 || m.Memory.Overhead < 0:
		return Errorf(CodeInvalid, "model %s has a size below zero", m.Ref)
	case m.Slots < 0 || m.Slots > MaxSlots || m.Context < 0:
		return Errorf(CodeInvalid, "model %s has %d slots of %d tokens", m.Ref, m.Slots, m.Context)
	case m.MinReplicas < 0 || m.MaxReplicas < 0 || m.MaxReplicas > 0 && m.MinReplicas > m.MaxReplicas:
		return Errorf(CodeInvalid, "model %s has replicas from %d to %d", m.Ref, m.MinReplicas, m.MaxReplicas)
	}
	return nil
}

// named is the model of a ref or alias, one that is not dropped.
func (t *tables) named(name string) (*Model, bool) {
	if m, ok := t.models.get(name); ok && !m.Dropped() {
		return m, true
	}
	ref, ok := t.aliases.get(name)
	if !ok {
		return nil, false
	}
	return t.models.get(ref)
}

func (t *turn) dropModel(c *DropModel) *Error {
	was, ok := t.models.get(c.Ref)
	if !ok || was.Dropped() {
		return nil
	}
	is := *was
	is.DroppedAt = max(t.now, 1)
	t.keepModel(was, is)
	return nil
}

// expireModel waits for the last worker, and takes copies and blocks along: hives that offer
// the model by their own configuration earn theirs anew.
func (t *turn) expireModel(c *ExpireModel) *Error {
	was, ok := t.models.get(c.Ref)
	switch {
	case !ok:
		return nil
	case !was.Dropped():
		return Errorf(CodeConflict, "model %s is in the catalog", c.Ref)
	}
	for id := range linked(t.modelWorkers, c.Ref) {
		if w, _ := t.workers.get(id); w.FromCatalog() {
			return Errorf(CodeConflict, "model %s has worker %s", c.Ref, id)
		}
	}
	for _, y := range slices.Collect(t.copiesOf(c.Ref)) {
		t.removeCopy(y.Model, y.Hive)
	}
	for h := range t.hives.all() {
		if b, ok := t.blocks.get(&Block{Hive: h.ID, Model: c.Ref}); ok {
			t.putBlock(b, nil)
			t.mark(TableBlock, h.ID+"/"+c.Ref)
		}
	}
	t.putModel(was, nil)
	t.mark(TableModel, c.Ref)
	return nil
}

func (t *turn) setCopy(c *SetCopy) *Error {
	is := c.Copy
	if _, err := t.findHive(is.Hive); err != nil {
		return err
	}
	switch m, ok := t.models.get(is.Model); {
	case !ok:
		return Errorf(CodeNotFound, "no model %q", is.Model)
	case is.Wanted && m.Dropped():
		return Errorf(CodeConflict, "model %s has left the catalog", is.Model)
	case is.State < CopyDownloading || is.State > CopyFailed || is.Bytes < 0:
		return Errorf(CodeInvalid, "copy of %s on %s is %s with %d bytes", is.Model, is.Hive, is.State, is.Bytes)
	}
	was, ok := t.copies.get(&is)
	is.Index, is.sum = t.index, Sum{}
	if ok {
		if was.Wanted == is.Wanted {
			is.Index = was.Index
		}
		same := *was
		same.sum, same.Failure = Sum{}, is.Failure
		if same == is && sameFailure(was.Failure, is.Failure) {
			return nil
		}
	}
	t.words.share(&is.Model)
	t.words.share(&is.Hive)
	t.putCopy(was, &is)
	t.mark(TableCopy, is.Hive+"/"+is.Model)
	t.touch(is.Hive)
	return nil
}

func (t *turn) dropCopy(c *DropCopy) *Error {
	t.removeCopy(c.Model, c.Hive)
	return nil
}

func (t *turn) removeCopy(model, hive string) {
	if was, ok := t.copies.get(&Copy{Model: model, Hive: hive}); ok {
		t.putCopy(was, nil)
		t.mark(TableCopy, hive+"/"+model)
		t.touch(hive)
	}
}
