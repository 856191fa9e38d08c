package runlog

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
)

// The rules for putting deltas together: strings are concatenated, save those that name a
// thing (role, id, type, name), of which the last that is not empty counts; tool calls are
// merged by index; arrays of logprobs are concatenated; of all else the last that is not null
// counts. Strings and arrays are joined as JSON text, so that nothing in them is changed and
// characters that an engine has cut in half are whole again.

// fields is a JSON object whose values are kept as they came.
type fields map[string]json.RawMessage

func (f fields) set(key string, v json.RawMessage) { f[key] = v }

// setLast sets key unless v is null and there is a value.
func (f fields) setLast(key string, v json.RawMessage) {
	if _, has := f[key]; !has || !isNull(v) {
		f[key] = v
	}
}

// appendTo writes the object, first the keys named, the others by name.
func (f fields) appendTo(b []byte, first ...string) []byte {
	b = append(b, '{')
	n := 0
	put := func(key string) {
		v, has := f[key]
		if !has {
			return
		}
		if n > 0 {
			b = append(b, ',')
		}
		n++
		b = append(appendKey(b, key), v...)
	}
	for _, key := range first {
		put(key)
	}
	for _, key := range slices.Sorted(maps.Keys(f)) {
		if !slices.Contains(first, key) {
			put(key)
		}
	}
	return append(b, '}')
}

func appendKey(b []byte, key string) []byte {
	k, err := marshal(key)
	if err != nil { // a string always encodes
		k = strconv.AppendQuoteToASCII(nil, key)
	}
	return append(append(b, k...), ':')
}

// delta is an object that grows by deltas.
type delta struct {
	rest fields
	grow map[string]*joined // strings and arrays that are concatenated
}

func newDelta() *delta { return &delta{rest: fields{}, grow: map[string]*joined{}} }

// joined is JSON text between open and close, from pieces.
type joined struct {
	inner []byte
	open  byte
}

func (j *joined) raw() json.RawMessage {
	b := make([]byte, 0, len(j.inner)+2)
	b = append(append(b, j.open), j.inner...)
	if j.open == '[' {
		return append(b, ']')
	}
	return append(b, '"')
}

// put takes one field of a delta. open is the kind of values to concatenate, '"' or '['; the
// last value counts where kinds differ.
func (d *delta) put(key string, v json.RawMessage, open byte) {
	if isNull(v) {
		if d.grow[key] == nil {
			d.rest.setLast(key, v)
		}
		return
	}
	if v[0] != open || open == '"' && names(key) {
		if string(v) == `""` && !isNull(d.rest[key]) {
			return
		}
		delete(d.grow, key)
		d.rest.set(key, v)
		return
	}
	inner := trimSpace(v[1 : len(v)-1])
	if open == '"' {
		inner = v[1 : len(v)-1]
	}
	j := d.grow[key]
	if j == nil {
		j = &joined{open: open}
		d.grow[key] = j
		delete(d.rest, key)
	}
	if open == '[' && len(j.inner) > 0 && len(inner) > 0 {
		j.inner = append(j.inner, ',')
	}
	j.inner = append(j.inner, inner...)
}

// names tells the strings that engines may repeat instead of continuing.
func names(key string) bool {
	return key == "role" || key == "id" || key == "type" || key == "name"
}

func trimSpace(b []byte) []byte {
	for len(b) > 0 && isSpace(b[0]) {
		b = b[1:]
	}
	for len(b) > 0 && isSpace(b[len(b)-1]) {
		b = b[:len(b)-1]
	}
	return b
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

// fields gives the object as it stands.
func (d *delta) fields() fields {
	out := maps.Clone(d.rest)
	for key, j := range d.grow {
		out[key] = j.raw()
	}
	return out
}

// putAll takes all fields of raw if it is an object.
func (d *delta) putAll(raw json.RawMessage, open byte) {
	var in fields
	if json.Unmarshal(raw, &in) != nil {
		return
	}
	for key, v := range in {
		d.put(key, v, open)
	}
}
