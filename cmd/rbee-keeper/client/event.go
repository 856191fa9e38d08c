package client

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// Kinds of events, in the order a job meets them.
const (
	Queued   = "queued"
	Assigned = "assigned"
	Started  = "started"
	Token    = "token"
	Retry    = "retry"
	End      = "end"
	Failure  = "error"
)

// EventID names a record of a run: attempt A, number N. It is A.N on the wire.
type EventID struct {
	Attempt uint32
	Seq     uint64
}

func (id EventID) String() string { return fmt.Sprintf("%d.%d", id.Attempt, id.Seq) }

// IsZero is true for the id of events that have none.
func (id EventID) IsZero() bool { return id == EventID{} }

// ParseEventID reads "A.N".
func ParseEventID(s string) (EventID, error) {
	a, n, ok := strings.Cut(s, ".")
	attempt, errA := strconv.ParseUint(a, 10, 32)
	seq, errN := strconv.ParseUint(n, 10, 64)
	if !ok || errA != nil || errN != nil {
		return EventID{}, fmt.Errorf("%q is not an event id (ATTEMPT.NUMBER)", s)
	}
	return EventID{uint32(attempt), seq}, nil
}

// Event is one event of a job. Data holds the fields of its kind; Raw is its JSON.
type Event struct {
	Kind string
	ID   EventID
	Data EventData
	Raw  json.RawMessage
}

// Final is true for the one event that ends a job.
func (e Event) Final() bool { return e.Kind == End || e.Kind == Failure }

// EventData has the fields of all kinds of events; those of other kinds are zero.
type EventData struct {
	JobID    string `json:"job_id"`   // queued
	Position int    `json:"position"` // queued

	WorkerID string `json:"worker_id"` // assigned
	HiveID   string `json:"hive_id"`   // assigned
	Attempt  uint32 `json:"attempt"`   // assigned, retry

	Model string `json:"model"` // started

	T string `json:"t"` // token: its text, may be empty
	I uint64 `json:"i"` // token: its index in the text, from 0

	Reason string `json:"reason"` // retry
	FromI  uint64 `json:"from_i"` // retry: tokens before this index stay

	FinishReason string `json:"finish_reason"` // end
	Usage        Usage  `json:"usage"`         // end
	QueuedMS     int64  `json:"queued_ms"`     // end
	TTFTMS       int64  `json:"ttft_ms"`       // end
	TotalMS      int64  `json:"total_ms"`      // end

	Code    string `json:"code"`    // error
	Message string `json:"message"` // error
	Scope   string `json:"scope"`   // error: "stream" when it says nothing of the job
}

// decodeFrame makes an Event of a frame. An id alone (a record without a chunk) is an event
// of kind "".
func decodeFrame(f frame) (Event, error) {
	ev := Event{Kind: f.event, Raw: f.data}
	if f.hasID && f.id != "" {
		id, err := ParseEventID(f.id)
		if err != nil {
			return ev, &Violation{Problem: err.Error()}
		}
		ev.ID = id
	}
	if !f.hasData {
		ev.Kind = ""
		return ev, nil
	}
	if ev.Kind == "" {
		ev.Kind = "message" // what SSE calls an event without a name
	}
	if err := json.Unmarshal(f.data, &ev.Data); err != nil {
		return ev, &Violation{Problem: fmt.Sprintf("event %q holds no JSON object: %v", f.event, err)}
	}
	return ev, nil
}

// Transcript folds events into the text of a job.
type Transcript struct {
	pieces []string
	// Restarts counts the retries that took back text already shown.
	Restarts int
}

// Add takes the next event.
func (t *Transcript) Add(ev Event) {
	switch ev.Kind {
	case Token:
		t.pieces = append(t.pieces, ev.Data.T)
	case Retry:
		if n := ev.Data.FromI; n < uint64(len(t.pieces)) {
			t.pieces = t.pieces[:n]
			t.Restarts++
		}
	}
}

// Text is what the events so far make.
func (t *Transcript) Text() string { return strings.Join(t.pieces, "") }

// Tokens is how many token events make it.
func (t *Transcript) Tokens() int { return len(t.pieces) }
