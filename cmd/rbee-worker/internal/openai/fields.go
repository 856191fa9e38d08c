package openai

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
)

// fields reads an object's members one by one and keeps the first thing that is wrong, so
// that decoding reads as a list. A null member is an absent one, as in the OpenAI API.
type fields struct {
	at      string // path of the object, with a dot behind it, or empty
	members map[string]json.RawMessage
	err     *Error
}

func readObject(raw []byte, at, what string) (*fields, *Error) {
	f := &fields{at: at}
	if at != "" {
		f.at = at + "."
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	if err := dec.Decode(&f.members); err != nil {
		return nil, malformed(err, at, what)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, Invalid(at, "%s has something after its closing brace; send one JSON object", what)
	}
	if f.members == nil {
		return nil, Invalid(at, "%s is null; send a JSON object", what)
	}
	return f, nil
}

func malformed(err error, at, what string) *Error {
	var wrongType *json.UnmarshalTypeError
	switch {
	case errors.Is(err, io.EOF):
		return Invalid(at, "%s is empty; send a JSON object", what)
	case errors.As(err, &wrongType):
		return Invalid(at, "%s must be a JSON object, not %s", what, wrongType.Value)
	}
	return Invalid(at, "%s is not JSON: %v", what, err)
}

// get returns a member, or nil when it is absent or null, or when something was wrong before.
func (f *fields) get(name string) json.RawMessage {
	raw := f.members[name]
	if f.err != nil || bytes.Equal(raw, []byte("null")) {
		return nil
	}
	return raw
}

// fail notes the first thing that is wrong.
func (f *fields) fail(name, format string, args ...any) {
	if f.err == nil {
		f.err = Invalid(f.at+name, f.at+name+" "+format, args...)
	}
}

// into decodes a member; want says in words what it must be.
func (f *fields) into(name string, v any, want string) bool {
	raw := f.get(name)
	if raw == nil {
		return false
	}
	if err := json.Unmarshal(raw, v); err != nil {
		f.fail(name, "must be %s", want)
		return false
	}
	return true
}

func (f *fields) boolean(name string) bool {
	var v bool
	f.into(name, &v, "true or false")
	return v
}

func (f *fields) text(name string) (string, bool) {
	var v string
	ok := f.into(name, &v, "a string")
	return v, ok
}

func (f *fields) whole(name string, low, high int64) (int64, bool) {
	var v int64
	if !f.into(name, &v, "a whole number") {
		return 0, false
	}
	if v < low || v > high {
		f.fail(name, "is %d; it must be from %d to %d", v, low, high)
		return 0, false
	}
	return v, true
}

func (f *fields) number(name string, low, high, otherwise float64) float64 {
	v := otherwise
	if !f.into(name, &v, "a number") {
		return otherwise
	}
	if v < low || v > high {
		f.fail(name, "is %g; it must be from %g to %g", v, low, high)
	}
	return v
}

// kind is the first byte of a member: one of {["tfn-0123456789, or 0 when it is absent.
func (f *fields) kind(name string) byte {
	raw := bytes.TrimSpace(f.get(name))
	if len(raw) == 0 {
		return 0
	}
	return raw[0]
}
