package device

import (
	"io"
	"io/fs"
	"strconv"
	"strings"
)

// maxProcFile bounds what is read of one file of /proc or /sys.
const maxProcFile = 256 << 10

// readFields reads lines of "name number ..." into a map.
func readFields(root fs.FS, name string) (map[string]int64, error) {
	text, err := readBounded(root, name)
	if err != nil {
		return nil, err
	}
	out := map[string]int64{}
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		if n, err := strconv.ParseInt(f[1], 10, 64); err == nil {
			out[f[0]] = n
		}
	}
	return out, nil
}

func readNumber(root fs.FS, name string) (int64, bool) {
	text, err := readBounded(root, name)
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
	return n, err == nil
}

func readBounded(root fs.FS, name string) (string, error) {
	f, err := root.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxProcFile))
	return string(b), err
}
