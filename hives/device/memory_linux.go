package device

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"strings"
)

func systemMemory() (memory, error) {
	return readMemory(os.DirFS("/"))
}

// readMemory reads /proc/meminfo and every cgroup v2 limit from this process's group up to the
// root: the lowest one counts, since a process that goes over any of them is killed.
func readMemory(root fs.FS) (memory, error) {
	var m memory
	info, err := readFields(root, "proc/meminfo")
	if err != nil {
		return m, err
	}
	total, ok := info["MemTotal:"]
	if !ok || total <= 0 || total > 1<<50 {
		return m, errors.New("proc/meminfo has no usable MemTotal")
	}
	m.total = total << 10 // meminfo counts KiB
	if free, ok := info["MemAvailable:"]; ok && free >= 0 {
		m.free = ptr(min(free, total) << 10)
	}
	group, ok := ownGroup(root)
	if !ok {
		return m, nil
	}
	for dir := path.Join("sys/fs/cgroup", group); strings.HasPrefix(dir, "sys/fs/cgroup"); dir = path.Dir(dir) {
		limit, ok := readNumber(root, path.Join(dir, "memory.max"))
		if !ok || limit <= 0 { // "max", or the root group, which has no such file
			continue
		}
		used, _ := readNumber(root, path.Join(dir, "memory.current"))
		// Page cache that is not in use is given back before anything is killed.
		if stat, err := readFields(root, path.Join(dir, "memory.stat")); err == nil {
			used -= min(used, stat["inactive_file"])
		}
		m = m.limited(limit, used)
	}
	return m, nil
}

// ownGroup returns the cgroup v2 path of this process; false under cgroup v1 alone.
func ownGroup(root fs.FS) (string, bool) {
	text, err := readBounded(root, "proc/self/cgroup")
	if err != nil {
		return "", false
	}
	for line := range strings.Lines(text) {
		if group, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok {
			return path.Join("/", group), true // Join cleans "..", which a namespaced path may hold
		}
	}
	return "", false
}
