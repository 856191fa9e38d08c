package catalog

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// MaxFile bounds a file in bytes.
const MaxFile = 4 << 20

// Entry is a model as a file describes it. Fields holds what differs from the defaults by its
// names, as PUT /v2/models/{ref} takes it.
type Entry struct {
	Ref    string
	Line   int
	Fields map[string]any
}

// Error is what is wrong with a file, and where.
type Error struct {
	Line    int // 0: nowhere in particular
	Problem string
}

func (e *Error) Error() string {
	if e.Line == 0 {
		return e.Problem
	}
	return fmt.Sprintf("line %d: %s", e.Line, e.Problem)
}

func errAt(n *yaml.Node, format string, args ...any) error {
	return &Error{Line: n.Line, Problem: fmt.Sprintf(format, args...)}
}

// Read reads a file. Its errors are *Error.
func Read(data []byte) ([]Entry, error) {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, more yaml.Node
	if err := dec.Decode(&doc); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, &Error{Problem: "the file is empty; it needs models:"}
		}
		return nil, &Error{Problem: strings.TrimPrefix(err.Error(), "yaml: ")}
	}
	if err := dec.Decode(&more); !errors.Is(err, io.EOF) {
		return nil, &Error{Problem: "the file holds more than one document; give one list of models"}
	}
	top := doc.Content[0]
	if top.Kind != yaml.MappingNode {
		return nil, errAt(top, "must hold models: and a list")
	}
	list, err := listOf(top)
	if err != nil {
		return nil, err
	}
	return entries(list)
}

func listOf(top *yaml.Node) (*yaml.Node, error) {
	var list *yaml.Node
	for i := 0; i+1 < len(top.Content); i += 2 {
		key, value := top.Content[i], top.Content[i+1]
		switch {
		case key.Value != "models":
			return nil, errAt(key, "%q is not known; there is models", key.Value)
		case list != nil:
			return nil, errAt(key, "models is given twice")
		case value.Kind != yaml.SequenceNode:
			return nil, errAt(value, "models: must be a list")
		}
		list = value
	}
	if list == nil {
		return nil, errAt(top, "must hold models: and a list")
	}
	return list, nil
}

func entries(list *yaml.Node) ([]Entry, error) {
	var all []Entry
	taken := map[string]int{} // lines of names
	for _, n := range list.Content {
		e, err := entry(n)
		if err != nil {
			return nil, err
		}
		own := []string{e.Ref}
		if aliases, ok := e.Fields["aliases"].([]any); ok {
			for _, a := range aliases {
				own = append(own, fmt.Sprint(a))
			}
		}
		for _, name := range own {
			if line, is := taken[name]; is {
				return nil, errAt(n, "%q is a name of the model in line %d already", name, line)
			}
			taken[name] = n.Line
		}
		all = append(all, e)
	}
	return all, nil
}

func entry(n *yaml.Node) (Entry, error) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	e := Entry{Line: n.Line, Fields: map[string]any{}}
	if n.Kind != yaml.MappingNode {
		return e, errAt(n, "a model must have fields; a ref at least")
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if value.Kind == yaml.AliasNode {
			value = value.Alias
		}
		at := slices.IndexFunc(fields, func(f field) bool { return f.name == key.Value })
		switch {
		case at < 0:
			return e, errAt(key, "%s: is no field of a model; there are %s", key.Value, strings.Join(names(), ", "))
		case seen[key.Value]:
			return e, errAt(key, "%s: is given twice", key.Value)
		}
		seen[key.Value] = true
		v, ok := fields[at].read(value)
		if !ok {
			return e, errAt(value, "%s: must be %s", key.Value, fields[at].must)
		}
		if v != nil {
			e.Fields[key.Value] = v
		}
	}
	e.Ref, _ = e.Fields["ref"].(string)
	if e.Ref == "" {
		return e, errAt(n, "ref: is missing")
	}
	if low, high := e.Fields["min_replicas"], e.Fields["max_replicas"]; low != nil && high != nil && low.(float64) > high.(float64) {
		return e, errAt(n, "min_replicas: is %v, above max_replicas, which is %v", low, high)
	}
	return e, nil
}
