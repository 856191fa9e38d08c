package fsm

import (
	"slices"
	"time"
)

// WorkerState is where a worker stands. Idle and busy are not stored: both are Ready, told
// apart by the runs on it.
type WorkerState uint8

// States of a worker. The legal moves are in workerMoves.
const (
	WorkerSpawning WorkerState = iota + 1
	WorkerLoading
	WorkerReady
	WorkerDraining // takes no more runs; stops when its last has ended
	WorkerStopped
	WorkerFailed
)

// workerMoves are the legal moves. A hive may start a process again under its worker's id,
// so ready goes back to spawning or loading; draining goes only forward, and nothing comes
// back from stopped or failed.
var workerMoves = map[WorkerState][]WorkerState{
	WorkerSpawning: {WorkerLoading, WorkerReady, WorkerDraining, WorkerStopped, WorkerFailed},
	WorkerLoading:  {WorkerSpawning, WorkerReady, WorkerDraining, WorkerStopped, WorkerFailed},
	WorkerReady:    {WorkerSpawning, WorkerLoading, WorkerDraining, WorkerStopped, WorkerFailed},
	WorkerDraining: {WorkerStopped, WorkerFailed},
}

func (s WorkerState) mayBecome(next WorkerState) bool { return slices.Contains(workerMoves[s], next) }

// String is the state's word on every wire.
func (s WorkerState) String() string {
	return word(s, "spawning", "loading", "ready", "draining", "stopped", "failed")
}

// Gone tells a state no worker comes back from. Such a worker is not in its hive's desired set.
func (s WorkerState) Gone() bool { return s == WorkerStopped || s == WorkerFailed }

func (s WorkerState) coming() bool { return s == WorkerSpawning || s == WorkerLoading }

// Worker is a process that holds one model on one device. A published Worker is immutable.
type Worker struct {
	ID       string
	Hive     string
	Device   string
	Model    string
	Engine   string
	State    WorkerState
	Slots    int
	VRAM     int64 // bytes it occupies on its device
	Progress float64
	Failure  *Failure
	LastUsed Time
	Wall     Millis // of the last change of state
	GoneAt   Time   // when it stopped or failed; 0 before
	Index    uint64 // batch index at which it was last desired anew or told to end
	Changed  uint64 // batch index of the last change

	// From level 2 on.
	Context   int           // tokens a slot that it is started with; 0 as the engine has it
	KeepAlive KeepAlive     // as the last job that ended on it said; else its model's IdleTTL holds
	LoadFor   time.Duration // how long it may take from Since to ready; 0 without bound
	Since     Time          // of the last change of state
	Holds     bool          // told to end, and its hive has not yet said that it has: its memory counts as taken

	sum Sum
}

// FromCatalog tells a worker that runs from the file of a model of the catalog.
func (w *Worker) FromCatalog() bool { return w.LoadFor > 0 }

// Block passes a hive over for a model after workers of it failed there: for 1, 2, 4 …
// minutes, until one becomes ready.
type Block struct {
	Model   string
	Hive    string
	Fails   uint32 // in a row
	Until   Time
	Failure Failure

	sum Sum
}
