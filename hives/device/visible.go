package device

import (
	"os"
	"strconv"
	"strings"
)

// visible is a variable by which a vendor's runtime shows a process some of its devices. The
// agent's own binds its engines too, which are given one device each: nil shows all.
type visible struct{ entries []string }

// mask reads the agent's own variable.
func mask(name string) *visible {
	text, set := os.LookupEnv(name)
	if !set {
		return nil
	}
	return parseMask(text)
}

// parseMask reads a list of indexes and beginnings of UUIDs. An empty one shows nothing.
func parseMask(text string) *visible {
	v := &visible{}
	for entry := range strings.SplitSeq(text, ",") {
		if entry = strings.TrimSpace(entry); entry != "" {
			v.entries = append(v.entries, strings.ToUpper(entry))
		}
	}
	return v
}

// shows tells whether the device of an index and a UUID (may be empty) is shown.
func (v *visible) shows(index int, uuid string) bool {
	if v == nil {
		return true
	}
	for _, entry := range v.entries {
		if entry == strconv.Itoa(index) || strings.HasPrefix(entry, "GPU-") && strings.HasPrefix(strings.ToUpper(uuid), entry) {
			return true
		}
	}
	return false
}

// names gives devices their ids: a prefix and a number, the device's index when it was first
// seen. It keeps them, so that a device which falls off its bus renames no other.
type names struct {
	prefix string
	of     map[string]string // by what tells devices apart
	taken  map[string]bool
}

func newNames(prefix string) *names {
	return &names{prefix: prefix, of: map[string]string{}, taken: map[string]bool{}}
}

func (n *names) name(key string, index int) string {
	if id, ok := n.of[key]; ok {
		return id
	}
	id := n.prefix + strconv.Itoa(index)
	for n.taken[id] {
		index++
		id = n.prefix + strconv.Itoa(index)
	}
	n.of[key], n.taken[id] = id, true
	return id
}
