package history

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"
)

// Kind is what a client called.
type Kind string

// Kinds of operations. A submission whose client reads on over the same connection is two:
// Submit, which returns with the headers of the answer, and Stream.
const (
	Submit  Kind = "submit"  // POST /v2/tasks, detached or streamed; not "stream":false
	Show    Kind = "show"    // GET /v2/jobs/{id}, local or strong
	Cancel  Kind = "cancel"  // DELETE /v2/jobs/{id}
	Stream  Kind = "stream"  // one connection that reads events, of a submission or of /v2/jobs/{id}/events
	Result  Kind = "result"  // GET /v2/jobs/{id}/result
	List    Kind = "list"    // GET /v2/jobs, all pages of it
	Workers Kind = "workers" // GET /v2/workers
	Hash    Kind = "hash"    // GET /v2/cluster/hash
)

// Outcome is what a client knows of its call once it is over.
type Outcome string

// Outcomes. An operation that has not returned has none and counts as Unknown.
const (
	OK      Outcome = "ok"      // answered 2xx
	Refused Outcome = "refused" // cleanly: whatever was asked for was not done and never will be
	Unknown Outcome = "unknown" // it may have been done, or may still be: time-out, lost connection, 503 unknown_outcome
)

// Op is one operation of one client. The first group of fields is set when it begins, Answer
// when it ends. Frames come between.
type Op struct {
	ID     int    `json:"id"` // its place in the history, from 1
	Client string `json:"client"`
	Kind   Kind   `json:"kind"`
	Queen  string `json:"queen"`         // asked
	Job    string `json:"job,omitempty"` // asked for; what a submission is told is in Answer.JobID

	Key      string `json:"key,omitempty"`      // Submit: Idempotency-Key
	Attached bool   `json:"attached,omitempty"` // Submit: without detach; given up when no client is left
	Task     *Task  `json:"task,omitempty"`     // Submit
	Strong   bool   `json:"strong,omitempty"`   // Show, List, Workers: ?consistency=strong
	Filter   string `json:"filter,omitempty"`   // List: what was asked for, as state=running; "" for all jobs
	LastID   string `json:"last_id,omitempty"`  // Stream: Last-Event-ID, "" from the beginning

	Start int64 `json:"start"` // ns on the recorder's clock
	End   int64 `json:"end"`   // 0: has not returned

	Answer
	Frames []Frame `json:"frames,omitempty"` // Stream: every event, in order
}

// Task is what was asked of the engine: all that its answer depends on.
type Task struct {
	Model        string `json:"model"`
	Prompt       string `json:"prompt"`
	MaxTokens    int    `json:"max_tokens"`
	Seed         int64  `json:"seed"`
	OnWorkerLoss string `json:"on_worker_loss,omitempty"`
}

// Answer is how an operation ended, and what it told.
type Answer struct {
	Outcome Outcome `json:"outcome,omitempty"`
	Status  int     `json:"status,omitempty"` // of HTTP, 0 when there was none
	Code    string  `json:"code,omitempty"`   // of the problem, or what broke the connection
	Index   uint64  `json:"index,omitempty"`  // X-Rbee-Index

	JobID   string   `json:"job_id,omitempty"`  // X-Rbee-Job-Id; with Unknown the job that may exist
	Row     *Row     `json:"row,omitempty"`     // Show, Cancel that was answered with the job
	Rows    []Row    `json:"rows,omitempty"`    // List
	Pages   int      `json:"pages,omitempty"`   // List: how many it took; with 1 all rows are of one state
	Workers []Worker `json:"workers,omitempty"` // Workers, all of one state
	Text    string   `json:"text,omitempty"`    // Result
	Reason  string   `json:"reason,omitempty"`  // Result: finish_reason
	Hash    string   `json:"hash,omitempty"`    // Hash, of the state at HashAt
	HashAt  uint64   `json:"hash_at,omitempty"`
	Epoch   string   `json:"epoch,omitempty"` // Hash: the state's epoch, if it was asked for
}

// Row is a job as the API shows it; it decodes an item of /v2/jobs.
type Row struct {
	ID           string `json:"id"`
	State        string `json:"state"`
	Attempt      uint32 `json:"attempt"`
	Worker       string `json:"worker,omitempty"`
	Ending       string `json:"ending,omitempty"`
	FinishReason string `json:"finish_reason,omitempty"`
	Error        *struct {
		Code string `json:"code"`
	} `json:"error,omitempty"`
	Usage *struct {
		CompletionTokens int `json:"completion_tokens"`
	} `json:"usage,omitempty"`
}

// Ended tells a terminal state.
func (r Row) Ended() bool {
	return r.State == "complete" || r.State == "failed" || r.State == "cancelled"
}

// Worker decodes an item of /v2/workers.
type Worker struct {
	ID    string `json:"id"`
	State string `json:"state"`
	Slots int    `json:"slots"`
	Busy  int    `json:"busy"`
}

// Asked is the job that an operation is about, as far as it knew or was told.
func (o *Op) Asked() string {
	if o.Job != "" {
		return o.Job
	}
	return o.JobID
}

// Result is the outcome, Unknown for an operation that has not returned.
func (o *Op) result() Outcome {
	if o.Outcome == "" {
		return Unknown
	}
	return o.Outcome
}

// String is the operation in one line, its frames counted.
func (o *Op) String() string {
	var b strings.Builder
	end := "..."
	if o.End != 0 {
		end = fmt.Sprintf("%.3fs", time.Duration(o.End).Seconds())
	}
	fmt.Fprintf(&b, "#%d %.3fs-%s %s at %s: %s", o.ID, time.Duration(o.Start).Seconds(), end, o.Client, o.Queen, o.Kind)
	for _, f := range []struct {
		name, value string
	}{{"job", o.Job}, {"key", o.Key}, {"after", o.LastID}} {
		if f.value != "" {
			fmt.Fprintf(&b, " %s %s", f.name, f.value)
		}
	}
	if o.Strong {
		b.WriteString(" strong")
	}
	fmt.Fprintf(&b, " -> %s", o.result())
	if o.Status != 0 || o.Code != "" {
		fmt.Fprintf(&b, " %d %s", o.Status, o.Code)
	}
	if o.JobID != "" && o.JobID != o.Job {
		fmt.Fprintf(&b, " job %s", o.JobID)
	}
	if o.Row != nil {
		fmt.Fprintf(&b, " %s attempt %d", o.Row.State, o.Row.Attempt)
	}
	if n := len(o.Frames); n > 0 {
		last := o.Frames[n-1]
		fmt.Fprintf(&b, " %d frames, the last %s %s %.100s", n, last.Event, last.ID, last.Data)
	}
	return b.String()
}

// Failed is the Answer to a call that got no whole answer. A connection that was never made
// carried nothing, so that is a refusal.
func Failed(err error) Answer {
	a := Answer{Outcome: Unknown, Code: "lost: " + err.Error()}
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		a = Answer{Outcome: Refused, Code: "unreachable"}
	}
	return a
}

// Answered is the Answer that a status, headers and the body of a problem make: 2xx is OK,
// and only what the API calls a refusal is one. Whoever calls adds what the body told.
func Answered(status int, header http.Header, body []byte) Answer {
	a := Answer{Outcome: OK, Status: status, JobID: header.Get("X-Rbee-Job-Id")}
	_, _ = fmt.Sscan(header.Get("X-Rbee-Index"), &a.Index)
	if status/100 == 2 {
		return a
	}
	var problem struct{ Code string }
	if json.Unmarshal(body, &problem) == nil {
		a.Code = problem.Code
	}
	a.Outcome = Refused
	if status >= 500 && (status != http.StatusServiceUnavailable || a.Code == "" || a.Code == "unknown_outcome") {
		a.Outcome = Unknown
	}
	return a
}
