package crowd

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"queen-rbee/cmd/internal/chaos/history"
	"queen-rbee/cmd/internal/e2e/rig"
)

func chatBody(t history.Task) []byte {
	body, err := json.Marshal(map[string]any{
		"model": t.Model, "max_tokens": t.MaxTokens, "seed": t.Seed, "stream": true,
		"messages": []map[string]string{{"role": "user", "content": t.Prompt}},
	})
	if err != nil {
		panic(err) // plain strings and numbers
	}
	return body
}

// readChat reads the OpenAI form of a stream. An id on a line before the data of a frame is
// that of a record without a chunk and comes as a Frame of its own, but for the frame of an
// error, whose id is the last before it; one behind the data makes its record whole.
func readChat(body io.Reader, take func(history.Frame) error) error {
	in := bufio.NewReader(body)
	var f history.Frame
	before := "" // id that may be of a record without a chunk or of an error
	alone := func() error {
		id := before
		if before = ""; id == "" {
			return nil
		}
		return take(history.Frame{ID: id})
	}
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			if errors.Is(err, io.EOF) && (line != "" || f.Data != "") {
				return io.ErrUnexpectedEOF
			}
			return err
		}
		line = strings.TrimSuffix(line, "\n")
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case line == "" && f.Data == "":
		case line == "":
			if f.ID == "" && strings.HasPrefix(f.Data, `{"error":`) {
				f.ID, before = before, ""
			}
			if err = alone(); err == nil {
				err, f = take(f), history.Frame{}
			}
		case name == "" || name == "retry":
		case name == "data" && f.Data == "":
			f.Data = value
		case name == "id" && f.Data != "" && f.ID == "":
			f.ID = value
		case name == "id" && f.Data == "":
			err, before = alone(), value
		default:
			err = &rig.Broken{Err: fmt.Errorf("line %.80q", line)}
		}
		if err != nil {
			return err
		}
	}
}

// chatOrder holds the OpenAI form of a stream of one client, over all its connections, to
// the contract: records 1, 2, 3, ... of one attempt once text was shown, one end, nothing
// behind it.
type chatOrder struct {
	attempt, seq uint64
	text         string // of whole records
	part         string // of the record that is coming
	tokens       int
	final        string // "[DONE]", or the error that ended the job
}

func (o *chatOrder) over() bool { return o.final != "" }

// id is what to bring back: a record that did not come whole is sent again.
func (o *chatOrder) id() string {
	if o.seq == 0 {
		return ""
	}
	return fmt.Sprintf("%d.%d", o.attempt, o.seq)
}

// again forgets what came of a record before a connection broke.
func (o *chatOrder) again() { o.part = "" }

// Read is what an OpenAI reader got of a job.
type Read struct {
	Job  string
	Task history.Task
	Text string
	Done bool // it came to [DONE]
	Over bool // it came to an end
}

// read is what came, up to now.
func (o *chatOrder) read(j job) Read {
	return Read{Job: j.id, Task: j.task, Text: o.text, Done: o.final == "[DONE]", Over: o.over()}
}

// take judges the next frame; gone tells that this stream cannot go on, which says nothing of
// the job.
func (o *chatOrder) take(f history.Frame) (gone bool, err error) {
	if o.over() {
		return false, fmt.Errorf("%q %s came after the end", f.Data, f.ID)
	}
	var d struct {
		Choices []struct {
			Delta struct{ Content string }
		}
		Error *struct{ Code string }
		Scope string
	}
	if f.Data != "" && f.Data != "[DONE]" {
		if err := json.Unmarshal([]byte(f.Data), &d); err != nil {
			return false, fmt.Errorf("chunk %q: %w", f.Data, err)
		}
	}
	if d.Scope == "stream" {
		return true, nil
	}
	for _, c := range d.Choices {
		o.part += c.Delta.Content
	}
	if f.ID != "" {
		if err := o.record(f.ID, d.Error != nil); err != nil {
			return false, err
		}
	}
	switch {
	case f.Data == "[DONE]" && f.ID == "", d.Error != nil && f.ID == "":
		return false, fmt.Errorf("the end %q has no id", f.Data)
	case f.Data == "[DONE]", d.Error != nil:
		o.final = f.Data
	}
	return false, nil
}

// record makes a record whole.
func (o *chatOrder) record(id string, isError bool) error {
	var attempt, seq uint64
	if _, err := fmt.Sscanf(id, "%d.%d", &attempt, &seq); err != nil {
		return fmt.Errorf("id %q: %w", id, err)
	}
	switch {
	case attempt == o.attempt && seq == o.seq+1:
	case attempt > o.attempt && seq == 1 && (o.text == "" || isError):
	default:
		return fmt.Errorf("record %s came after %d.%d and the text %q", id, o.attempt, o.seq, o.text)
	}
	if o.part != "" {
		o.text += o.part
		o.tokens++
	}
	o.attempt, o.seq, o.part = attempt, seq, ""
	return nil
}
