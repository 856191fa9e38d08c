package httpapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"iter"
	"strconv"
)

// shape tells what is wrong with the value of a field: engines take wrong types in silence. It
// gets valid JSON other than null, which is right for every field: as if it were not there.
type shape func(name string, raw []byte) error

// errShape refuses a value for what it should be.
func errShape(name string, raw []byte, must string) error {
	return errField(name, "is %.40s, must be %s", raw, must)
}

// A value's kind is told by its first byte.
const digits = "-0123456789"

// kind is a value that begins with one of some bytes.
func kind(first, must string) shape {
	return func(name string, raw []byte) error {
		if bytes.IndexByte([]byte(first), raw[0]) < 0 {
			return errShape(name, raw, must)
		}
		return nil
	}
}

var (
	aBool    = kind("tf", "true or false")
	aString  = kind(`"`, "a string")
	anObject = kind("{", "an object")
)

// aWhole is a whole number within bounds.
func aWhole(least, most int64) shape {
	return func(name string, raw []byte) error {
		n, err := strconv.ParseInt(string(raw), 10, 64)
		if err != nil || n < least || n > most {
			return errShape(name, raw, fmt.Sprintf("a whole number from %d to %d", least, most))
		}
		return nil
	}
}

// aNumber is one within bounds.
func aNumber(least, most float64) shape {
	return func(name string, raw []byte) error {
		n, err := strconv.ParseFloat(string(raw), 64)
		if err != nil || n < least || n > most {
			return errShape(name, raw, fmt.Sprintf("a number from %g to %g", least, most))
		}
		return nil
	}
}

// listOf is a list of some elements of one shape.
func listOf(least, most int, each shape) shape {
	return func(name string, raw []byte) error {
		n := 0
		if raw[0] != '[' {
			return errShape(name, raw, "a list")
		}
		for e := range elements(raw) {
			if n++; n > most {
				break // counting them would be all that is left to do
			}
			if err := each.of(fmt.Sprintf("%s[%d]", name, n-1), e, true); err != nil {
				return err
			}
		}
		switch {
		case n < least:
			return errField(name, "is empty, must hold %d or more", least)
		case n > most:
			return errField(name, "must hold at most %d", most)
		}
		return nil
	}
}

// objectOf is an object in which some fields have a shape; the needed ones must be there.
func objectOf(fields map[string]shape, needed ...string) shape {
	return func(name string, raw []byte) error {
		if raw[0] != '{' {
			return errShape(name, raw, "an object")
		}
		inside, _, err := scanObject(raw)
		if err != nil {
			return err
		}
		for _, f := range inside {
			if s := fields[f.name]; s != nil {
				if err := s.of(name+"."+f.name, f.raw, false); err != nil {
					return err
				}
			}
		}
		for _, n := range needed {
			if !given(inside, n) {
				return errField(name, "must have a field %s", n)
			}
		}
		return nil
	}
}

// either is the one shape or the other, by the value's first byte.
func either(must string, by map[byte]shape) shape {
	return func(name string, raw []byte) error {
		if s := by[raw[0]]; s != nil {
			return s(name, raw)
		}
		return errShape(name, raw, must)
	}
}

// of applies the shape; null is right unless it is needed.
func (s shape) of(name string, raw []byte, needed bool) error {
	if !isNull(raw) {
		return s(name, raw)
	}
	if needed {
		return errField(name, "must not be null")
	}
	return nil
}

func isNull(raw []byte) bool { return len(raw) == 0 || raw[0] == 'n' }

// given tells whether an object has a field that is not null.
func given(fields []field, name string) bool {
	for _, f := range fields {
		if f.name == name && !isNull(f.raw) {
			return true
		}
	}
	return false
}

// aName is a string that is not empty.
func aName(name string, raw []byte) error {
	if raw[0] != '"' || len(raw) == 2 {
		return errShape(name, raw, "a string that is not empty")
	}
	return nil
}

// elements are the elements of a valid list, without copies.
func elements(raw []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		depth, begin := 0, 1
		for i := 0; i < len(raw); i++ {
			switch raw[i] {
			case '{', '[':
				depth++
				continue
			case '"':
				i = stringEnd(raw, i+1) - 1
				continue
			case '}', ']':
				depth--
			case ',':
			default:
				continue
			}
			if depth > 1 || depth == 1 && raw[i] != ',' {
				continue
			}
			e := bytes.Trim(raw[begin:i], " \t\r\n")
			if begin = i + 1; len(e) > 0 && !yield(e) {
				return
			}
		}
	}
}

// unquoted is a string's text; what is none has none.
func unquoted(raw []byte) (s string) {
	_ = json.Unmarshal(raw, &s) // checked before
	return s
}
