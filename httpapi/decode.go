package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"time"

	"queen-rbee/fsm"
)

// decodeStrict reads one JSON object into v; unknown fields, wrong types and trailing bytes
// are errors that name the field. An empty body leaves v as it is when it may be empty.
func decodeStrict(data []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return invalidJSON(err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return fsm.Errorf(fsm.CodeInvalid, "body: more follows after the JSON object; send just one")
	}
	return nil
}

// invalidJSON names what is wrong in the words of the field.
func invalidJSON(err error) error {
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		field := e.Field
		if field == "" {
			field = "body"
		}
		return fsm.Errorf(fsm.CodeInvalid, "%s: is a JSON %s, must be %s", field, e.Value, wanted(e))
	}
	if e, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fsm.Errorf(fsm.CodeInvalid, "body: not JSON at byte %d: %v", e.Offset, e)
	}
	if errors.Is(err, io.EOF) {
		return fsm.Errorf(fsm.CodeInvalid, "body: is empty; a JSON object is needed")
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return fsm.Errorf(fsm.CodeInvalid, "body: not JSON: it ends in the middle")
	}
	if e, ok := errors.AsType[*fsm.Error](err); ok {
		return e
	}
	return fsm.Errorf(fsm.CodeInvalid, "body: %v", err)
}

func wanted(e *json.UnmarshalTypeError) string {
	switch e.Type.Kind().String() {
	case "string":
		return "a string"
	case "bool":
		return "true or false"
	case "slice", "array":
		return "a list"
	case "struct", "map":
		return "an object"
	default:
		return "a number of type " + e.Type.String()
	}
}

// duration is a JSON duration like "30s".
type duration time.Duration

// UnmarshalJSON implements json.Unmarshaler.
func (d *duration) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return fsm.Errorf(fsm.CodeInvalid, "duration %.40s: write it as a string like \"30s\"", b)
	}
	v, err := time.ParseDuration(s)
	if err != nil || v < 0 {
		return fsm.Errorf(fsm.CodeInvalid, "duration %.40q: write it like \"30s\" or \"5m\", not negative", s)
	}
	*d = duration(v)
	return nil
}
