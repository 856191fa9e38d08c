package httpapi

import (
	"bytes"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"

	"queen-rbee/fsm"
)

// Bounds of a body's shape.
const (
	maxDepth  = 256  // levels of objects and lists; schemas of tools need some
	maxFields = 1024 // of the outermost object
)

// scanObject looks at a body before it is decoded, for what encoding/json takes and nobody else
// should: text that is not UTF-8, nesting without end, a field given twice, of which an engine
// may read the other one. It gives the outermost object's fields; what is wrong with the JSON
// itself is left to the decoder, but for the two ends.
func scanObject(data []byte) (fields []string, err error) {
	if err := scanBegin(data); err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	depth, key := 0, false // a string that begins now is a field's name
	for i := 0; i < len(data); i++ {
		switch data[i] {
		case '{', '[':
			if depth++; depth > maxDepth {
				return nil, fsm.Errorf(fsm.CodeInvalid, "body: is nested deeper than %d levels at byte %d", maxDepth, i)
			}
			key = depth == 1
		case '}', ']':
			if depth--; depth == 0 {
				return fields, nil // what follows is the decoder's to refuse
			}
		case ',':
			key = depth == 1
		case '"':
			end := stringEnd(data, i+1)
			if key {
				name := fieldName(data[i:end])
				if seen[name] {
					return nil, fsm.Errorf(fsm.CodeInvalid, "%.100s: is given twice", name)
				}
				if seen[name] = true; len(seen) > maxFields {
					return nil, fsm.Errorf(fsm.CodeInvalid, "body: has more than %d fields", maxFields)
				}
				fields = append(fields, name)
			}
			i, key = end-1, false
		}
	}
	if depth > 0 {
		return nil, fsm.Errorf(fsm.CodeInvalid, "body: not JSON: it ends in the middle")
	}
	return fields, nil // no object at all
}

// scanBegin tells a body that cannot be a JSON object from its encoding and its first bytes.
func scanBegin(data []byte) error {
	switch {
	case bytes.HasPrefix(data, []byte("\xef\xbb\xbf")):
		return fsm.Errorf(fsm.CodeInvalid, "body: begins with a byte order mark; send UTF-8 without one")
	case bytes.HasPrefix(data, []byte("\xff\xfe")), bytes.HasPrefix(data, []byte("\xfe\xff")):
		return fsm.Errorf(fsm.CodeInvalid, "body: is UTF-16; send UTF-8")
	case !utf8.Valid(data):
		return fsm.Errorf(fsm.CodeInvalid, "body: byte %d is not UTF-8", invalidAt(data))
	}
	switch begin := bytes.TrimLeft(data, " \t\r\n"); {
	case len(begin) == 0:
		return fsm.Errorf(fsm.CodeInvalid, "body: is empty; a JSON object is needed")
	case begin[0] != '{' && json.Valid(data):
		return fsm.Errorf(fsm.CodeInvalid, "body: is %.40q, must be a JSON object", begin)
	}
	return nil
}

func invalidAt(data []byte) int {
	for i := 0; i < len(data); {
		r, n := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return len(data)
}

// stringEnd is the index behind the closing quote of a string whose text begins at i.
func stringEnd(data []byte, i int) int {
	for ; i < len(data); i++ {
		switch data[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(data)
}

// fieldName is a quoted name as text; one that is no string the decoder will complain about.
func fieldName(quoted []byte) string {
	var name string
	if json.Unmarshal(quoted, &name) != nil {
		return string(quoted)
	}
	return name
}

// checkFields refuses fields that the decoder would take for another of v's although an engine
// would not, being written otherwise; with strict also those that v does not have.
func checkFields(fields []string, v any, strict bool) error {
	known := fieldsOf(v)
	for _, f := range fields {
		if slices.Contains(known, f) {
			continue
		}
		if i := slices.IndexFunc(known, func(k string) bool { return strings.EqualFold(k, f) }); i >= 0 {
			return fsm.Errorf(fsm.CodeInvalid, "%.100s: write it as %s", f, known[i])
		}
		if strict {
			return fsm.Errorf(fsm.CodeInvalid, "%.100s: is no field of this request; there are %s", f, strings.Join(known, ", "))
		}
	}
	return nil
}

// fieldsOf are the JSON names of a struct's fields.
func fieldsOf(v any) (names []string) {
	t := reflect.TypeOf(v).Elem()
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		if name != "" && name != "-" {
			names = append(names, name)
		}
	}
	return names
}
