package translate

import (
	"bytes"
	"encoding/json"
	"strconv"
)

// rawJSON is a value that is JSON already.
type rawJSON = json.RawMessage

// text is the inside of a JSON string, escaped as it came.
type text []byte

// inside is the text of a JSON string; ok tells whether v is one.
func inside(v rawJSON) (t text, ok bool) {
	if len(v) < 2 || v[0] != '"' {
		return nil, false
	}
	return text(v[1 : len(v)-1]), true
}

// plain is the string that a text means.
func (t text) plain() string {
	var s string
	if json.Unmarshal(t.quoted(), &s) != nil {
		return "" // it came out of a valid string
	}
	return s
}

func (t text) quoted() rawJSON {
	b := make(rawJSON, 0, len(t)+2)
	return append(append(append(b, '"'), t...), '"')
}

func isNull(v rawJSON) bool { return len(v) == 0 || string(v) == "null" }

// object is a JSON object of names and values, in that order. Values are strings, whole numbers,
// booleans, nil, text, or JSON already; what has another type is marshalled.
func object(pairs ...any) rawJSON { return appendObject(nil, pairs...) }

func appendObject(b []byte, pairs ...any) []byte {
	b = append(b, '{')
	for i := 0; i+1 < len(pairs); i += 2 {
		if i > 0 {
			b = append(b, ',')
		}
		name, _ := pairs[i].(string)
		b = append(appendValue(b, name), ':')
		b = appendValue(b, pairs[i+1])
	}
	return append(b, '}')
}

func appendValue(b []byte, v any) []byte {
	switch v := v.(type) {
	case nil:
		return append(b, "null"...)
	case rawJSON:
		if len(v) == 0 {
			return append(b, "null"...)
		}
		return append(b, v...)
	case text:
		return append(append(append(b, '"'), v...), '"')
	case int:
		return strconv.AppendInt(b, int64(v), 10)
	case int64:
		return strconv.AppendInt(b, v, 10)
	case bool:
		return strconv.AppendBool(b, v)
	}
	return append(b, marshal(v)...)
}

// marshal is json.Marshal that leaves <, > and & as they are.
func marshal(v any) rawJSON {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if e.Encode(v) != nil { // only values of this package come here, and they all marshal
		return rawJSON("null")
	}
	return bytes.TrimSuffix(b.Bytes(), []byte{'\n'})
}

// list is a JSON list of values.
func list[T ~[]byte](items []T) rawJSON {
	b := rawJSON{'['}
	for i, v := range items {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, v...)
	}
	return append(b, ']')
}
