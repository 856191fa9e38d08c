package fsm

import "time"

// Number is a command's number on disk and wire. Numbers are never reused; a new command
// takes the next free one, and a changed encoding takes a new number.
type Number uint8

// The one list of commands.
const (
	numGenesis      Number = 1
	numRaiseLevel   Number = 2
	numPutQueen     Number = 3
	numDropQueen    Number = 4
	numPutKey       Number = 5
	numRegisterHive Number = 6
	numHiveFacts    Number = 7
	numHiveStatus   Number = 8
	numHiveDesired  Number = 9
	numDropHive     Number = 10
	numSubmit       Number = 11
	numAssign       Number = 12
	numStarted      Number = 13
	numEndJob       Number = 14
	numRequeue      Number = 15
	numReady        Number = 16
	numWishEnd      Number = 17
	numHold         Number = 18
	numRelease      Number = 19
	numSpawn        Number = 20
	numWorkerState  Number = 21
	numBlockHive    Number = 22
	numExpireJob    Number = 23
	numExpireKey    Number = 24
	numExpireWorker Number = 25
	numHiveLeaving  Number = 26

	// From level 2 on. Those that end in 2 carry what level 2 added to an earlier command, and
	// are used only where there is something of it.
	numRegisterHive2 Number = 27
	numHiveFacts2    Number = 28
	numSubmit2       Number = 29
	numSpawn2        Number = 30
	numWorkerState2  Number = 31
	numFreeWorker    Number = 32
	numPutModel      Number = 33
	numDropModel     Number = 34
	numExpireModel   Number = 35
	numSetCopy       Number = 36
	numDropCopy      Number = 37
)

// level is the first at which a command may be used.
func (n Number) level() Level {
	if n >= numRegisterHive2 {
		return LevelCatalog
	}
	return LevelFirst
}

// Command is a fact that Apply writes into the state. Facts carry what the decision used;
// Apply only guards them by the transition tables and by slots.
type Command interface{ number() Number }

// Batch is one log entry: commands planned together on one state. Apply refuses it whole
// unless Base and Epoch are the state's own. An accepted batch has the index Base+1, so
// whoever plans a batch knows the index its records will carry.
type Batch struct {
	Base     uint64
	Epoch    Epoch
	Now      Time   // cluster time, never below the state's
	Wall     Millis // for people
	Level    Level
	Commands []Command
}

// Genesis gives a blank state its identity and its first key. Planned on the zero Epoch.
type Genesis struct {
	ClusterID string
	Epoch     Epoch
	Level     Level
	AdminKey  [32]byte // SHA-256 of the admin key
}

// RaiseLevel lets the leader emit what Level knows, once every queen can read it.
type RaiseLevel struct{ Level Level }

// PutQueen adds or replaces a member's row.
type PutQueen struct{ Queen Queen }

// DropQueen removes a member's row.
type DropQueen struct{ ID string }

// PutKey adds or replaces an API key by hash.
type PutKey struct{ Key Key }

// RegisterHive is a start of a hive's agent: it gets Incarnation (the row's plus one, or of a
// hive without a row one that it never had) and comes online. Runs and workers of earlier incarnations stay as they are; the pipes settle them.
type RegisterHive struct {
	ID          string
	Boot        string
	Incarnation uint64
	Mode        string
	Facts       HiveFacts
}

// HiveFactsChanged replaces what a hive tells of itself.
type HiveFactsChanged struct {
	ID    string
	Facts HiveFacts
}

// SetHiveStatus is the leader's finding that a hive is heard from or silent.
type SetHiveStatus struct {
	ID     string
	Status HiveStatus
}

// HiveLeaving notes that a hive's agent stops in order: it takes no new work. The next
// start's registration ends it.
type HiveLeaving struct{ ID string }

// SetHiveDesired is an operator's wish.
type SetHiveDesired struct {
	ID      string
	Desired HiveWish
}

// DropHive forgets a hive that is offline and has no live workers or runs.
type DropHive struct{ ID string }

// Submit admits a job: it is durable from here on. The job arrives queued, with its rank,
// deadline and holders already decided; Order, times, Changed and history are set by Apply.
type Submit struct {
	Job            Job
	IdempotencyTTL time.Duration // 0 when the job has no key
}

// Assign gives a queued job to a worker's slot.
type Assign struct {
	Job     string
	Worker  string
	Attempt uint32 // the job's attempt plus one
	Begin   Begin
}

// Started tells that an attempt may have delivered something to a client.
type Started struct {
	Job     string
	Attempt uint32
	TTFT    time.Duration
}

// EndJob ends a job, once. Attempt must be the job's own. For a running job it copies the
// hive's terminal record, or says why there can be none; for a queued one it is the end.
type EndJob struct {
	Job          string
	Attempt      uint32
	State        JobState // complete, failed or cancelled
	Events       uint64
	TTFT         time.Duration
	FinishReason string
	Usage        Usage
	Failure      *Failure
}

// Requeue takes a running job whose attempt is lost back into the queue.
type Requeue struct {
	Job       string
	Attempt   uint32
	Reason    Failure
	NotBefore Time // 0: ready at once
	Avoid     string
	Counted   bool // against the limit of retries
	AbandonAt Time // for an attached job without holders
}

// Ready ends a queued job's backoff.
type Ready struct{ Job string }

// WishEnd asks a running job to end.
type WishEnd struct {
	Job    string
	Reason Ending
}

// Hold adds a holder to a job and takes back its AbandonAt.
type Hold struct {
	Job    string
	Holder Holder
}

// Release removes a holder. AbandonAt is set when none is left and the job is queued and attached.
type Release struct {
	Job       string
	Holder    Holder
	AbandonAt Time
}

// Spawn desires a worker. It starts in WorkerSpawning.
type Spawn struct {
	ID     string
	Hive   string
	Device string
	Model  string
	Engine string
	Slots  int
	VRAM   int64

	Context int           // from level 2 on, as LoadFor
	LoadFor time.Duration // how long it may take until it is ready
}

// SetWorkerState follows the hive's word (loading, ready, failed, …), an operator's wish
// (draining, stopped) or the leader's finding of loss. Slots above 0 replaces the row's.
type SetWorkerState struct {
	ID       string
	State    WorkerState
	Slots    int
	Progress float64
	Failure  *Failure
	Holds    bool // stopped, but its memory stays taken until FreeWorker; from level 2 on
}

// FreeWorker tells that nothing of a stopped worker is left on its hive.
type FreeWorker struct{ ID string }

// PutModel adds or replaces an entry of the catalog, or what is known of its file. Index and
// Changed are Apply's to set. It takes a dropped model back.
type PutModel struct{ Model Model }

// DropModel takes an entry out of the catalog. Its row stays until ExpireModel.
type DropModel struct{ Ref string }

// ExpireModel forgets a dropped model, with its copies.
type ExpireModel struct{ Ref string }

// SetCopy adds or replaces a hive's copy of a model. Index is Apply's to set.
type SetCopy struct{ Copy Copy }

// DropCopy forgets a copy that its hive does not have and nobody wants.
type DropCopy struct{ Model, Hive string }

// BlockHive passes a hive over for a model until Until; Fails 0 lifts the block.
type BlockHive struct {
	Model   string
	Hive    string
	Fails   uint32
	Until   Time
	Failure Failure
}

// ExpireJob forgets an ended job.
type ExpireJob struct{ ID string }

// ExpireKey forgets an idempotency key.
type ExpireKey struct{ Tenant, Key string }

// ExpireWorker forgets a worker that is gone.
type ExpireWorker struct{ ID string }

func (*Genesis) number() Number        { return numGenesis }
func (*RaiseLevel) number() Number     { return numRaiseLevel }
func (*PutQueen) number() Number       { return numPutQueen }
func (*DropQueen) number() Number      { return numDropQueen }
func (*PutKey) number() Number         { return numPutKey }
func (*SetHiveStatus) number() Number  { return numHiveStatus }
func (*SetHiveDesired) number() Number { return numHiveDesired }
func (*DropHive) number() Number       { return numDropHive }
func (*Assign) number() Number         { return numAssign }
func (*Started) number() Number        { return numStarted }
func (*EndJob) number() Number         { return numEndJob }
func (*Requeue) number() Number        { return numRequeue }
func (*Ready) number() Number          { return numReady }
func (*WishEnd) number() Number        { return numWishEnd }
func (*Hold) number() Number           { return numHold }
func (*Release) number() Number        { return numRelease }
func (*BlockHive) number() Number      { return numBlockHive }
func (*ExpireJob) number() Number      { return numExpireJob }
func (*ExpireKey) number() Number      { return numExpireKey }
func (*ExpireWorker) number() Number   { return numExpireWorker }
func (*HiveLeaving) number() Number    { return numHiveLeaving }
func (*FreeWorker) number() Number     { return numFreeWorker }
func (*PutModel) number() Number       { return numPutModel }
func (*DropModel) number() Number      { return numDropModel }
func (*ExpireModel) number() Number    { return numExpireModel }
func (*SetCopy) number() Number        { return numSetCopy }
func (*DropCopy) number() Number       { return numDropCopy }

func (m *RegisterHive) number() Number {
	return later(m.Facts.later(), numRegisterHive2, numRegisterHive)
}

func (m *HiveFactsChanged) number() Number {
	return later(m.Facts.later(), numHiveFacts2, numHiveFacts)
}
func (m *Submit) number() Number         { return later(m.Job.later(), numSubmit2, numSubmit) }
func (m *Spawn) number() Number          { return later(m.later(), numSpawn2, numSpawn) }
func (m *SetWorkerState) number() Number { return later(m.Holds, numWorkerState2, numWorkerState) }

// later chooses the number of a command that says something a later level added.
func later(says bool, then, before Number) Number {
	if says {
		return then
	}
	return before
}
