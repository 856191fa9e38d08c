package bench

import (
	"fmt"
	"os"
	"runtime"
	"strings"
)

// Machine describes where the figures were taken, without a name or a path.
func Machine(dir string) string {
	parts := []string{fmt.Sprintf("%d cores", runtime.NumCPU())}
	if m := cpuModel(); m != "" {
		parts = append(parts, m)
	}
	parts = append(parts, runtime.GOOS+"/"+runtime.GOARCH+kernel(), runtime.Version(), "data on "+fileSystem(dir))
	return strings.Join(parts, ", ")
}

func cpuModel() string {
	data, _ := os.ReadFile("/proc/cpuinfo") // not everywhere
	for line := range strings.Lines(string(data)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
			return strings.Join(strings.Fields(value), " ")
		}
	}
	return ""
}

// kernel is the major and minor number; what comes behind may name a machine.
func kernel() string {
	data, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	if parts := strings.SplitN(strings.TrimSpace(string(data)), ".", 3); len(parts) == 3 {
		return " " + parts[0] + "." + parts[1]
	}
	return ""
}
