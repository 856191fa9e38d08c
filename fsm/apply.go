package fsm

// Apply runs one batch. A command whose guard fires leaves no trace and has its error in
// Outcome.Errs; the others are done. Deterministic: the same state and batch give the same
// outcome and hash on any machine. The batch's values must not be changed afterwards: the
// state keeps its bodies and lists.
func (s *State) Apply(b *Batch) Outcome {
	if refused := s.refuse(b); refused != nil {
		return Outcome{Index: s.meta.Index, Refused: refused}
	}
	s.meta.Index++
	s.meta.Now, s.meta.Wall = b.Now, b.Wall
	t := &turn{State: s, index: s.meta.Index, now: b.Now, wall: b.Wall, commands: len(b.Commands)}
	errs := make([]*Error, len(b.Commands))
	for i, cmd := range b.Commands {
		if errs[i] = t.do(cmd); errs[i] != nil {
			s.meta.Guarded++
		}
	}
	t.stampWorkers()
	t.stampHives()
	s.putMeta()
	return Outcome{Index: s.meta.Index, Errs: errs, Changed: t.changed}
}

// refuse tells why a whole batch cannot be applied. The order matters: what is foreign or
// old is stale on every build alike; only then may a build stumble over a level that it
// alone cannot read, and its queen must stop. Time below the state's is refused, not lifted:
// no leader plans it, and a batch that lies about time may lie about more.
func (s *State) refuse(b *Batch) *Error {
	switch {
	case b.Epoch != s.meta.Epoch:
		return Errorf(CodeStale, "batch of epoch %s, state of %s", b.Epoch, s.meta.Epoch)
	case b.Base != s.meta.Index:
		return Errorf(CodeStale, "batch planned at index %d, state at %d", b.Base, s.meta.Index)
	case b.Level > CurrentLevel:
		return Errorf(CodeInternal, "batch of level %d, this build reads up to %d", b.Level, CurrentLevel)
	case b.Now < s.meta.Now:
		return Errorf(CodeInternal, "batch of cluster time %s, state at %s", b.Now, s.meta.Now)
	}
	return nil
}

// turn is one batch being applied.
type turn struct {
	*State
	index uint64
	now   Time
	wall  Millis

	commands int // of the batch

	changed []Row
	seen    map[Row]bool // what changed holds
	touched []string     // hives to stamp; may repeat
	used    []string     // workers where a run began or ended; may repeat
}

// mark notes that a row changed.
func (t *turn) mark(table Table, id string) {
	row := Row{table, id}
	if t.seen[row] {
		return
	}
	if t.seen == nil { // a command changes a row or two
		t.seen = make(map[Row]bool, t.commands)
		t.changed = make([]Row, 0, t.commands)
	}
	t.seen[row] = true
	t.changed = append(t.changed, row)
}

// touch notes that what is desired of a hive may have changed.
func (t *turn) touch(hive string) { t.touched = append(t.touched, hive) }

// use notes that a run began or ended on a worker.
func (t *turn) use(worker, hive string) {
	t.used = append(t.used, worker)
	t.touch(hive)
}

// stampWorkers sets LastUsed of every used worker that is still there, once a batch.
func (t *turn) stampWorkers() {
	for _, id := range t.used {
		w, ok := t.workers.get(id)
		if !ok || w.State.Gone() || w.LastUsed == t.now && w.Changed == t.index {
			continue
		}
		is := *w
		is.LastUsed = t.now
		t.keepWorker(w, is)
	}
}

// stampHives sets Changed of every touched hive, once a batch.
func (t *turn) stampHives() {
	for _, id := range t.touched {
		if h, ok := t.hives.get(id); ok && h.Changed != t.index {
			t.keepHive(h, *h)
		}
	}
}

// do dispatches one command: the one list of what is done with each.
func (t *turn) do(cmd Command) *Error {
	if _, birth := cmd.(*Genesis); !birth && t.meta.Epoch.IsZero() {
		return Errorf(CodeConflict, "%s before genesis", cmd.number())
	}
	if needs := cmd.number().level(); t.meta.Level < needs && needs > LevelFirst {
		return Errorf(CodeConflict, "%s needs level %d, the state is at %d", cmd.number(), needs, t.meta.Level)
	}
	switch c := cmd.(type) {
	case *Genesis:
		return t.genesis(c)
	case *RaiseLevel:
		return t.raiseLevel(c)
	case *PutQueen:
		return t.setQueen(c)
	case *DropQueen:
		return t.dropQueen(c)
	case *PutKey:
		return t.setKey(c)
	case *RegisterHive, *HiveFactsChanged, *SetHiveStatus, *HiveLeaving, *SetHiveDesired, *DropHive:
		return t.doHive(cmd)
	case *PutModel, *DropModel, *ExpireModel, *SetCopy, *DropCopy:
		return t.doModel(cmd)
	case *Spawn:
		return t.spawn(c)
	case *FreeWorker:
		return t.freeWorker(c)
	case *SetWorkerState:
		return t.setWorkerState(c)
	case *BlockHive:
		return t.blockHive(c)
	case *ExpireJob:
		return t.expireJob(c)
	case *ExpireKey:
		return t.expireKey(c)
	case *ExpireWorker:
		return t.expireWorker(c)
	}
	return t.doJob(cmd)
}

func (t *turn) doHive(cmd Command) *Error {
	switch c := cmd.(type) {
	case *RegisterHive:
		return t.registerHive(c)
	case *HiveFactsChanged:
		return t.hiveFacts(c)
	case *SetHiveStatus:
		return t.setHiveStatus(c)
	case *HiveLeaving:
		return t.hiveLeaving(c)
	case *SetHiveDesired:
		return t.setHiveDesired(c)
	case *DropHive:
		return t.dropHive(c)
	}
	return unknown(cmd)
}

func (t *turn) doModel(cmd Command) *Error {
	switch c := cmd.(type) {
	case *PutModel:
		return t.setModel(c)
	case *DropModel:
		return t.dropModel(c)
	case *ExpireModel:
		return t.expireModel(c)
	case *SetCopy:
		return t.setCopy(c)
	case *DropCopy:
		return t.dropCopy(c)
	}
	return unknown(cmd)
}

func (t *turn) doJob(cmd Command) *Error {
	switch c := cmd.(type) {
	case *Submit:
		return t.submit(c)
	case *Assign:
		return t.assign(c)
	case *Started:
		return t.started(c)
	case *EndJob:
		return t.endJob(c)
	case *Requeue:
		return t.requeue(c)
	case *Ready:
		return t.ready(c)
	case *WishEnd:
		return t.wishEnd(c)
	case *Hold:
		return t.hold(c)
	case *Release:
		return t.release(c)
	}
	return unknown(cmd)
}

func unknown(cmd Command) *Error {
	return Errorf(CodeInternal, "command %d has no place in the dispatch", cmd.number())
}
