package fsm

import (
	"slices"
	"time"
)

// JobState is where a job stands.
type JobState uint8

// States of a job. The legal moves are in jobMoves.
const (
	JobQueued JobState = iota + 1
	JobRunning
	JobComplete
	JobFailed
	JobCancelled
)

// jobMoves are the legal moves; what is not here never happens. Terminal states have none,
// so a job ends once. A queued job cannot complete: nothing has run.
var jobMoves = map[JobState][]JobState{
	JobQueued:  {JobRunning, JobFailed, JobCancelled},
	JobRunning: {JobQueued, JobComplete, JobFailed, JobCancelled},
}

func (s JobState) mayBecome(next JobState) bool { return slices.Contains(jobMoves[s], next) }

// String is the state's word on every wire.
func (s JobState) String() string {
	return word(s, "queued", "running", "complete", "failed", "cancelled")
}

// Ended tells a terminal state.
func (s JobState) Ended() bool { return s >= JobComplete }

// Priority orders the queue of a model.
type Priority uint8

// PriorityInteractive goes before PriorityBatch; a batch job ages by a fixed offset in its rank, so it is
// never starved and its key never moves.
const (
	PriorityInteractive Priority = iota + 1
	PriorityBatch
)

// String is the priority's word on every wire.
func (p Priority) String() string { return word(p, "interactive", "batch") }

// OnLoss says what becomes of a job whose worker is lost after something was delivered.
type OnLoss uint8

// Policies of api.md's on_worker_loss that are built.
const (
	LossFail OnLoss = iota + 1
	LossRestart
)

// String is the policy's word on every wire.
func (l OnLoss) String() string { return word(l, "fail", "restart") }

// Ending is the wish that a running job should end. It keeps its slot until the hive's
// terminal record is committed.
type Ending uint8

// Reasons of an Ending; zero means run on.
const (
	EndNone Ending = iota
	EndCancelled
	EndDeadline
	EndDrained
)

// endMoves are the wishes that may replace one another: a drained run may still be cancelled
// or run out of time; the first of these stands.
var endMoves = map[Ending][]Ending{
	EndNone:    {EndCancelled, EndDeadline, EndDrained},
	EndDrained: {EndCancelled, EndDeadline},
}

func (e Ending) mayBecome(next Ending) bool { return slices.Contains(endMoves[e], next) }

// String is the reason's word; empty for none.
func (e Ending) String() string {
	if e == EndNone {
		return ""
	}
	return word(e, "cancelled", "deadline", "drained")
}

// Holder is a queen process (id and boot) with a client on a queued attached job.
type Holder struct {
	Queen string
	Boot  string
}

// Label is one constraint on, or property of, a hive.
type Label struct{ Key, Value string }

// Failure is why a job or worker failed: a code of api.md or of package hives, and a text.
type Failure struct {
	Code    string
	Message string
}

// Begin is the beginning of an attempt: it continues Seq records and I tokens of an earlier
// one; zero for an attempt from the start.
type Begin struct{ Seq, I uint64 }

// Usage counts tokens.
type Usage struct{ Prompt, Completion uint64 }

// Body is a request's engine-ready body. Packed tells that Data is compressed; Size is the
// length in bytes once open. See PackBody.
type Body struct {
	Data   []byte
	Packed bool
	Size   uint32
}

// Event is one line of a job's history.
type Event struct {
	At     Time
	Wall   Millis
	Kind   string // submitted, assigned, started, retry, ending, ended
	Detail string
}

// HistoryMax bounds a job's history; the oldest entries after the first are dropped.
const HistoryMax = 32

// Job is one request for inference. A published Job is immutable: Apply replaces it.
type Job struct {
	ID       string
	Tenant   string
	Model    string
	API      string // task or openai: what the client spoke
	Path     string // engine path, e.g. /v1/chat/completions
	Priority Priority
	State    JobState
	Order    uint64 // admission number, unique and rising
	Stream   bool
	Detached bool
	OnLoss   OnLoss
	Grace    time.Duration // how long an attached job waits without a client
	Session  string        // affinity key
	Pin      string        // hive id, or empty
	Labels   []Label       // constraints on hives, sorted by key

	ContentType string    // of Body; empty for JSON; from level 2 on
	KeepAlive   KeepAlive // what its worker takes over when it ends; from level 2 on

	// The run.
	Worker        string
	Hive          string
	Incarnation   uint64 // of the hive the run was assigned to
	Attempt       uint32 // 0 until first assigned; rises by one with each assignment
	Begin         Begin
	AssignedIndex uint64 // batch index of the last assignment or end wish
	Delivered     bool   // Started is committed for this attempt: something may have reached the client
	Ending        Ending

	// The queue.
	Rank      Time   // key of the queue: submission in cluster time plus the priority's offset
	NotBefore Time   // backoff: not to be assigned before; 0 when ready
	Avoid     string // hive of the last lost attempt
	Retries   uint32 // attempts lost that count against the limit
	Holders   []Holder
	AbandonAt Time // when a queued attached job without holders is given up; 0 when held
	Deadline  Time // 0 for none

	// Times; wall times are for people.
	Submitted, Assigned, Started, Ended                 Time
	SubmittedWall, AssignedWall, StartedWall, EndedWall Millis

	// The end.
	Events       uint64 // N of the terminal record: number of the last record before the end
	TTFT         time.Duration
	FinishReason string
	Usage        Usage
	Failure      *Failure

	IdempotencyKey string
	RequestHash    [32]byte
	Body           Body // dropped at the end
	History        []Event
	Changed        uint64 // batch index of the last change

	sum     Sum // of the row, kept so that a change need not hash the old row again
	bodySum Sum // of Body.Data, made once

	lane string // Constraint, while the job has a place in the queue
}
