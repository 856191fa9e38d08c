package fsm

import "cmp"

// tables is what State and View share: the rows, the indexes made from them, and the sums
// kept up with them. Only index.go writes them.
type tables struct {
	meta    Meta
	metaSum Sum
	hash    Sum
	counts  Counts

	jobs        records[*Job]
	workers     records[*Worker]
	hives       records[*Hive]
	queens      records[*Queen]
	keys        records[*Key] // by the bytes of the hash
	blocks      tree[*Block]
	idempotency tree[*Idempotency]
	models      records[*Model]
	copies      tree[*Copy]

	jobStates  tree[*Job]    // every job, by state and id
	jobTenants tree[link]    // every job
	queue      tree[*Job]    // queued jobs that are ready, by model, rank and order
	waiting    tree[string]  // models with ready jobs
	lanes      laneTree      // the same by model, constraint, rank and order
	heads      tree[*Job]    // the first of each lane, by model, rank and order
	timers     tree[Timer]   // what is due for jobs not ended
	workerRuns tree[link]    // running jobs by worker
	hiveRuns   tree[link]    // running jobs by hive
	running    records[int]  // running jobs counted by worker; never zero
	holdings   tree[holding] // jobs by holder
	ended      tree[moment]  // ended jobs by their end

	hiveWorkers  tree[link]    // workers not gone, by hive
	modelWorkers tree[link]    // workers not gone, by model
	vacancies    tree[vacancy] // ready workers with a free slot, by load
	coming       tree[link]    // workers spawning or loading, by model
	rooms        tree[room]    // hives on which one more worker fits, by model
	gone         tree[moment]  // workers that are gone, by when
	offers       tree[link]    // hives by the models they offer
	expiry       tree[expiring]

	aliases   records[string] // of models not dropped
	kept      tree[string]    // models with replicas to keep
	dropped   tree[string]    // models that have left the catalog
	unknown   tree[string]    // models whose source is to be looked at
	copiesOn  tree[link]      // copies by hive
	engines   tree[link]      // hives by the engines that take files
	spaces    tree[space]     // hives by engine and the most memory that is free on a device
	resting   tree[link]      // ready workers without runs, by hive
	idle      tree[moment]    // those of them that are to stop, by when
	loads     tree[moment]    // workers on their way, by when they take too long
	remaining tree[link]      // workers that are gone and hold memory, by hive
}

// Some indexes hold the jobs themselves instead of keys: there are a million of them, and a
// pointer is a third of a key.
func lessState(a, b *Job) bool {
	if a.State != b.State {
		return a.State < b.State
	}
	return a.ID < b.ID
}

func lessQueue(a, b *Job) bool {
	if a.Model != b.Model {
		return a.Model < b.Model
	}
	if a.Rank != b.Rank {
		return a.Rank < b.Rank
	}
	return a.Order < b.Order
}

func lessTimer(a, b Timer) bool {
	if a.At != b.At {
		return a.At < b.At
	}
	if a.Kind != b.Kind {
		return a.Kind < b.Kind
	}
	return a.Job < b.Job
}

// holding is a job held by a queen process; the holder is an element of the job's own list.
type holding struct {
	holder *Holder
	job    string
}

func compareHolder(a, b Holder) int {
	return cmp.Or(cmp.Compare(a.Queen, b.Queen), cmp.Compare(a.Boot, b.Boot))
}

func lessHolding(a, b holding) bool {
	if c := compareHolder(*a.holder, *b.holder); c != 0 {
		return c < 0
	}
	return a.job < b.job
}

// expiring orders idempotency rows by when they may be forgotten.
type expiring struct {
	at          Time
	tenant, key string
}

func lessExpiring(a, b expiring) bool {
	if a.at != b.at {
		return a.at < b.at
	}
	if a.tenant != b.tenant {
		return a.tenant < b.tenant
	}
	return a.key < b.key
}

// Blocks are ordered by hive first, so that a dropped hive's go together.
func lessBlock(a, b *Block) bool {
	if a.Hive != b.Hive {
		return a.Hive < b.Hive
	}
	return a.Model < b.Model
}

func lessCopy(a, b *Copy) bool {
	if a.Model != b.Model {
		return a.Model < b.Model
	}
	return a.Hive < b.Hive
}

func lessIdempotency(a, b *Idempotency) bool {
	if a.Tenant != b.Tenant {
		return a.Tenant < b.Tenant
	}
	return a.Key < b.Key
}

func newTables() tables {
	return tables{
		jobs:         newRecords[*Job](),
		workers:      newRecords[*Worker](),
		hives:        newRecords[*Hive](),
		queens:       newRecords[*Queen](),
		keys:         newRecords[*Key](),
		blocks:       newTree(lessBlock),
		idempotency:  newTree(lessIdempotency),
		jobStates:    newTree(lessState),
		jobTenants:   newTree(lessLink),
		queue:        newTree(lessQueue),
		waiting:      newTree(cmp.Less[string]),
		lanes:        laneTree{newTree(lessLane)},
		heads:        newTree(lessQueue),
		timers:       newTree(lessTimer),
		workerRuns:   newTree(lessLink),
		hiveRuns:     newTree(lessLink),
		running:      newRecords[int](),
		holdings:     newTree(lessHolding),
		ended:        newTree(lessMoment),
		hiveWorkers:  newTree(lessLink),
		modelWorkers: newTree(lessLink),
		vacancies:    newTree(lessVacancy),
		coming:       newTree(lessLink),
		rooms:        newTree(lessRoom),
		gone:         newTree(lessMoment),
		offers:       newTree(lessLink),
		expiry:       newTree(lessExpiring),
		models:       newRecords[*Model](),
		copies:       newTree(lessCopy),
		aliases:      newRecords[string](),
		kept:         newTree(cmp.Less[string]),
		dropped:      newTree(cmp.Less[string]),
		unknown:      newTree(cmp.Less[string]),
		copiesOn:     newTree(lessLink),
		engines:      newTree(lessLink),
		spaces:       newTree(lessSpace),
		resting:      newTree(lessLink),
		idle:         newTree(lessMoment),
		loads:        newTree(lessMoment),
		remaining:    newTree(lessLink),
	}
}

// copy is O(1) in the number of rows. It writes to the trees it copies from: owner only.
func (t *tables) copy() tables {
	c := *t
	c.jobs, c.workers, c.hives = t.jobs.copy(), t.workers.copy(), t.hives.copy()
	c.queens, c.keys = t.queens.copy(), t.keys.copy()
	c.blocks, c.idempotency = t.blocks.copy(), t.idempotency.copy()
	c.jobStates, c.jobTenants = t.jobStates.copy(), t.jobTenants.copy()
	c.queue, c.timers = t.queue.copy(), t.timers.copy()
	c.waiting, c.lanes, c.heads = t.waiting.copy(), t.lanes.copy(), t.heads.copy()
	c.workerRuns, c.hiveRuns, c.running = t.workerRuns.copy(), t.hiveRuns.copy(), t.running.copy()
	c.holdings, c.ended = t.holdings.copy(), t.ended.copy()
	c.hiveWorkers, c.modelWorkers, c.gone = t.hiveWorkers.copy(), t.modelWorkers.copy(), t.gone.copy()
	c.vacancies, c.coming, c.rooms = t.vacancies.copy(), t.coming.copy(), t.rooms.copy()
	c.offers, c.expiry = t.offers.copy(), t.expiry.copy()
	c.models, c.copies, c.aliases = t.models.copy(), t.copies.copy(), t.aliases.copy()
	c.kept, c.dropped, c.unknown = t.kept.copy(), t.dropped.copy(), t.unknown.copy()
	c.copiesOn, c.engines, c.spaces = t.copiesOn.copy(), t.engines.copy(), t.spaces.copy()
	c.resting, c.idle, c.loads, c.remaining = t.resting.copy(), t.idle.copy(), t.loads.copy(), t.remaining.copy()
	return c
}
