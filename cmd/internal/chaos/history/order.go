package history

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// Frame is one event as it came, comments left out.
type Frame struct {
	Event string `json:"event,omitempty"`
	ID    string `json:"id,omitempty"`
	Data  string `json:"data,omitempty"`
	At    int64  `json:"at,omitempty"` // ns on the recorder's clock
}

// Final tells an event that ends the job's stream (not one of the stream alone).
func (f Frame) Final() bool {
	return f.Event == "end" || f.Event == "error" && !strings.Contains(f.Data, `"scope":"stream"`)
}

// Order holds a stream of one client, over all its connections, to the contract: numbers
// 1, 2, 3, ... of each attempt without gap or repeat, no two attempts mixed without a word,
// exactly one end. It is stricter than a client need be: a record that comes twice is wrong.
type Order struct {
	attempt, seq uint64
	announced    uint64 // attempt named by a retry
	pieces       []string
	final        *Frame
	restarts     int
}

// Text is what the tokens of the attempt that is being read make.
func (o *Order) Text() string { return strings.Join(o.pieces, "") }

// Tokens is how many there are.
func (o *Order) Tokens() int { return len(o.pieces) }

// Attempt is the one whose record came last.
func (o *Order) Attempt() uint64 { return o.attempt }

// Restarts counts the times that shown text was taken back by a retry.
func (o *Order) Restarts() int { return o.restarts }

// Final is the end of the job, nil before it has come.
func (o *Order) Final() *Frame { return o.final }

// Take judges the next frame: an error is a breach of the contract. An error of the stream
// alone is one too; who allows for it does not hand it on.
func (o *Order) Take(f Frame) error {
	if o.final != nil {
		return fmt.Errorf("%q %s came after the end (%s %s)", f.Event, f.ID, o.final.Event, o.final.ID)
	}
	switch f.Event {
	case "queued", "assigned":
		return o.bare(f)
	case "retry":
		return o.retry(f)
	case "started", "token", "":
		return o.record(f)
	case "end", "error":
		if !f.Final() {
			return fmt.Errorf("the stream alone failed: %s", f.Data)
		}
		if err := o.record(f); err != nil {
			return err
		}
		o.final = &f
		return nil
	}
	return fmt.Errorf("%q is no event of a job", f.Event)
}

func (o *Order) bare(f Frame) error {
	if f.ID != "" {
		return fmt.Errorf("%q carries the id %s; it is not a record", f.Event, f.ID)
	}
	return nil
}

func (o *Order) retry(f Frame) error {
	var d struct {
		Attempt uint64 `json:"attempt"`
		FromI   uint64 `json:"from_i"`
	}
	if err := json.Unmarshal([]byte(f.Data), &d); err != nil {
		return fmt.Errorf("retry: %w", err)
	}
	if d.Attempt <= o.attempt || d.FromI != 0 {
		return fmt.Errorf("retry %s while attempt %d is being read", f.Data, o.attempt)
	}
	o.announced = d.Attempt
	return o.bare(f)
}

func (o *Order) record(f Frame) error {
	attempt, seq, err := parseID(f.ID)
	if err != nil {
		return fmt.Errorf("%q: %w", f.Event, err)
	}
	switch {
	case attempt == o.attempt && seq == o.seq+1:
	case attempt > o.attempt && seq == 1:
		if err := o.begin(f, attempt); err != nil {
			return err
		}
	default:
		return fmt.Errorf("%q %s came after %d.%d", f.Event, f.ID, o.attempt, o.seq)
	}
	o.attempt, o.seq = attempt, seq
	if f.Event == "started" && seq != 1 {
		return fmt.Errorf("started has the id %s", f.ID)
	}
	if f.Event != "token" {
		return nil
	}
	var d struct {
		T *string `json:"t"`
		I *int    `json:"i"`
	}
	if err := json.Unmarshal([]byte(f.Data), &d); err != nil || d.T == nil || d.I == nil {
		return fmt.Errorf("token %s holds %q", f.ID, f.Data)
	}
	if *d.I != len(o.pieces) {
		return fmt.Errorf("token %s has index %d, want %d", f.ID, *d.I, len(o.pieces))
	}
	o.pieces = append(o.pieces, *d.T)
	return nil
}

// begin takes back what an earlier attempt has shown; a retry must have said so. Only an
// error may stand alone in an attempt that never spoke.
func (o *Order) begin(f Frame, attempt uint64) error {
	if f.Event == "error" {
		return nil
	}
	if len(o.pieces) > 0 {
		if o.announced != attempt {
			return fmt.Errorf("%q %s begins an attempt after text was shown, and no retry said so", f.Event, f.ID)
		}
		o.restarts++
	}
	o.pieces = nil
	return nil
}

func parseID(id string) (attempt, seq uint64, err error) {
	a, n, ok := strings.Cut(id, ".")
	attempt, errA := strconv.ParseUint(a, 10, 32)
	seq, errN := strconv.ParseUint(n, 10, 63)
	if !ok || errA != nil || errN != nil {
		return 0, 0, fmt.Errorf("id %q is not ATTEMPT.NUMBER", id)
	}
	return attempt, seq, nil
}
