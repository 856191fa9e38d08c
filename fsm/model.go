package fsm

import "time"

// Memory is what one worker of a model takes on one device, in bytes: all its slots, each with
// the whole context. Zero is unknown.
type Memory struct{ Weights, KV, Overhead int64 }

// Total is their sum.
func (m Memory) Total() int64 { return m.Weights + m.KV + m.Overhead }

// DefaultIdleTTL is how long an idle worker of the catalog lives when nobody says otherwise.
const DefaultIdleTTL = 5 * time.Minute

// Model is an entry of the catalog. Without a Source it only rules over what hives offer by
// their own configuration under its ref. A published Model is immutable.
type Model struct {
	Ref     string
	Aliases []string // other names, sorted; no two models share a name
	Source  string   // where hives fetch it: hf:… https:… file:…
	Engine  string   // of a hive, that runs it
	Digest  string   // sha256:hex of its file; empty until known
	Size    int64    // bytes of its files; 0 until known
	Memory  Memory   // for Slots and Context
	VRAM    int64    // bytes that an operator declares instead of Memory; 0 for none
	Slots   int
	Context int // tokens a slot; 0 as the engine has it

	IdleTTL     time.Duration // 0: DefaultIdleTTL, or never without a Source; below 0: never
	MinReplicas int           // workers kept without demand
	MaxReplicas int           // workers at most; 0: one on each hive
	Labels      []Label       // constraints on hives, sorted by key
	Pin         bool          // its workers are neither evicted nor stopped for idleness

	Failure *Failure // why the last look at its source told nothing; nil once one did

	// DroppedAt is when it left the catalog; 0 before. The row stays until what it left
	// behind is settled.
	DroppedAt Time
	Index     uint64 // batch index at which its file was last another
	Changed   uint64 // batch index of the last change

	sum Sum
}

// Dropped tells a model that has left the catalog.
func (m *Model) Dropped() bool { return m.DroppedAt > 0 }

// Need is what one worker takes on its device by the best that is known, 0 when nothing is:
// what was declared, else what the file's header tells, else a fifth more than the file.
func (m *Model) Need() int64 {
	switch {
	case m.VRAM > 0:
		return m.VRAM
	case m.Memory.Total() > 0:
		return m.Memory.Total()
	}
	return m.Size + m.Size/5
}

// CodeSourceUnreachable is why a look at a source told nothing that may tell more another time.
const CodeSourceUnreachable = "model_source_unreachable"

// inspected tells that somebody has looked at the source, and another look would tell no more.
func (m *Model) inspected() bool {
	if m.Failure != nil {
		return m.Failure.Code != CodeSourceUnreachable
	}
	return m.Source == "" || m.Size > 0 && m.Memory.Total() > 0
}

// CopyState is where a hive's copy of a model stands.
type CopyState uint8

// States of a copy. How far a fetch is is the leader's telemetry.
const (
	CopyDownloading CopyState = iota + 1 // being fetched, or wanted and not yet heard of
	CopyPresent                          // whole and checked
	CopyFailed                           // given up; Failure says why
)

// String is the state's word on every wire.
func (s CopyState) String() string { return word(s, "downloading", "present", "failed") }

// Copy is a model's file on a hive, or the wish for it. A published Copy is immutable.
type Copy struct {
	Model   string
	Hive    string
	State   CopyState
	Bytes   int64 // on disk
	Digest  string
	Failure *Failure
	Wanted  bool   // somebody asked for it there: it stays without a worker
	Index   uint64 // batch index at which Wanted last changed

	sum Sum
}

// KeepAlive is how long a worker outlives its last use. Zero says nothing; see KeepFor.
type KeepAlive int64

// KeepForever stops no worker for idleness.
const KeepForever KeepAlive = -1

// MaxKeepAlive bounds what is said; more is for ever.
const MaxKeepAlive = 365 * 24 * time.Hour

// KeepFor is a time after the last use: 0 stops a worker at once, below 0 and beyond
// MaxKeepAlive never.
func KeepFor(d time.Duration) KeepAlive {
	if d < 0 || d > MaxKeepAlive {
		return KeepForever
	}
	return KeepAlive(d) + 1
}

// For is the time after the last use; false when there is none, or nothing was said.
func (k KeepAlive) For() (time.Duration, bool) { return time.Duration(k - 1), k > 0 }

// String is the form clients use.
func (k KeepAlive) String() string {
	if d, ok := k.For(); ok {
		return d.String()
	}
	if k < 0 {
		return "-1"
	}
	return ""
}
