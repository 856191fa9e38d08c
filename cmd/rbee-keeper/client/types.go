package client

// Types of the queen API. Fields that a newer queen adds are ignored; commands that print
// JSON use the raw answer. Times are RFC 3339 text, empty when not known.

// Message is one turn of a chat.
type Message struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

// Task is the body of POST /v2/tasks. Deadline and the like are durations as text ("30s").
type Task struct {
	Model        string            `json:"model"`
	Prompt       string            `json:"prompt,omitempty"`
	Messages     []Message         `json:"messages,omitempty"`
	MaxTokens    *int              `json:"max_tokens,omitempty"`
	Temperature  *float64          `json:"temperature,omitempty"`
	TopP         *float64          `json:"top_p,omitempty"`
	Seed         *int64            `json:"seed,omitempty"`
	Stop         []string          `json:"stop,omitempty"`
	Stream       *bool             `json:"stream,omitempty"` // absent: true
	Priority     string            `json:"priority,omitempty"`
	Detach       bool              `json:"detach,omitempty"`
	Session      string            `json:"session,omitempty"`
	Hive         string            `json:"hive,omitempty"`
	Deadline     string            `json:"deadline,omitempty"`
	Labels       map[string]string `json:"labels,omitempty"`
	OnWorkerLoss string            `json:"on_worker_loss,omitempty"`
}

// Usage counts tokens.
type Usage struct {
	PromptTokens     int64 `json:"prompt_tokens"`
	CompletionTokens int64 `json:"completion_tokens"`
	TotalTokens      int64 `json:"total_tokens"`
}

// JobError says why a job failed.
type JobError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// HistoryEntry is one thing that happened to a job.
type HistoryEntry struct {
	At     string `json:"at"`
	Event  string `json:"event"`
	Detail string `json:"detail"`
}

// States of a job.
const (
	JobQueued    = "queued"
	JobRunning   = "running"
	JobComplete  = "complete"
	JobFailed    = "failed"
	JobCancelled = "cancelled"
)

// Job is what GET /v2/jobs/{id} shows.
type Job struct {
	ID           string         `json:"id"`
	Tenant       string         `json:"tenant"`
	Model        string         `json:"model"`
	Kind         string         `json:"kind"`
	Priority     string         `json:"priority"`
	State        string         `json:"state"`
	Attempt      uint32         `json:"attempt"`
	Worker       string         `json:"worker"`
	Hive         string         `json:"hive"`
	Ending       string         `json:"ending"`
	SubmittedAt  string         `json:"submitted_at"`
	StartedAt    string         `json:"started_at"`
	CompletedAt  string         `json:"completed_at"`
	FinishReason string         `json:"finish_reason"`
	Usage        *Usage         `json:"usage"`
	Error        *JobError      `json:"error"`
	History      []HistoryEntry `json:"history"`
}

// Ended says whether the job's state is terminal.
func (j Job) Ended() bool {
	return j.State == JobComplete || j.State == JobFailed || j.State == JobCancelled
}

// Result is the whole output of an ended job.
type Result struct {
	JobID        string `json:"job_id"`
	Text         string `json:"text"`
	FinishReason string `json:"finish_reason"`
	Usage        Usage  `json:"usage"`
	QueuedMS     int64  `json:"queued_ms"`
	TTFTMS       int64  `json:"ttft_ms"`
	TotalMS      int64  `json:"total_ms"`
}

// Accepted answers a detached task.
type Accepted struct {
	JobID string `json:"job_id"`
	State string `json:"state"`
}

// Queen is one member of the cluster as GET /v2/cluster shows it.
type Queen struct {
	ID           string `json:"id"`
	HTTPURL      string `json:"http_url"`
	RaftAddr     string `json:"raft_addr"`
	Role         string `json:"role"`
	Votes        bool   `json:"votes"`
	Status       string `json:"status"`
	Leader       bool   `json:"leader"`
	AppliedIndex uint64 `json:"applied_index"`
	Version      string `json:"version"`
}

// Cluster is what GET /v2/cluster shows. Leader is a queen's id, empty when none is known.
type Cluster struct {
	ClusterID   string  `json:"cluster_id"`
	Epoch       string  `json:"epoch"`
	Leader      string  `json:"leader"`
	Term        uint64  `json:"term"`
	CommitIndex uint64  `json:"commit_index"`
	Queens      []Queen `json:"queens"`
}

// Hash is the state's hash after the batch of that index.
type Hash struct {
	Index uint64 `json:"index"`
	Hash  string `json:"hash"`
}

// JoinTokens answers GET /v2/cluster/token.
type JoinTokens struct {
	ClusterToken string `json:"cluster_token"`
	HiveToken    string `json:"hive_token"`
	JoinCommand  string `json:"join_command"`
	HiveCommand  string `json:"hive_command"`
}

// Device is a GPU, or the CPU with its memory; FreeBytes is nil when nothing measures it.
type Device struct {
	ID         string `json:"id"`
	Kind       string `json:"kind"`
	TotalBytes int64  `json:"total_bytes"`
	FreeBytes  *int64 `json:"free_bytes"`

	Utilisation  *float64 `json:"utilisation"` // 0 to 1
	TemperatureC *float64 `json:"temperature_c"`
	Note         string   `json:"note"` // why the figures are not of now
}

// Hive is one item of GET /v2/hives.
type Hive struct {
	ID              string            `json:"id"`
	URL             string            `json:"url"`
	Mode            string            `json:"mode"`
	Status          string            `json:"status"`
	Desired         string            `json:"desired"`
	Devices         []Device          `json:"devices"`
	Labels          map[string]string `json:"labels"`
	LastHeartbeatAt string            `json:"last_heartbeat_at"`
}

// Worker is one item of GET /v2/workers.
type Worker struct {
	ID         string `json:"id"`
	Hive       string `json:"hive"`
	Device     string `json:"device"`
	Model      string `json:"model"`
	Engine     string `json:"engine"`
	Desired    string `json:"desired"`
	State      string `json:"state"`
	Slots      int    `json:"slots"`
	Busy       int    `json:"busy"`
	VRAMBytes  int64  `json:"vram_bytes"`
	URL        string `json:"url"`
	LastUsedAt string `json:"last_used_at"`
	KeepUntil  string `json:"keep_until"` // when it leaves if nobody uses it; empty for never, or while it is used
}

// Spawn is the body of POST /v2/workers/spawn.
type Spawn struct {
	Model  string `json:"model"`
	Hive   string `json:"hive,omitempty"`
	Device string `json:"device,omitempty"`
	Slots  int    `json:"slots,omitempty"`
}

// Spawned answers it.
type Spawned struct {
	WorkerID string `json:"worker_id"`
	State    string `json:"state"`
}

// Ready is what GET /ready says.
type Ready struct {
	Status       string `json:"status"`
	Leader       string `json:"leader"`
	AppliedIndex uint64 `json:"applied_index"`
	CommitIndex  uint64 `json:"commit_index"`
}
