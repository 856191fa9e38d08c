package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
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
	fields, err := scanObject(data)
	if err != nil {
		return err
	}
	if err := checkFields(fields, v, strict); err != nil {
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
