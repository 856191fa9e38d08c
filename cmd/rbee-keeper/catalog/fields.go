package catalog

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// field is one of an entry. Its value as JSON is nil where it is the default, so that what says
// nothing and what says the default are equal.
type field struct {
	name string
	must string // in words
	read func(*yaml.Node) (any, bool)
	same func(any) any // the same value from a queen, whatever its form; nil: as it is
}

var fields = []field{
	{"ref", "a name", text, nil},
	{"aliases", "a list of names", texts, sorted},
	{"source", "a text like hf:org/repo/file.gguf", text, nil},
	{"engine", "the name of an engine", text, nil},
	{"digest", "sha256: and 64 hexadecimal digits", text, nil},
	{"slots", "a whole number from 0", whole, nil},
	{"context", "a whole number of tokens from 0", whole, nil},
	{"idle_ttl", "a duration like 10m, or -1 for never", duration, sameDuration},
	{"min_replicas", "a whole number from 0", whole, nil},
	{"max_replicas", "a whole number from 0", whole, nil},
	{"vram_bytes", "bytes, as a number or like 6GiB", size, nil},
	{"labels", "names with texts", pairs, nil},
	{"pin", "true or false", truth, nil},
}

// names lists the fields an entry may have.
func names() []string {
	out := make([]string, len(fields))
	for i, f := range fields {
		out[i] = f.name
	}
	return out
}

func text(n *yaml.Node) (any, bool) {
	if n.Kind != yaml.ScalarNode || n.Tag == "!!null" {
		return nil, n.Tag == "!!null"
	}
	if n.Value == "" {
		return nil, true
	}
	return n.Value, !strings.ContainsFunc(n.Value, func(r rune) bool { return r < ' ' })
}

func texts(n *yaml.Node) (any, bool) {
	if n.Kind != yaml.SequenceNode {
		return nil, n.Tag == "!!null"
	}
	var out []any
	for _, item := range n.Content {
		v, ok := text(item)
		if !ok || v == nil {
			return nil, false
		}
		out = append(out, v)
	}
	if out == nil {
		return nil, true
	}
	return sorted(out), true
}

func pairs(n *yaml.Node) (any, bool) {
	if n.Kind != yaml.MappingNode {
		return nil, n.Tag == "!!null"
	}
	out := map[string]any{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i+1].Kind != yaml.ScalarNode || n.Content[i+1].Tag == "!!null" {
			return nil, false
		}
		out[n.Content[i].Value] = n.Content[i+1].Value
	}
	if len(out) == 0 {
		return nil, true
	}
	return out, true
}

// number gives whole numbers as JSON has them.
func number(v int64) any {
	if v == 0 {
		return nil
	}
	return float64(v)
}

func whole(n *yaml.Node) (any, bool) {
	v, err := strconv.ParseInt(n.Value, 10, 32)
	if n.Tag == "!!null" {
		return nil, true
	}
	return number(v), n.Kind == yaml.ScalarNode && err == nil && v >= 0
}

func truth(n *yaml.Node) (any, bool) {
	switch {
	case n.Tag == "!!bool":
		if strings.EqualFold(n.Value, "true") {
			return true, true
		}
		return nil, true
	default:
		return nil, n.Tag == "!!null"
	}
}

var units = map[string]float64{
	"": 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40,
	"KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12,
}

func size(n *yaml.Node) (any, bool) {
	if n.Kind != yaml.ScalarNode || n.Tag == "!!null" {
		return nil, n.Tag == "!!null"
	}
	end := strings.LastIndexAny(n.Value, "0123456789.") + 1
	factor, known := units[strings.TrimSpace(n.Value[end:])]
	v, err := strconv.ParseFloat(n.Value[:end], 64)
	bytes := math.Round(v * factor)
	return number(int64(bytes)), known && err == nil && bytes >= 0 && bytes < 1<<53
}

func duration(n *yaml.Node) (any, bool) {
	if n.Kind != yaml.ScalarNode || n.Tag == "!!null" {
		return nil, n.Tag == "!!null"
	}
	switch n.Value {
	case "-1":
		return never, true
	case "0", "":
		return nil, true
	}
	d, err := time.ParseDuration(n.Value)
	if err != nil {
		return nil, false
	}
	return sameDuration(d.String()), true
}

const never = "-1"

// sameDuration is the one form of a duration that queens may write in several.
func sameDuration(v any) any {
	s := fmt.Sprint(v)
	d, err := time.ParseDuration(s)
	switch {
	case err != nil && strings.HasPrefix(s, "-"), d < 0:
		return never
	case err != nil:
		return v
	case d == 0:
		return nil
	}
	return d.String()
}

func sorted(v any) any {
	items, ok := v.([]any)
	if !ok {
		return v
	}
	slices.SortFunc(items, func(a, b any) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	return items
}

// plain is a queen's value as an entry would have it.
func (f field) plain(raw json.RawMessage) any {
	var v any
	if len(raw) == 0 || json.Unmarshal(raw, &v) != nil {
		return nil
	}
	switch w := v.(type) {
	case string:
		if w == "" {
			return nil
		}
	case float64:
		if w == 0 {
			return nil
		}
	case bool:
		if !w {
			return nil
		}
	case []any:
		if len(w) == 0 {
			return nil
		}
	case map[string]any:
		if len(w) == 0 {
			return nil
		}
	}
	if f.same != nil && v != nil {
		return f.same(v)
	}
	return v
}
