package fsm

// kind is how a number on the wire becomes a command and back.
type kind struct {
	name string
	make func() Command
	code func(*coder, Command)
}

// kinds is indexed by number; a hole is an unknown number.
var kinds = [...]kind{
	numGenesis:      of("genesis", (*coder).genesis),
	numRaiseLevel:   of("raise_level", (*coder).raiseLevel),
	numPutQueen:     of("put_queen", func(c *coder, m *PutQueen) { c.queen(&m.Queen) }),
	numDropQueen:    of("drop_queen", func(c *coder, m *DropQueen) { c.id("id", &m.ID) }),
	numPutKey:       of("put_key", func(c *coder, m *PutKey) { c.key(&m.Key) }),
	numRegisterHive: of("register_hive", (*coder).registerHive),
	numHiveFacts:    of("hive_facts", func(c *coder, m *HiveFactsChanged) { c.id("id", &m.ID); c.facts(&m.Facts) }),
	numHiveStatus:   of("hive_status", (*coder).hiveStatus),
	numHiveDesired:  of("hive_desired", (*coder).hiveDesired),
	numDropHive:     of("drop_hive", func(c *coder, m *DropHive) { c.id("id", &m.ID) }),
	numSubmit:       of("submit", (*coder).submit),
	numAssign:       of("assign", (*coder).assign),
	numStarted:      of("started", (*coder).started),
	numEndJob:       of("end_job", (*coder).endJob),
	numRequeue:      of("requeue", (*coder).requeue),
	numReady:        of("ready", func(c *coder, m *Ready) { c.id("job", &m.Job) }),
	numWishEnd:      of("wish_end", (*coder).wishEnd),
	numHold:         of("hold", func(c *coder, m *Hold) { c.id("job", &m.Job); c.holder(&m.Holder) }),
	numRelease:      of("release", (*coder).release),
	numSpawn:        of("spawn", (*coder).spawn),
	numWorkerState:  of("worker_state", (*coder).workerState),
	numBlockHive:    of("block_hive", (*coder).blockHive),
	numExpireJob:    of("expire_job", func(c *coder, m *ExpireJob) { c.id("id", &m.ID) }),
	numExpireKey:    of("expire_key", func(c *coder, m *ExpireKey) { c.name("tenant", &m.Tenant); c.name("key", &m.Key) }),
	numExpireWorker: of("expire_worker", func(c *coder, m *ExpireWorker) { c.id("id", &m.ID) }),
	numHiveLeaving:  of("hive_leaving", func(c *coder, m *HiveLeaving) { c.id("id", &m.ID) }),

	numRegisterHive2: of("register_hive_2", func(c *coder, m *RegisterHive) { c.registerHive(m); c.more(m.Facts.later, m.Facts.tail) }),
	numHiveFacts2: of("hive_facts_2", func(c *coder, m *HiveFactsChanged) {
		c.id("id", &m.ID)
		c.facts(&m.Facts)
		c.more(m.Facts.later, m.Facts.tail)
	}),
	numSubmit2:      of("submit_2", func(c *coder, m *Submit) { c.submit(m); c.more(m.Job.later, m.Job.tail) }),
	numSpawn2:       of("spawn_2", func(c *coder, m *Spawn) { c.spawn(m); c.more(m.later, m.tail) }),
	numWorkerState2: of("worker_state_2", func(c *coder, m *SetWorkerState) { c.workerState(m); m.Holds = c.reading || m.Holds }),
	numFreeWorker:   of("free_worker", func(c *coder, m *FreeWorker) { c.id("id", &m.ID) }),
	numPutModel:     of("put_model", func(c *coder, m *PutModel) { c.described(&m.Model) }),
	numDropModel:    of("drop_model", func(c *coder, m *DropModel) { c.name("ref", &m.Ref) }),
	numExpireModel:  of("expire_model", func(c *coder, m *ExpireModel) { c.name("ref", &m.Ref) }),
	numSetCopy:      of("set_copy", func(c *coder, m *SetCopy) { c.held(&m.Copy) }),
	numDropCopy:     of("drop_copy", func(c *coder, m *DropCopy) { c.name("model", &m.Model); c.id("hive", &m.Hive) }),
}

func of[T any, P interface {
	*T
	Command
}](name string, code func(*coder, P)) kind {
	return kind{
		name: name,
		make: func() Command { return P(new(T)) },
		code: func(c *coder, m Command) { code(c, m.(P)) },
	}
}

// String is the command's name in errors, logs and metrics.
func (n Number) String() string {
	if int(n) >= len(kinds) || kinds[n].name == "" {
		return "unknown"
	}
	return kinds[n].name
}

// NumberOf is a command's number.
func NumberOf(c Command) Number { return c.number() }

func (c *coder) genesis(m *Genesis) {
	c.id("cluster id", &m.ClusterID)
	c.fixed("epoch", m.Epoch[:])
	c.level(&m.Level)
	c.fixed("admin key", m.AdminKey[:])
}

func (c *coder) raiseLevel(m *RaiseLevel) { c.level(&m.Level) }

// level is refused here, before any queen has it in its state, when this build cannot read
// what may follow.
func (c *coder) level(l *Level) {
	number(c, "level", l)
	if c.err == nil && *l > CurrentLevel {
		c.fail("level", "%d is above %d, the highest this build reads: install a newer queen-rbee", *l, CurrentLevel)
	}
}

func (c *coder) registerHive(m *RegisterHive) {
	c.id("id", &m.ID)
	c.id("boot", &m.Boot)
	number(c, "incarnation", &m.Incarnation)
	c.id("mode", &m.Mode)
	c.facts(&m.Facts)
}

func (c *coder) hiveStatus(m *SetHiveStatus) {
	c.id("id", &m.ID)
	enum(c, "status", &m.Status, HiveOnline, HiveOffline)
}

func (c *coder) hiveDesired(m *SetHiveDesired) {
	c.id("id", &m.ID)
	enum(c, "desired", &m.Desired, HiveRun, HiveStop)
}

// submit carries what a job is asked with; the rest of the row is Apply's to set.
func (c *coder) submit(m *Submit) {
	c.asked(&m.Job)
	c.body(&m.Job.Body)
	c.time("idempotency_ttl", &m.IdempotencyTTL)
}

func (c *coder) assign(m *Assign) {
	c.id("job", &m.Job)
	c.id("worker", &m.Worker)
	number(c, "attempt", &m.Attempt)
	c.begin(&m.Begin)
}

func (c *coder) started(m *Started) {
	c.id("job", &m.Job)
	number(c, "attempt", &m.Attempt)
	c.time("ttft", &m.TTFT)
}

func (c *coder) endJob(m *EndJob) {
	c.id("job", &m.Job)
	number(c, "attempt", &m.Attempt)
	enum(c, "state", &m.State, JobComplete, JobCancelled)
	number(c, "events", &m.Events)
	c.time("ttft", &m.TTFT)
	c.id("finish_reason", &m.FinishReason)
	c.usage(&m.Usage)
	optional(c, "failure", &m.Failure, c.failure)
}

func (c *coder) requeue(m *Requeue) {
	c.id("job", &m.Job)
	number(c, "attempt", &m.Attempt)
	c.failure(&m.Reason)
	c.time("not_before", &m.NotBefore)
	c.id("avoid", &m.Avoid)
	c.flag("counted", &m.Counted)
	c.time("abandon_at", &m.AbandonAt)
}

func (c *coder) wishEnd(m *WishEnd) {
	c.id("job", &m.Job)
	enum(c, "reason", &m.Reason, EndCancelled, EndDrained)
}

func (c *coder) release(m *Release) {
	c.id("job", &m.Job)
	c.holder(&m.Holder)
	c.time("abandon_at", &m.AbandonAt)
}

func (c *coder) spawn(m *Spawn) {
	c.id("id", &m.ID)
	c.id("hive", &m.Hive)
	c.id("device", &m.Device)
	c.name("model", &m.Model)
	c.id("engine", &m.Engine)
	signed(c, "slots", &m.Slots)
	signed(c, "vram", &m.VRAM)
}

func (c *coder) workerState(m *SetWorkerState) {
	c.id("id", &m.ID)
	enum(c, "state", &m.State, WorkerSpawning, WorkerFailed)
	signed(c, "slots", &m.Slots)
	c.fraction("progress", &m.Progress)
	optional(c, "failure", &m.Failure, c.failure)
}

func (c *coder) blockHive(m *BlockHive) {
	c.name("model", &m.Model)
	c.id("hive", &m.Hive)
	number(c, "fails", &m.Fails)
	c.time("until", &m.Until)
	c.failure(&m.Failure)
}
