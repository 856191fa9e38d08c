package fsm

// HiveStatus is whether a hive is heard from.
type HiveStatus uint8

// Statuses of a hive.
const (
	HiveOnline HiveStatus = iota + 1
	HiveOffline
)

// String is the status's word on every wire.
func (s HiveStatus) String() string { return word(s, "online", "offline") }

// HiveWish is what an operator wants of a hive.
type HiveWish uint8

// Wishes for a hive.
const (
	HiveRun HiveWish = iota + 1
	HiveDrain
	HiveStop
)

// String is the wish's word on every wire.
func (w HiveWish) String() string { return word(w, "run", "drain", "stop") }

// Device is one thing on a hive that holds models.
type Device struct {
	ID    string
	Kind  string
	Total int64 // bytes
}

// EngineModel is a model that a hive's engine can serve, with what one worker of it takes.
type EngineModel struct {
	Engine  string
	Ref     string
	VRAM    int64 // bytes on one device
	Slots   int
	Context int // tokens per slot, 0 unknown
}

// HiveFacts is what a hive tells of itself that changes seldom: enough to place models on it.
type HiveFacts struct {
	URL     string
	Version string
	Devices []Device
	Labels  []Label       // sorted by key
	Models  []EngineModel // sorted by ref, then engine
	Engines []string      // sorted: those that take the file of any model of the catalog; from level 2 on
}

// Supersede puts the boot that a newer one replaces before those it had replaced. It makes a
// new list.
func Supersede(boot string, earlier []string) []string {
	return append([]string{boot}, earlier[:min(len(earlier), MaxSuperseded-1)]...)
}

// Hive is a GPU machine. A published Hive is immutable.
type Hive struct {
	ID      string
	Facts   HiveFacts
	Mode    string // network or local
	Desired HiveWish
	Status  HiveStatus
	Leaving bool // its agent has said that it stops: no new work until the next start registers
	// Incarnation is counted here: each start of the agent registers and gets the next. The first
	// is the batch index at which the hive became known, so that one that was dropped and is back
	// has no number again.
	Incarnation uint64
	Boot        string // ULID of that start; a repeat of it is the same incarnation
	// Superseded are the boots before it, the latest first, at most MaxSuperseded: none of
	// them may register again. Each start of an agent has a boot of its own, so a registration
	// of one of these is a late packet, or an agent that has lost its place to a newer one.
	Superseded     []string
	RegisteredWall Millis
	// Changed is the batch index of the last command that touched the hive, its workers,
	// models or runs (their ends too): `changed` of the architecture page.
	Changed uint64

	sum      Sum
	factsSum Sum // of Facts alone, which are large and change seldom; zero when they are new
}
