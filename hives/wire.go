package hives

import "encoding/json"

// Outcome says how a run ended.
type Outcome string

// The three ways a run can end.
const (
	Complete  Outcome = "complete"
	Failed    Outcome = "failed"
	Cancelled Outcome = "cancelled"
)

// Usage counts tokens the way the OpenAI API does.
type Usage struct {
	PromptTokens     int64 `json:"prompt_tokens"`
	CompletionTokens int64 `json:"completion_tokens"`
	TotalTokens      int64 `json:"total_tokens"`
}

// Terminal is a hive's word on how a run ended; the outcome of a job is only ever a
// copy of one. Events is N, the number of the last record before the end.
type Terminal struct {
	JobID        string  `json:"job_id"`
	Attempt      uint32  `json:"attempt"`
	Outcome      Outcome `json:"outcome"`
	FinishReason string  `json:"finish_reason,omitempty"`
	Error        *Error  `json:"error,omitempty"`
	Usage        Usage   `json:"usage"`
	Events       uint64  `json:"events"`
	TTFTMillis   int64   `json:"ttft_ms,omitempty"`
	Answer       *Answer `json:"answer,omitempty"` // of a complete run that is not Streamed
}

// Answer says what a run that is not Streamed has to give: behind the end mark of a whole
// reader come exactly so many bytes, as the engine sent them.
type Answer struct {
	ContentType string `json:"content_type"`
	Bytes       int64  `json:"bytes"`
}

// Device is one thing that holds models: a GPU, or the CPU with the system's memory.
// What is measured is nil when nothing can measure it.
type Device struct {
	ID           string   `json:"id"`
	Kind         string   `json:"kind"` // cpu, cuda, rocm, metal
	TotalBytes   int64    `json:"total_bytes"`
	FreeBytes    *int64   `json:"free_bytes"`
	Utilisation  *float64 `json:"utilisation"`    // the busy share of its time, 0 to 1
	TemperatureC *float64 `json:"temperature_c"`  // degrees Celsius
	Note         string   `json:"note,omitempty"` // why the figures are not of now; empty when they are
}

// Engine is a way of running models that a hive offers, with the models it offers there.
type Engine struct {
	Name   string        `json:"name"`
	Models []EngineModel `json:"models"` // beside those of the catalog
	// TakesFiles: a model of the catalog can be served by it, from a file that the hive holds.
	TakesFiles bool `json:"takes_files,omitempty"`
}

// EngineModel is one model an engine of this hive can serve, with what a worker of it takes.
type EngineModel struct {
	Ref       string `json:"ref"`
	VRAMBytes int64  `json:"vram_bytes"` // memory one worker of it occupies on its device
	Slots     int    `json:"slots"`      // concurrent runs one worker of it can hold
	Context   int    `json:"context"`    // tokens per slot, 0 when unknown
}

// WorkerState is a hive's view of one of its worker processes.
type WorkerState string

// States a hive reports. A hive never reports idle or busy apart: busy is counted from runs.
const (
	WorkerSpawning WorkerState = "spawning" // process not yet started, or waiting out a restart's backoff
	WorkerLoading  WorkerState = "loading"  // process lives, not yet healthy
	WorkerReady    WorkerState = "ready"    // healthy, takes runs
	WorkerFailed   WorkerState = "failed"   // given up by the hive; Error has the last lines of its log
	WorkerStopped  WorkerState = "stopped"  // ended because it is no longer desired
)

// WorkerReport is what a heartbeat says of one worker.
type WorkerReport struct {
	ID       string      `json:"id"`
	Index    uint64      `json:"index"` // the desired record's index it was started from
	State    WorkerState `json:"state"`
	Progress float64     `json:"progress,omitempty"`
	Port     int         `json:"port,omitempty"`
	Slots    int         `json:"slots,omitempty"`   // as read from the engine at ready, 0 until then
	Context  int         `json:"context,omitempty"` // tokens of a slot, as read from the engine at ready
	Busy     int         `json:"busy"`
	Detail   string      `json:"detail,omitempty"` // the last line of a loading engine's log
	Error    string      `json:"error,omitempty"`
	Code     string      `json:"code,omitempty"` // of Error, where a queen decides by it: CodeOutOfMemory, CodeCrashLoop
}

// RunReport is what a heartbeat says of one run that has not ended.
type RunReport struct {
	JobID   string `json:"job_id"`
	Attempt uint32 `json:"attempt"`
	Seq     uint64 `json:"seq"` // records so far; 0: waiting for a slot, 1: started
	Readers int    `json:"readers"`
}

// Heartbeat is what a hive says of itself: the pipe up. Epoch and Index name the newest
// desired answer it has acted on.
type Heartbeat struct {
	Incarnation uint64            `json:"incarnation"`
	Seq         uint64            `json:"seq"`
	Epoch       string            `json:"epoch"`
	Index       uint64            `json:"index"`
	At          string            `json:"at"`                // wall time, for people
	Leaving     bool              `json:"leaving,omitempty"` // the agent stops in order: it takes no new work
	URL         string            `json:"url"`
	Version     string            `json:"version"`
	Devices     []Device          `json:"devices"`
	Labels      map[string]string `json:"labels"`
	Engines     []Engine          `json:"engines"`
	Models      []ModelReport     `json:"models"`
	Workers     []WorkerReport    `json:"workers"`
	Runs        []RunReport       `json:"runs"`
	Ended       []Terminal        `json:"ended"`
}

// Memory is what one worker of a model takes on one device, in bytes: for all its slots, each
// with the whole context.
type Memory struct {
	Weights  int64 `json:"weights"`
	KV       int64 `json:"kv"`
	Overhead int64 `json:"overhead"`
}

// States of a model's file on a hive.
const (
	ModelDownloading = "downloading" // being fetched, or waiting to be
	ModelPresent     = "present"     // whole and checked
	ModelFailed      = "failed"      // Error says why; tried again when its record changes or a worker wants it, else after minutes
)

// ModelReport is what a heartbeat says of one model file on the hive.
type ModelReport struct {
	Ref        string  `json:"ref"`
	Digest     string  `json:"digest"` // sha256:hex; empty until known
	Bytes      int64   `json:"bytes"`  // what it takes on disk
	State      string  `json:"state"`
	Progress   float64 `json:"progress,omitempty"`
	DoneBytes  int64   `json:"done_bytes,omitempty"`
	TotalBytes int64   `json:"total_bytes,omitempty"` // 0 while unknown
	Error      *Error  `json:"error,omitempty"`
	Memory     *Memory `json:"memory,omitempty"` // as its header tells, once that is there
}

// Inspect is the body of POST {hive}/v1/models/inspect: what would this model take?
type Inspect struct {
	Source  string `json:"source"`
	Context int    `json:"context"` // tokens a slot; 0: the hive's default
	Slots   int    `json:"slots"`   // 0: 1
}

// Inspected answers an Inspect. What could not be found out is zero.
type Inspected struct {
	Bytes        int64    `json:"bytes"` // of all files
	Digest       string   `json:"digest"`
	Files        []string `json:"files"`
	Architecture string   `json:"architecture,omitempty"`
	ContextMax   int      `json:"context_max,omitempty"` // tokens the model was trained for
	Memory       Memory   `json:"memory"`                // for the asked context and slots
}

// HeartbeatAnswer is sent only when the leader has the beat. Index is the hive's `changed`
// there: a hive whose own is lower for a second asks the leader for its desired state.
type HeartbeatAnswer struct {
	Epoch          string   `json:"epoch"`
	Index          uint64   `json:"index"`
	IntervalMillis int64    `json:"interval_ms"`
	Queens         []string `json:"queens,omitempty"` // base URLs of all members, so that a hive can reach them when those it was given are gone
}

// Registration is the body of POST /v2/hives.
type Registration struct {
	ID      string            `json:"id"`
	URL     string            `json:"url"` // where queens reach this hive, no trailing slash
	Version string            `json:"version"`
	Devices []Device          `json:"devices"`
	Labels  map[string]string `json:"labels"`
	Engines []Engine          `json:"engines"`
	Boot    string            `json:"boot"` // ULID of this start of the agent: a repeat of the same start is the same incarnation
	// Replaces is the incarnation that the hive's desired state named when this start read it, 0
	// when the hive was not known. Another than the newest is refused (conflict): read and register again.
	Replaces uint64 `json:"replaces"`
}

// Registered answers a Registration. Each start of an agent gets a higher incarnation.
type Registered struct {
	Epoch          string   `json:"epoch"`
	Incarnation    uint64   `json:"incarnation"`
	Index          uint64   `json:"index"`
	IntervalMillis int64    `json:"interval_ms"`
	Queens         []string `json:"queens,omitempty"` // as in a HeartbeatAnswer
}

// Desired values of a hive.
const (
	HiveRunning  = "running"
	HiveDraining = "draining"
	HiveStopped  = "stopped"
)

// Desired is everything that should be on a hive: the pipe down. Index is the last batch
// index of the state it was made from.
type Desired struct {
	Epoch string `json:"epoch"`
	Index uint64 `json:"index"`
	// Incarnation is the newest of the hive's agent.
	Incarnation uint64          `json:"incarnation"`
	Desired     string          `json:"desired"`
	Workers     []DesiredWorker `json:"workers"`
	Models      []DesiredModel  `json:"models"`
	Runs        []DesiredRun    `json:"runs"`
}

// DesiredWorker is one worker that should live. Index is the batch of its last change.
type DesiredWorker struct {
	ID     string `json:"id"`
	Index  uint64 `json:"index"`
	Model  string `json:"model"`
	Engine string `json:"engine"`
	Device string `json:"device"`
	Slots  int    `json:"slots"`
	// Context is the tokens a slot is to hold; 0: as the engine's definition says.
	Context int `json:"context,omitempty"`
	// VRAMBytes is what it is taken to need of its device, where the hive does not say so itself.
	VRAMBytes int64             `json:"vram_bytes,omitempty"`
	Args      map[string]string `json:"args,omitempty"`
}

// DesiredModel is one model that should be stored on the hive.
type DesiredModel struct {
	Ref    string `json:"ref"`
	Index  uint64 `json:"index"`
	Source string `json:"source"`
	Digest string `json:"digest"` // sha256:hex; empty while nobody knows it
	Bytes  int64  `json:"bytes"`  // 0 while nobody knows it
	// Peers are base URLs of other hives that hold this digest.
	Peers []string `json:"peers,omitempty"`
}

// Begin is where an attempt begins: the number of the last record it continues from, and
// the index of its first token. Both 0 for an attempt that starts from the beginning.
type Begin struct {
	Seq uint64 `json:"seq"`
	I   uint64 `json:"i"`
}

// Modes of a run.
const (
	Attached = "attached" // given up by the hive when no client has read it for the grace time
	Detached = "detached" // runs to its end
)

// DesiredRun is one run that should go on, or end for the reason in End. DeadlineMillis is
// what was left when the answer was made, 0 for none.
type DesiredRun struct {
	JobID          string `json:"job_id"`
	Attempt        uint32 `json:"attempt"`
	Incarnation    uint64 `json:"incarnation"`
	WorkerID       string `json:"worker_id"`
	AssignedIndex  uint64 `json:"assigned_index"`
	API            string `json:"api"`                    // task or openai
	Path           string `json:"path"`                   // engine path, e.g. /v1/chat/completions
	ContentType    string `json:"content_type,omitempty"` // of the request's body; absent: application/json
	Begin          Begin  `json:"begin"`
	Stream         bool   `json:"stream"`
	Mode           string `json:"mode"`
	GraceMillis    int64  `json:"grace_ms,omitempty"` // attached: how long it waits without a client
	DeadlineMillis int64  `json:"deadline_ms,omitempty"`
	End            string `json:"end,omitempty"` // cancelled, deadline_exceeded, drained
}

// APIs a run can be rendered in.
const (
	APITask   = "task"
	APIOpenAI = "openai"
)

// Streamed tells whether engines are asked for a stream at a path. What is not streamed has one
// answer, whole and in whatever form the engine gives it, which no reader sees before the end.
func Streamed(path string) bool {
	return path == "/v1/chat/completions" || path == "/v1/completions"
}

// Execute is the body of POST {worker.url}/v1/execute: a doorbell (the run's record of the
// desired state, early) and a reader in one. API is the rendering this reader wants; whole
// asks for the folded answer at the end instead of frames. From is the number of the last
// record the reader already has (0: from the beginning); records after it are sent.
type Execute struct {
	Epoch          string          `json:"epoch"`
	Incarnation    uint64          `json:"incarnation"`
	JobID          string          `json:"job_id"`
	Attempt        uint32          `json:"attempt"`
	AssignedIndex  uint64          `json:"assigned_index"`
	API            string          `json:"api"`
	Path           string          `json:"path"`
	Body           json.RawMessage `json:"body,omitempty"`         // engine-ready OpenAI body; absent for a reader that cannot start it
	Data           []byte          `json:"data,omitempty"`         // in place of Body, for one that is not JSON
	ContentType    string          `json:"content_type,omitempty"` // of Data; absent: application/json
	Begin          Begin           `json:"begin"`
	From           uint64          `json:"from"`
	Follow         bool            `json:"follow"` // false: start only, 202
	Client         bool            `json:"client"` // counts for grace
	Whole          bool            `json:"whole"`  // folded answer instead of frames
	Mode           string          `json:"mode"`
	GraceMillis    int64           `json:"grace_ms,omitempty"`
	DeadlineMillis int64           `json:"deadline_ms,omitempty"`
}

// RunState answers GET {worker.url}/v1/execute/{job_id}?attempt=.
type RunState struct {
	JobID    string    `json:"job_id"`
	Attempt  uint32    `json:"attempt"`
	Seq      uint64    `json:"seq"`
	Readers  int       `json:"readers"`
	Terminal *Terminal `json:"terminal,omitempty"`
}

// Leave is the body of POST {worker.url}/v1/execute/{job_id}/leave: a living queen saw its
// client close, so the run waits only GraceMillis for another.
type Leave struct {
	Attempt     uint32 `json:"attempt"`
	GraceMillis int64  `json:"grace_ms"`
}

// EndMark starts the comment line that a gateway writes where the end of a run begins:
// `: rbee-end {Terminal as JSON}`. Frames after it belong to the end and go to a client only
// when the job's end is committed; then the gateway closes the stream.
const EndMark = ": rbee-end "
