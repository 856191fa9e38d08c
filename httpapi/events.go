package httpapi

import (
	"strconv"
	"strings"
	"time"

	"queen-rbee/fsm"
)

// The data of the events a queen makes itself (api page, "Events of a job"); started and
// token come from the hive.
type (
	queuedEvent struct {
		JobID    string `json:"job_id"`
		Position int    `json:"position,omitempty"`
	}
	assignedEvent struct {
		WorkerID string `json:"worker_id"`
		HiveID   string `json:"hive_id"`
		Attempt  uint32 `json:"attempt"`
	}
	retryEvent struct {
		Attempt uint32 `json:"attempt"`
		Reason  string `json:"reason"`
		FromI   uint64 `json:"from_i"`
	}
	endEvent struct {
		FinishReason string    `json:"finish_reason"`
		Usage        usageJSON `json:"usage"`
		QueuedMillis int64     `json:"queued_ms"`
		TTFTMillis   int64     `json:"ttft_ms"`
		TotalMillis  int64     `json:"total_ms"`
	}
	errorEvent struct {
		Code    string `json:"code"`
		Message string `json:"message"`
		Scope   string `json:"scope,omitempty"` // "stream": says nothing of the job
	}
	usageJSON struct {
		Prompt     uint64 `json:"prompt_tokens"`
		Completion uint64 `json:"completion_tokens"`
		Total      uint64 `json:"total_tokens"`
	}
)

func usageOf(u fsm.Usage) usageJSON {
	return usageJSON{u.Prompt, u.Completion, u.Prompt + u.Completion}
}

func endOf(j *fsm.Job) endEvent {
	return endEvent{
		FinishReason: j.FinishReason, Usage: usageOf(j.Usage), TTFTMillis: j.TTFT.Milliseconds(),
		QueuedMillis: max(0, j.Assigned-j.Submitted).Milliseconds(),
		TotalMillis:  max(0, j.Ended-j.Submitted).Milliseconds(),
	}
}

// endError is the failure of an ended job that is not complete.
func endError(j *fsm.Job) *fsm.Error {
	switch {
	case j.Failure != nil && j.Failure.Code != "":
		return &fsm.Error{Code: j.Failure.Code, Message: j.Failure.Message}
	case j.State == fsm.JobCancelled:
		return fsm.Errorf(fsm.CodeCancelled, "the job was cancelled")
	default:
		return fsm.Errorf(fsm.CodeWorkerFailed, "the job failed and its hive did not say why")
	}
}

// position counts the jobs that go first, plus one; 0 when it is more than worth counting.
func position(v *fsm.View, j *fsm.Job) int {
	const worth = 10_000
	n := 0
	for q := range v.Queue(j.Model) {
		if n++; q.ID == j.ID {
			return n
		}
		if n == worth {
			break
		}
	}
	return 0
}

// resumeID is what a client brings in Last-Event-ID: it has records 1 to n of the attempt.
type resumeID struct {
	attempt uint32
	n       uint64
}

func parseResumeID(s string) (resumeID, error) {
	a, n, ok := strings.Cut(s, ".")
	attempt, errA := strconv.ParseUint(a, 10, 32)
	num, errN := strconv.ParseUint(n, 10, 63)
	if !ok || errA != nil || errN != nil {
		return resumeID{}, fsm.Errorf(fsm.CodeInvalid, "Last-Event-ID: %.60q is no id of this stream; ids look like 1.42", s)
	}
	return resumeID{uint32(attempt), num}, nil
}

// lastReason is why the newest retry of a job happened, from its history.
func lastReason(j *fsm.Job) string {
	for i := len(j.History) - 1; i >= 0; i-- {
		if j.History[i].Kind == "retry" {
			return j.History[i].Detail
		}
	}
	return "the attempt was lost"
}

func millisTime(ms fsm.Millis) *time.Time {
	if ms == 0 {
		return nil
	}
	t := time.UnixMilli(ms).UTC()
	return &t
}
