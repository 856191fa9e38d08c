package device

import (
	"io/fs"
	"os"
	"strconv"
	"strings"
)

func cpuTime() (ticks, bool) { return readCPUTime(os.DirFS("/")) }

// readCPUTime reads the first line of /proc/stat: user nice system idle iowait irq softirq
// steal, all counted since the start. Guests are in user already.
func readCPUTime(root fs.FS) (t ticks, ok bool) {
	text, err := readBounded(root, "proc/stat")
	if err != nil {
		return t, false
	}
	line, _, _ := strings.Cut(text, "\n")
	f := strings.Fields(line)
	if len(f) < 9 || f[0] != "cpu" {
		return t, false
	}
	for i, number := range f[1:9] {
		n, err := strconv.ParseInt(number, 10, 64)
		if err != nil || n < 0 || n > 1<<56 {
			return ticks{}, false
		}
		t.all += n
		if i != 3 && i != 4 { // waiting for a disk is idle time
			t.busy += n
		}
	}
	return t, true
}
