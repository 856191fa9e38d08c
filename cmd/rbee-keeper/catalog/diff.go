package catalog

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
)

// Actions of a Change.
const (
	Create = "create"
	Update = "update"
	Delete = "delete"
)

// Change is what must be done to one model.
type Change struct {
	Ref    string         `json:"ref"`
	Action string         `json:"action"`
	Fields []FieldChange  `json:"fields,omitempty"`
	Body   map[string]any `json:"-"` // of PUT
}

// FieldChange is one field's part in it; null is the default.
type FieldChange struct {
	Name string `json:"name"`
	From any    `json:"from"`
	To   any    `json:"to"`
}

// Diff tells what makes a catalog like a file, in the file's order, then by names; same counts the
// models that are so already. now holds what queens say of each model of the catalog. Those that
// the file does not name stay, unless prune is set.
func Diff(file []Entry, now map[string]json.RawMessage, prune bool) (changes []Change, same int, err error) {
	named := map[string]bool{}
	for _, e := range file {
		named[e.Ref] = true
		c := Change{Ref: e.Ref, Action: Create, Body: e.Fields}
		var has map[string]json.RawMessage
		if raw, known := now[e.Ref]; known {
			c.Action = Update
			if err := json.Unmarshal(raw, &has); err != nil {
				return nil, 0, err
			}
		}
		for _, f := range fields {
			from, to := f.plain(has[f.name]), e.Fields[f.name]
			if f.name == "ref" || reflect.DeepEqual(from, to) || to == nil && found(f.name, from, e.Fields) {
				continue
			}
			c.Fields = append(c.Fields, FieldChange{f.name, from, to})
		}
		if c.Action == Update && len(c.Fields) == 0 {
			same++
			continue
		}
		changes = append(changes, c)
	}
	for _, ref := range slices.Sorted(maps.Keys(now)) {
		if prune && !named[ref] {
			changes = append(changes, Change{Ref: ref, Action: Delete})
		}
	}
	return changes, same, nil
}

// found tells that a field which a file leaves open has its value from elsewhere: the digest from
// what was fetched, slots and context of a model without a source from hives' own configurations.
func found(name string, value any, entry map[string]any) bool {
	switch name {
	case "digest":
		return true
	case "slots":
		return entry["source"] == nil || value == 1.0
	case "context":
		return entry["source"] == nil
	}
	return false
}
