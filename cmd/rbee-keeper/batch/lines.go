package batch

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"reflect"
	"slices"
	"unicode/utf8"
)

// MaxLine bounds a line in bytes; queens take bodies of 8 MiB.
const MaxLine = 8 << 20

// line is one task.
type line struct {
	number int             // in the file, from 1
	id     json.RawMessage // a string or a number, nil without one
	body   json.RawMessage // of POST /v2/tasks, the same bytes each time
}

// fields are what a line may hold: those of a task, and an id. The queen checks the values.
type fields struct {
	ID           json.RawMessage   `json:"id"`
	Model        string            `json:"model"`
	Prompt       *string           `json:"prompt"`
	Messages     []json.RawMessage `json:"messages"`
	MaxTokens    *int              `json:"max_tokens"`
	Temperature  *float64          `json:"temperature"`
	TopP         *float64          `json:"top_p"`
	Seed         *int64            `json:"seed"`
	Stop         json.RawMessage   `json:"stop"`
	Stream       *bool             `json:"stream"` // said by those who wrote the line for the API; it changes nothing
	Detach       *bool             `json:"detach"` // as well
	Priority     string            `json:"priority"`
	Session      string            `json:"session"`
	Hive         string            `json:"hive"`
	Deadline     string            `json:"deadline"`
	Labels       map[string]string `json:"labels"`
	OnWorkerLoss string            `json:"on_worker_loss"`
}

// known are the names of fields.
var known = func() map[string]bool {
	names := map[string]bool{}
	for f := range reflect.TypeFor[fields]().Fields() {
		names[f.Tag.Get("json")] = true
	}
	return names
}()

// LineError is a line that is no task.
type LineError struct {
	Line           int
	Field, Problem string // Field "" is the line as a whole
}

func (e *LineError) Error() string {
	if e.Field == "" {
		return fmt.Sprintf("line %d: %s", e.Line, e.Problem)
	}
	return fmt.Sprintf("line %d: %s: %s", e.Line, e.Field, e.Problem)
}

// lines yields the tasks of a file, empty lines left out. defaults stand for fields that a
// line does not hold. A *LineError is yielded in place of its line; one about the length is
// the last, and any other error too.
func lines(in io.Reader, defaults map[string]json.RawMessage) iter.Seq2[line, error] {
	return func(yield func(line, error) bool) {
		scan := bufio.NewScanner(in)
		scan.Buffer(make([]byte, 0, 64<<10), MaxLine+1)
		n := 0
		for scan.Scan() {
			n++
			text := bytes.TrimSpace(scan.Bytes())
			if len(text) == 0 {
				continue
			}
			if l, err := parse(n, text, defaults); !yield(l, err) {
				return
			}
		}
		err := scan.Err()
		if errors.Is(err, bufio.ErrTooLong) {
			err = &LineError{Line: n + 1, Problem: fmt.Sprintf("is over %d MiB", MaxLine>>20)}
		}
		if err != nil {
			yield(line{}, err)
		}
	}
}

func parse(n int, text []byte, defaults map[string]json.RawMessage) (line, error) {
	bad := func(field, format string, args ...any) (line, error) {
		return line{}, &LineError{Line: n, Field: field, Problem: fmt.Sprintf(format, args...)}
	}
	if !utf8.Valid(text) {
		return bad("", "is not UTF-8")
	}
	body := maps.Clone(defaults)
	var own map[string]json.RawMessage
	if err := json.Unmarshal(text, &own); err != nil || own == nil {
		return bad("", "is no JSON object: %s", cause(err))
	}
	for _, name := range slices.Sorted(maps.Keys(own)) {
		if !known[name] {
			return bad("", "%.40q is no field of a task", name)
		}
	}
	var f fields
	if err := json.Unmarshal(text, &f); err != nil {
		var wrong *json.UnmarshalTypeError
		if errors.As(err, &wrong) {
			return bad(wrong.Field, "is a JSON %s, which it may not be", wrong.Value)
		}
		return bad("", "%s", cause(err))
	}
	id := own["id"]
	if len(id) > 0 && id[0] != '"' && id[0] != '-' && (id[0] < '0' || id[0] > '9') {
		return bad("id", "must be a string or a number")
	}
	for name, value := range own {
		if !bytes.Equal(value, []byte("null")) {
			body[name] = value
		}
	}
	delete(body, "id")
	delete(body, "stream")
	body["detach"] = json.RawMessage("true")
	switch {
	case body["model"] == nil, bytes.Equal(body["model"], []byte(`""`)):
		return bad("model", "is missing: name it here or with --model")
	case body["prompt"] == nil && body["messages"] == nil:
		return bad("prompt", "is missing, and there are no messages")
	case body["prompt"] != nil && body["messages"] != nil:
		return bad("prompt", "stands beside messages; only one of them can be asked")
	}
	data, err := json.Marshal(body) // of a map: in order of the names
	if err != nil {
		return line{}, err
	}
	return line{number: n, id: id, body: data}, nil
}

// cause is what encoding/json says, in words for a line.
func cause(err error) string {
	var syntax *json.SyntaxError
	switch {
	case err == nil:
		return "it is null"
	case errors.As(err, &syntax):
		return fmt.Sprintf("%v at byte %d", syntax, syntax.Offset)
	}
	return err.Error()
}
