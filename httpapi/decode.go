package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"queen-rbee/fsm"
)

// decodeStrict reads one JSON object into v; unknown fields, wrong types and trailing bytes
// are errors that name the field.
func decodeStrict(data []byte, v any) error {
	return decodeFields(data, v, true)
}

// decodeOpen is decodeStrict for objects that may say more than is read of them.
func decodeOpen(data []byte, v any) error {
	return decodeFields(data, v, false)
}

func decodeFields(data []byte, v any, strict bool) error {
	fields, _, err := scanObject(data)
	if err != nil {
		return err
	}
	if err := checkFields(fields, fieldsOf(v), strict); err != nil {
		return err
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	if strict {
		dec.DisallowUnknownFields() // further inside
	}
	if err := dec.Decode(v); err != nil {
		return invalidJSON(err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errMore()
	}
	return nil
}

// decodeBare reads one JSON object without decoding what is in it.
func decodeBare(data []byte) ([]field, error) {
	fields, end, err := scanObject(data)
	if err != nil {
		return nil, err
	}
	if !json.Valid(data[:end]) {
		return nil, invalidJSON(json.Unmarshal(data[:end], &struct{}{}))
	}
	if len(bytes.TrimLeft(data[end:], " \t\r\n")) > 0 {
		return nil, errMore()
	}
	return fields, nil
}

func errMore() error {
	return fsm.Errorf(fsm.CodeInvalid, "body: more follows after the JSON object; send just one")
}

// fieldError is what is wrong with one field, or header, of a request. Its message names the
// field; the OpenAI API tells it apart, too.
type fieldError struct {
	field string
	err   *fsm.Error
}

func (e *fieldError) Error() string { return e.err.Error() }
func (e *fieldError) Unwrap() error { return e.err }

// errField refuses a request for one of its fields.
func errField(name, format string, args ...any) error {
	name = fmt.Sprintf("%.100s", name)
	return &fieldError{name, fsm.Errorf(fsm.CodeInvalid, "%s: %s", name, fmt.Sprintf(format, args...))}
}

// invalidJSON names what is wrong in the words of the field.
func invalidJSON(err error) error {
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		field := e.Field
		if field == "" {
			field = "body"
		}
		return errField(field, "is a JSON %s, must be %s", e.Value, wanted(e))
	}
	if e, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fsm.Errorf(fsm.CodeInvalid, "body: not JSON at byte %d: %v", e.Offset, e)
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
	case "float64":
		return "a number that 64 bits can hold"
	default:
		return "a whole number that fits " + e.Type.String()
	}
}
