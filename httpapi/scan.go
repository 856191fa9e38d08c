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

// field is one of an object's outermost fields.
type field struct {
	name       string
	raw        []byte // its value as it came, without blanks around it
	begin, end int    // from its name's quote to behind its value
}

// scanObject looks at a body before it is decoded, for what encoding/json takes and nobody else
// should: text that is not UTF-8, nesting without end. It gives the outermost object's fields,
// whose places mean nothing unless data[:end] is valid JSON; end is the index behind the object.
func scanObject(data []byte) (fields []field, end int, err error) {
	if err := scanBegin(data); err != nil {
		return nil, 0, err
	}
	var f field
	depth, value := 0, -1      // where the value of f begins
	key, named := false, false // a string that begins now is a field's name; f has its name
	closeAt := func(i int) {
		if value >= 0 {
			f.raw = bytes.Trim(data[value:i], " \t\r\n")
			f.end = value + len(bytes.TrimRight(data[value:i], " \t\r\n"))
			fields, value = append(fields, f), -1
		}
	}
	for i := 0; i < len(data); i++ {
		switch data[i] {
		case '{', '[':
			if depth++; depth > maxDepth {
				return nil, 0, fsm.Errorf(fsm.CodeInvalid, "body: is nested deeper than %d levels at byte %d", maxDepth, i)
			}
			key = depth == 1
		case '}', ']':
			if depth--; depth == 0 {
				closeAt(i)
				return fields, i + 1, nil // what follows is the decoder's to refuse
			}
		case ',':
			if key = depth == 1; key {
				closeAt(i)
			}
		case ':':
			if named {
				value, named = i+1, false
			}
		case '"':
			end := stringEnd(data, i+1)
			if key {
				if f = (field{name: fieldName(data[i:end]), begin: i}); len(fields) == maxFields {
					return nil, 0, fsm.Errorf(fsm.CodeInvalid, "body: has more than %d fields", maxFields)
				}
			}
			i, key, named = end-1, false, key
		}
	}
	if depth > 0 {
		return nil, 0, fsm.Errorf(fsm.CodeInvalid, "body: not JSON: it ends in the middle")
	}
	return fields, len(data), nil // no object at all
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

// checkFields refuses fields that are given twice, of which an engine may read the other one, and
// those that a decoder would take for another of the known ones although an engine would not,
// being written otherwise; with strict also those that are not known.
func checkFields(fields []field, known []string, strict bool) error {
	seen := make(map[string]bool, len(known))
	for _, f := range fields {
		if slices.Contains(known, f.name) {
			if seen[f.name] {
				return errField(f.name, "is given twice")
			}
			seen[f.name] = true
			continue
		}
		if i := slices.IndexFunc(known, func(k string) bool { return strings.EqualFold(k, f.name) }); i >= 0 {
			return errField(f.name, "write it as %s", known[i])
		}
		if strict {
			return errField(f.name, "is no field of this request; there are %s", strings.Join(known, ", "))
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
