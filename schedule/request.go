package schedule

import (
	"slices"
	"time"

	"queen-rbee/fsm"
)

// Request is one thing asked of the leader. Exactly one field is set. It crosses between
// queens, so every field is exported and plain. Requests are idempotent by the ids they
// carry: the same request may arrive twice, at two leaders, in any order with its answer lost.
type Request struct {
	Genesis     *Genesis
	Member      *Member
	Forget      *Forget
	PutKey      *PutKey
	Submit      *Submit
	Started     *Started
	Finished    *Finished
	Cancel      *Cancel
	Hold        *Hold
	Release     *Release
	Register    *Register
	Beat        *Beat
	HiveWish    *HiveWish
	DropHive    *DropHive
	SpawnWorker *SpawnWorker
	StopWorker  *StopWorker
	PutModel    *PutModel
	DropModel   *DropModel
	Inspected   *Inspected
	Fetch       *Fetch
	Tick        *Tick
}

// Genesis gives birth to a blank state; on any other it is answered without a command.
type Genesis struct {
	ClusterID string
	Epoch     fsm.Epoch
	AdminKey  [32]byte
}

// Member puts a queen's row, at join and at each of its starts.
type Member struct{ Queen fsm.Queen }

// Forget drops a queen's row.
type Forget struct{ ID string }

// PutKey adds an API key.
type PutKey struct{ Key fsm.Key }

// Submit asks for a job. Job carries what the client wants (ID, Tenant, Model, API, Path,
// Priority, Stream, Detached, OnLoss, Grace, Session, Pin, Labels, IdempotencyKey,
// RequestHash, Body) and, when attached, its first holder; the rest is Plan's. Within is
// the deadline as a duration from acceptance, 0 for none.
type Submit struct {
	Job    fsm.Job
	Within time.Duration
}

// Started tells that an attempt has begun to deliver.
type Started struct {
	Job     string
	Attempt uint32
	TTFT    time.Duration
}

// Finished carries a hive's terminal record. Outcome is complete, failed or cancelled.
type Finished struct {
	Job          string
	Attempt      uint32
	Outcome      fsm.JobState
	FinishReason string
	Failure      *fsm.Failure
	Usage        fsm.Usage
	Events       uint64
	TTFT         time.Duration
}

// Cancel wishes a job to end. Tenant must own the job, or be empty for an admin. Unaccepted
// takes back what was never said to be accepted: a job that waits ends and its Idempotency-Key
// is forgotten; one that runs goes on.
type Cancel struct {
	Tenant, Job string
	Unaccepted  bool
}

// Hold names one more queen process with a client on the job.
type Hold struct {
	Job    string
	Holder fsm.Holder
}

// Release takes a holder back; Grace is how long a queued job waits for another.
type Release struct {
	Job    string
	Holder fsm.Holder
	Grace  time.Duration
}

// Register is a start of a hive's agent. A repeat of the same Boot is the same incarnation.
type Register struct {
	ID, Boot, Mode string
	Replaces       uint64 // the incarnation that this start found to be the newest; 0: none
	Facts          fsm.HiveFacts
}

// Beat is what a heartbeat of a hive changes: the fleet sends it only when something does.
// Acted is the newest desired index the hive has acted on; the lists are complete, so a run
// or worker at or below Acted that they name nowhere is lost.
type Beat struct {
	Hive        string
	Incarnation uint64
	Acted       uint64
	Leaving     bool           // the agent stops in order: it takes no new work
	Facts       *fsm.HiveFacts // nil when unchanged
	Workers     []BeatWorker
	Runs        []BeatRun  // alive
	Ended       []Finished // terminal records
	Copies      []BeatCopy // files of the catalog's models
}

// BeatCopy is a hive's word on one model's file.
type BeatCopy struct {
	Model   string
	State   fsm.CopyState
	Bytes   int64
	Digest  string
	Failure *fsm.Failure
}

// Last tells the beat of a hive that leaves and on which nothing is left.
func (b *Beat) Last() bool {
	return b.Leaving && len(b.Runs) == 0 &&
		!slices.ContainsFunc(b.Workers, func(w BeatWorker) bool { return !w.State.Gone() })
}

// BeatWorker is a hive's word on one worker. State is spawning, loading, ready, failed or stopped.
type BeatWorker struct {
	ID       string
	State    fsm.WorkerState
	Slots    int
	Progress float64
	Error    string
	Code     string // of Error: out_of_memory, crash_loop or empty
}

// BeatRun is a run a hive knows and that has not ended.
type BeatRun struct {
	Job     string
	Attempt uint32
	Seq     uint64
}

// HiveWish is what an operator wants of a hive.
type HiveWish struct {
	ID      string
	Desired fsm.HiveWish
}

// DropHive forgets a hive.
type DropHive struct{ ID string }

// SpawnWorker asks for a worker of a model; Hive and Device may be empty, Slots 0. ID is the
// asker's ULID for it, so that a repeat is the same worker.
type SpawnWorker struct {
	ID, Model, Hive, Device string
	Slots                   int
}

// StopWorker drains a worker and then stops it; Force ends its runs too.
type StopWorker struct {
	ID    string
	Force bool
}

// PutModel puts an operator's description of a model into the catalog. What is known of its
// file (Digest where he names none, Size, Memory, Failure) stays while it describes the same.
type PutModel struct{ Model fsm.Model }

// DropModel takes a model out of the catalog: its workers drain, jobs that wait for it end.
type DropModel struct{ Ref string }

// Inspected is what a hive found at a model's source, for the slots and context it was asked for.
type Inspected struct {
	Ref, Source    string
	Slots, Context int
	Digest         string
	Size           int64
	Memory         fsm.Memory
	Failure        *fsm.Failure // when it found nothing
}

// Fetch wants a model's file on hives, or, with Drop, wants it there no more and its idle
// workers gone. Without hives: where it fits best, or everywhere.
type Fetch struct {
	Ref   string
	Hives []string
	Drop  bool
}

// Tick asks for nothing: timers and the queue are looked at with every plan.
type Tick struct{}

// Assignment is what a relay needs to reach a run.
type Assignment struct {
	Worker, Hive, HiveURL string
	Incarnation           uint64
	Attempt               uint32
	Index                 uint64 // AssignedIndex
	Begin                 fsm.Begin
}

// Answer is what Plan says to one request. It holds once the batch is committed (Index);
// when Err is set nothing of the request is in the batch.
type Answer struct {
	Index       uint64    // batch index to which the answer is true
	Epoch       fsm.Epoch // of the state it is true of
	Err         *fsm.Error
	Job         string       // submit, cancel: the job meant; an idempotent repeat names the first one
	Joined      bool         // submit: an earlier request made the job
	State       fsm.JobState // submit, cancel: the job's state
	Assigned    *Assignment  // submit: when the job runs already
	Worker      string       // spawn
	WorkerState fsm.WorkerState
	Incarnation uint64   // register
	Hives       []string // fetch: those meant
	Again       bool     // beat: it held more than one plan may decide; send the same lists again
}

// HiveTelemetry is what the leader remembers of a hive beside the state.
type HiveTelemetry struct {
	LastBeat fsm.Time           // cluster time of the newest beat or registration; 0 when none came to this leader
	Free     map[string]int64   // device id -> free bytes as measured; absent when unknown
	Fetches  map[string]Fetched // by model: files on their way
}

// Fetched is how far a file is on its way to a hive.
type Fetched struct {
	Done, Total int64    // bytes; Total 0 while unknown
	Moved       fsm.Time // when Done last rose
}

// World is everything a plan may look at.
type World struct {
	View        *fsm.View
	Hives       map[string]HiveTelemetry
	Queens      map[string]Presence // by queen id: who is there now
	LeaderSince fsm.Time            // silence and absence count from here at the earliest
	DrainRate   float64             // jobs ended per second lately, for Retry-After
	Limits      Limits
}

// Presence is the leader's knowledge of a queen process.
type Presence struct {
	Boot     string
	LastSeen fsm.Time
}

// Planned is what Plan decides: one batch and an answer to every request, in order.
type Planned struct {
	Batch   fsm.Batch
	Answers []Answer
	// Spans[i] is the range [From,To) of Batch.Commands that request i made. A guard that
	// fires inside it makes the answer an error.
	Spans []Span
	// More tells that decisions are left over because a bound was reached: plan again at once.
	More bool
	// Wake is the cluster time at which the next timer is due; 0 for none.
	Wake fsm.Time
}

// Span is a range of commands.
type Span struct{ From, To int }
