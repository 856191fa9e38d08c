package device

import (
	"testing"
	"testing/fstest"
)

func TestReadMemory(t *testing.T) {
	const meminfo = "MemTotal:       16000 kB\nMemFree:         1000 kB\nMemAvailable:    9000 kB\n"
	for _, c := range []struct {
		name        string
		files       map[string]string
		total, free int64 // KiB; free -1: unknown
	}{
		{"plain", nil, 16000, 9000},
		{"old kernel", map[string]string{"proc/meminfo": "MemTotal: 16000 kB\n"}, 16000, -1},
		{"no limit", map[string]string{"proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/memory.max": "max\n"}, 16000, 9000},
		{"cgroup v1", map[string]string{"proc/self/cgroup": "4:memory:/a\n", "sys/fs/cgroup/a/memory.max": "1024\n"}, 16000, 9000},
		{"limit", map[string]string{"proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/memory.max": "4096000\n",
			"sys/fs/cgroup/a/memory.current": "2048000\n"}, 4000, 2000},
		{"cache is free", map[string]string{"proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/memory.max": "4096000\n",
			"sys/fs/cgroup/a/memory.current": "2048000\n", "sys/fs/cgroup/a/memory.stat": "anon 5\ninactive_file 1024000\n"}, 4000, 3000},
		{"parent is lower", map[string]string{"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/memory.max": "4096000\n",
			"sys/fs/cgroup/a/memory.max": "1024000\n", "sys/fs/cgroup/a/memory.current": "1024000\n"}, 1000, 0},
		{"limit above the machine", map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "99999999999\n"}, 16000, 9000},
		{"over its limit", map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "1024\n", "sys/fs/cgroup/memory.current": "4096\n"}, 1, 0},
		{"namespaced path", map[string]string{"proc/self/cgroup": "0::/../../b\n", "sys/fs/cgroup/b/memory.max": "1024\n"}, 1, 1},
	} {
		root := fstest.MapFS{"proc/meminfo": {Data: []byte(meminfo)}}
		for name, text := range c.files {
			root[name] = &fstest.MapFile{Data: []byte(text)}
		}
		m, err := readMemory(root)
		free := int64(-1)
		if m.free != nil {
			free = *m.free / 1024
		}
		if err != nil || m.total/1024 != c.total || free != c.free {
			t.Errorf("%s: total %d free %d, %v; want %d, %d", c.name, m.total/1024, free, err, c.total, c.free)
		}
	}
}

func TestReadMemoryFailsWithoutMeminfo(t *testing.T) {
	for _, root := range []fstest.MapFS{{}, {"proc/meminfo": {Data: []byte("MemFree: 1 kB\n")}}, {"proc/meminfo": {Data: []byte("MemTotal: -4 kB\n")}}} {
		if m, err := readMemory(root); err == nil {
			t.Errorf("read %+v", m)
		}
	}
}

func FuzzReadMemory(f *testing.F) {
	f.Add("MemTotal: 16 kB\nMemAvailable: 3 kB\n", "0::/a\n", "4096", "1", "inactive_file 1")
	f.Fuzz(func(t *testing.T, info, group, limit, used, stat string) {
		root := fstest.MapFS{}
		for name, text := range map[string]string{"proc/meminfo": info, "proc/self/cgroup": group,
			"sys/fs/cgroup/a/memory.max": limit, "sys/fs/cgroup/a/memory.current": used, "sys/fs/cgroup/a/memory.stat": stat} {
			root[name] = &fstest.MapFile{Data: []byte(text)}
		}
		m, err := readMemory(root)
		if err == nil && (m.total <= 0 || m.free != nil && (*m.free < 0 || *m.free > m.total)) {
			t.Fatalf("total %d free %v", m.total, m.free)
		}
	})
}
