package fsm

// keepWorker puts a changed copy of a worker and stamps it.
func (t *turn) keepWorker(was *Worker, is Worker) {
	is.Changed = t.index
	t.putWorker(was, &is)
	t.mark(TableWorker, is.ID)
}

func (t *turn) findWorker(id string) (*Worker, *Error) {
	if w, ok := t.workers.get(id); ok {
		return w, nil
	}
	return nil, Errorf(CodeNotFound, "no worker %q", id)
}

func (t *turn) runsOn(worker string) int {
	n, _ := t.running.get(worker)
	return n
}

func (t *turn) spawn(c *Spawn) *Error {
	if was, ok := t.workers.get(c.ID); ok {
		if was.Hive == c.Hive && was.Model == c.Model && was.Device == c.Device && was.Engine == c.Engine {
			return nil
		}
		return Errorf(CodeConflict, "worker %s is another: %s on %s", c.ID, was.Model, was.Hive)
	}
	switch {
	case c.ID == "" || c.Model == "":
		return Errorf(CodeInvalid, "worker without id or model")
	case c.Slots < 0 || c.Slots > MaxSlots:
		return Errorf(CodeInvalid, "slots %d, want 0 to %d", c.Slots, MaxSlots)
	case c.Context < 0 || c.LoadFor < 0:
		return Errorf(CodeInvalid, "context %d and load time %s, want 0 or more", c.Context, c.LoadFor)
	}
	if _, err := t.findHive(c.Hive); err != nil {
		return err
	}
	w := Worker{
		ID: c.ID, Hive: c.Hive, Device: c.Device, Model: c.Model, Engine: c.Engine,
		State: WorkerSpawning, Slots: c.Slots, VRAM: c.VRAM,
		LastUsed: t.now, Wall: t.wall, Index: t.index,
		Context: c.Context, LoadFor: c.LoadFor,
	}
	if t.meta.Level >= LevelCatalog {
		w.Since = t.now
	}
	t.words.share(&w.Hive)
	t.words.share(&w.Model)
	t.keepWorker(nil, w)
	t.touch(w.Hive)
	return nil
}

// setWorkerState moves a worker, or updates one that stays in its state. A worker told to end
// (draining, stopped, failed) has a new Index. One that fails with runs on it keeps them: the
// pipes settle each.
func (t *turn) setWorkerState(c *SetWorkerState) *Error {
	was, err := t.findWorker(c.ID)
	if err != nil {
		return err
	}
	is := *was
	switch {
	case c.State != was.State && !was.State.mayBecome(c.State):
		return Errorf(CodeConflict, "worker %s is %s and cannot become %s", c.ID, was.State, c.State)
	case c.Slots < 0 || c.Slots > MaxSlots:
		return Errorf(CodeInvalid, "slots %d, want 0 to %d", c.Slots, MaxSlots)
	case c.Slots > 0 && c.Slots < t.runsOn(c.ID):
		return Errorf(CodeConflict, "worker %s has %d runs, too many for %d slots", c.ID, t.runsOn(c.ID), c.Slots)
	case !(c.Progress >= 0 && c.Progress <= 1): // not so for NaN either
		return Errorf(CodeInvalid, "progress %v, want 0 to 1", c.Progress)
	case c.Holds && !c.State.Gone():
		return Errorf(CodeInvalid, "worker %s becomes %s and cannot hold what it has left", c.ID, c.State)
	}
	if c.State == was.State && was.State.Gone() {
		return nil
	}
	if c.Slots > 0 {
		is.Slots = c.Slots
	}
	if is.State = c.State; c.State < WorkerDraining {
		is.Progress = c.Progress
	}
	if c.State != was.State || c.Failure != nil {
		is.Failure = c.Failure
	}
	if c.State == was.State && is.Slots == was.Slots && is.Progress == was.Progress && sameFailure(is.Failure, was.Failure) {
		return nil
	}
	if c.State != was.State {
		is.Wall = t.wall
		if c.State >= WorkerDraining {
			is.Index = t.index
		}
		if c.State.Gone() {
			is.GoneAt = t.now
		}
		t.enterState(&is, c)
	}
	t.keepWorker(was, is)
	t.touch(is.Hive)
	return nil
}

// enterState is what level 2 notes of a new state. A worker that becomes ready has not been
// idle while it loaded.
func (t *turn) enterState(w *Worker, c *SetWorkerState) {
	if t.meta.Level < LevelCatalog {
		return
	}
	w.Since, w.Holds = t.now, c.Holds
	if c.State == WorkerReady {
		w.LastUsed = t.now
	}
}

// freeWorker ends the hold of a worker that is gone.
func (t *turn) freeWorker(c *FreeWorker) *Error {
	was, ok := t.workers.get(c.ID)
	if !ok || !was.Holds {
		return nil
	}
	is := *was
	is.Holds = false
	t.keepWorker(was, is)
	return nil
}

// expireWorker waits until the last run on the worker is settled.
func (t *turn) expireWorker(c *ExpireWorker) *Error {
	was, ok := t.workers.get(c.ID)
	switch {
	case !ok:
		return nil
	case !was.State.Gone():
		return Errorf(CodeConflict, "worker %s is %s", c.ID, was.State)
	case t.runsOn(c.ID) > 0:
		return Errorf(CodeConflict, "worker %s has runs that are not settled", c.ID)
	}
	t.putWorker(was, nil)
	t.mark(TableWorker, c.ID)
	return nil
}

func sameFailure(a, b *Failure) bool {
	if a == nil || b == nil {
		return a == b
	}
	return *a == *b
}
