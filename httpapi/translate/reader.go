package translate

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// reader takes the fields of one object out of a request. The first thing that is wrong anywhere
// in the request is kept in err, so that reading goes on as if nothing were.
type reader struct {
	at  string // its path, with a dot behind; "" for the request itself
	in  map[string]rawJSON
	err **FieldError
}

// read begins with the request.
func read(body []byte) *reader {
	var first *FieldError
	r := &reader{err: &first}
	if err := json.Unmarshal(body, &r.in); err != nil || r.in == nil {
		r.in = map[string]rawJSON{}
		r.fail("body", "must be one JSON object")
	}
	return r
}

func (r *reader) failed() bool { return *r.err != nil }

// fail keeps the first thing that is wrong. name is a field of this object.
func (r *reader) fail(name, format string, args ...any) {
	if *r.err == nil {
		*r.err = refuse(r.at+name, format, args...)
	}
}

// take takes a field out; null is as good as absent.
func (r *reader) take(name string) (rawJSON, bool) {
	v := r.in[name]
	delete(r.in, name)
	return v, !isNull(v)
}

// into decodes a field; want says in words what it must be.
func (r *reader) into(name string, to any, want string) bool {
	v, ok := r.take(name)
	if !ok {
		return false
	}
	if json.Unmarshal(v, to) != nil {
		r.fail(name, "is %.40s, must be %s", v, want)
		return false
	}
	return true
}

func (r *reader) str(name string) (s string, ok bool) {
	ok = r.into(name, &s, "a string")
	return s, ok
}

func (r *reader) must(name string) string {
	s, _ := r.str(name)
	if s == "" {
		r.fail(name, "is missing")
	}
	return s
}

func (r *reader) boolean(name string) (b, ok bool) {
	ok = r.into(name, &b, "true or false")
	return b, ok
}

func (r *reader) whole(name string, low, high int) (n int, ok bool) {
	if !r.into(name, &n, "a whole number") {
		return 0, false
	}
	if n < low || n > high {
		r.fail(name, "is %d, must be %d to %d", n, low, high)
	}
	return n, true
}

func (r *reader) number(name string, low, high float64) (v rawJSON, ok bool) {
	v = r.in[name]
	var f float64
	if !r.into(name, &f, "a number") {
		return nil, false
	}
	if f < low || f > high {
		r.fail(name, "is %g, must be %g to %g", f, low, high)
	}
	return v, true
}

func (r *reader) list(name string) (items []rawJSON, ok bool) {
	ok = r.into(name, &items, "a list")
	return items, ok
}

// object goes into a field that is an object; nil when it is absent or none.
func (r *reader) object(name string) *reader {
	v, ok := r.take(name)
	if !ok {
		return nil
	}
	return r.enter(name, v)
}

// enter reads an object that lies at name.
func (r *reader) enter(name string, v rawJSON) *reader {
	inner := &reader{at: r.at + name + ".", err: r.err}
	if json.Unmarshal(v, &inner.in) != nil || inner.in == nil {
		r.fail(name, "is %.40s, must be an object", v)
		return nil
	}
	return inner
}

// each reads a list of objects.
func (r *reader) each(name string, items []rawJSON, do func(at string, item *reader)) {
	for i, v := range items {
		at := fmt.Sprintf("%s[%d]", name, i)
		if item := r.enter(at, v); item != nil {
			do(at, item)
		}
		if r.failed() {
			return
		}
	}
}

// ignore takes fields out that have no effect on an answer, whatever they say.
func (r *reader) ignore(names ...string) {
	for _, n := range names {
		delete(r.in, n)
	}
}

// only refuses fields unless they ask for nothing, or for one of the values, which are JSON.
func (r *reader) only(name, why string, values ...string) {
	v, ok := r.take(name)
	if ok && !asksNothing(v) && !slices.Contains(values, compact(v)) {
		r.fail(name, "%s", why)
	}
}

// end refuses what was not taken and asks for something: a field nobody knows may mean anything.
func (r *reader) end() {
	for _, name := range slices.Sorted(maps.Keys(r.in)) {
		if !asksNothing(r.in[name]) {
			r.fail(name, "is not known here; leave it out")
		}
	}
}

// asksNothing tells the values that many clients send always.
func asksNothing(v rawJSON) bool {
	switch compact(v) {
	case "", "null", "false", `""`, "[]", "{}":
		return true
	}
	return false
}

func compact(v rawJSON) string {
	var b bytes.Buffer
	if json.Compact(&b, v) != nil {
		return string(v)
	}
	return b.String()
}
