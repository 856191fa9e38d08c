package fsm

import (
	"cmp"
	"slices"
)

// keepHive puts a changed copy of a hive and stamps it.
func (t *turn) keepHive(was *Hive, is Hive) {
	is.Changed = t.index
	t.putHive(was, &is)
	t.mark(TableHive, is.ID)
}

// findHive is the row, or the error of a command that needs it.
func (t *turn) findHive(id string) (*Hive, *Error) {
	if h, ok := t.hives.get(id); ok {
		return h, nil
	}
	return nil, Errorf(CodeNotFound, "no hive %q", id)
}

func (t *turn) registerHive(c *RegisterHive) *Error {
	was, ok := t.hives.get(c.ID)
	is := Hive{ID: c.ID, Desired: HiveRun}
	if ok {
		is = *was
	}
	switch {
	case c.ID == "" || c.Boot == "":
		return Errorf(CodeInvalid, "hive without id or boot")
	case ok && was.Boot == c.Boot && was.Incarnation == c.Incarnation:
		return nil
	case ok && was.Boot == c.Boot, ok && c.Incarnation != was.Incarnation+1, c.Incarnation == 0:
		return Errorf(CodeStale, "hive %s registers as incarnation %d, it is at %d", c.ID, c.Incarnation, is.Incarnation)
	case slices.Contains(is.Superseded, c.Boot):
		return Errorf(CodeStale, "hive %s registers as boot %s, which a newer one has superseded", c.ID, c.Boot)
	}
	if ok {
		is.Superseded = Supersede(was.Boot, was.Superseded)
	}
	is.Boot, is.Incarnation, is.Mode = c.Boot, c.Incarnation, c.Mode
	is.Status, is.Leaving, is.RegisteredWall = HiveOnline, false, t.wall
	is.Facts, is.factsSum = sorted(c.Facts), Sum{}
	t.keepHive(was, is)
	t.dropBlocks(c.ID, &is.Facts)
	return nil
}

func (t *turn) hiveFacts(c *HiveFactsChanged) *Error {
	was, err := t.findHive(c.ID)
	if err != nil {
		return err
	}
	facts := sorted(c.Facts)
	if sameFacts(was.Facts, facts) {
		return nil
	}
	is := *was
	is.Facts, is.factsSum = facts, Sum{}
	t.keepHive(was, is)
	t.dropBlocks(c.ID, &facts)
	return nil
}

func (t *turn) setHiveStatus(c *SetHiveStatus) *Error {
	was, err := t.findHive(c.ID)
	switch {
	case err != nil:
		return err
	case c.Status != HiveOnline && c.Status != HiveOffline:
		return Errorf(CodeInvalid, "hive status %d is unknown", c.Status)
	case was.Status == c.Status:
		return nil
	}
	is := *was
	is.Status = c.Status
	t.keepHive(was, is)
	return nil
}

func (t *turn) hiveLeaving(c *HiveLeaving) *Error {
	was, err := t.findHive(c.ID)
	switch {
	case err != nil:
		return err
	case was.Leaving:
		return nil
	}
	is := *was
	is.Leaving = true
	t.keepHive(was, is)
	return nil
}

func (t *turn) setHiveDesired(c *SetHiveDesired) *Error {
	was, err := t.findHive(c.ID)
	switch {
	case err != nil:
		return err
	case c.Desired < HiveRun || c.Desired > HiveStop:
		return Errorf(CodeInvalid, "wish %d for a hive is unknown", c.Desired)
	case was.Desired == c.Desired:
		return nil
	}
	is := *was
	is.Desired = c.Desired
	t.keepHive(was, is)
	return nil
}

// dropHive takes the hive's blocks along. Workers that are gone stay until they expire.
func (t *turn) dropHive(c *DropHive) *Error {
	was, ok := t.hives.get(c.ID)
	if !ok {
		return nil
	}
	if was.Status != HiveOffline {
		return Errorf(CodeConflict, "hive %s is online", c.ID)
	}
	for id := range linked(t.hiveWorkers, c.ID) {
		return Errorf(CodeConflict, "hive %s has worker %s", c.ID, id)
	}
	for id := range linked(t.hiveRuns, c.ID) {
		return Errorf(CodeConflict, "hive %s runs job %s", c.ID, id)
	}
	t.dropBlocks(c.ID, nil)
	for _, model := range slices.Collect(linked(t.copiesOn, c.ID)) {
		t.removeCopy(model, c.ID)
	}
	for _, id := range slices.Collect(linked(t.remaining, c.ID)) {
		w, _ := t.workers.get(id)
		is := *w
		is.Holds = false
		t.keepWorker(w, is)
	}
	t.putHive(was, nil)
	t.mark(TableHive, c.ID)
	return nil
}

// dropBlocks drops a hive's blocks for models that it does not offer, which nothing else
// would ever end; without facts it drops all.
func (t *turn) dropBlocks(hive string, facts *HiveFacts) {
	var over []*Block // a tree must not change while it is walked
	for b := range t.blocks.from(&Block{Hive: hive}) {
		if b.Hive != hive {
			break
		}
		if facts == nil || !t.offers(facts, b.Model) {
			over = append(over, b)
		}
	}
	for _, b := range over {
		t.putBlock(b, nil)
		t.mark(TableBlock, b.Hive+"/"+b.Model)
	}
}

// offers tells whether a hive can serve a model by its own configuration, or from its file.
func (t *turn) offers(f *HiveFacts, ref string) bool {
	_, own := slices.BinarySearchFunc(f.Models, ref, func(m EngineModel, ref string) int { return cmp.Compare(m.Ref, ref) })
	if own {
		return true
	}
	m, ok := t.models.get(ref)
	if !ok || m.Dropped() || m.Source == "" {
		return false
	}
	_, takes := slices.BinarySearch(f.Engines, m.Engine)
	return takes
}

func (t *turn) blockHive(c *BlockHive) *Error {
	if c.Model == "" || c.Hive == "" {
		return Errorf(CodeInvalid, "block without model or hive")
	}
	was, ok := t.blocks.get(&Block{Hive: c.Hive, Model: c.Model})
	if c.Fails == 0 {
		if ok {
			t.putBlock(was, nil)
			t.mark(TableBlock, c.Hive+"/"+c.Model)
		}
		return nil
	}
	if _, err := t.findHive(c.Hive); err != nil {
		return err
	}
	is := Block{Model: c.Model, Hive: c.Hive, Fails: c.Fails, Until: c.Until, Failure: c.Failure}
	if ok {
		if is.sum = was.sum; is == *was {
			return nil
		}
	}
	t.putBlock(was, &is)
	t.mark(TableBlock, c.Hive+"/"+c.Model)
	return nil
}

// sorted puts the lists of facts in order, on copies: equal facts are equal rows.
func sorted(f HiveFacts) HiveFacts {
	f.Devices = inOrder(f.Devices, func(a, b Device) int { return cmp.Compare(a.ID, b.ID) })
	f.Labels = inOrder(f.Labels, compareLabel)
	f.Models = inOrder(f.Models, func(a, b EngineModel) int {
		return cmp.Or(cmp.Compare(a.Ref, b.Ref), cmp.Compare(a.Engine, b.Engine))
	})
	f.Engines = slices.Compact(slices.Clone(inOrder(f.Engines, cmp.Compare[string])))
	return f
}

func compareLabel(a, b Label) int {
	return cmp.Or(cmp.Compare(a.Key, b.Key), cmp.Compare(a.Value, b.Value))
}

// inOrder is a sorted copy, or the list itself when it is in order; an empty one is nil.
func inOrder[T any](list []T, compare func(a, b T) int) []T {
	if len(list) == 0 {
		return nil
	}
	if slices.IsSortedFunc(list, compare) {
		return list
	}
	list = slices.Clone(list)
	slices.SortStableFunc(list, compare)
	return list
}

func sameFacts(a, b HiveFacts) bool {
	return a.URL == b.URL && a.Version == b.Version &&
		slices.Equal(a.Devices, b.Devices) && slices.Equal(a.Labels, b.Labels) && slices.Equal(a.Models, b.Models) &&
		slices.Equal(a.Engines, b.Engines)
}
