package engine

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

const (
	tailLines    = 50
	maxTailLine  = 1 << 10
	maxTailBytes = 2 << 10 // of the tail in an error
)

// logFile keeps what a worker's processes write: on disk in path, which becomes path.1 when it
// reaches its limit, and the last lines in memory. Write never fails, since a process whose
// output is refused may die of it; what the disk does not take is lost there and kept in memory.
// Safe for concurrent use.
type logFile struct {
	mu    sync.Mutex
	path  string
	limit int64
	file  *os.File // nil when it could not be opened
	size  int64
	lines []string // at most tailLines
	part  []byte   // the line that has not ended, cut to maxTailLine
}

// newLog makes the log of a file that start will create.
func newLog(dir, name string, limit int64) *logFile {
	return &logFile{path: filepath.Join(dir, name), limit: limit}
}

// start creates or continues the file on disk.
func (l *logFile) start() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := os.MkdirAll(filepath.Dir(l.path), 0o755); err != nil {
		return err
	}
	return l.open()
}

func (l *logFile) open() error {
	f, err := os.OpenFile(l.path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	st, err := f.Stat()
	if err != nil {
		f.Close()
		return err
	}
	l.file, l.size = f, st.Size()
	return nil
}

// Write implements io.Writer.
func (l *logFile) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.remember(p)
	for rest := p; len(rest) > 0; {
		if l.size >= l.limit {
			l.rotate()
		}
		if l.file == nil {
			break
		}
		piece := rest[:min(int64(len(rest)), l.limit-l.size)]
		n, err := l.file.Write(piece)
		l.size += int64(n)
		if err != nil {
			break
		}
		rest = rest[n:]
	}
	return len(p), nil
}

func (l *logFile) rotate() {
	if l.file != nil {
		l.file.Close()
		l.file = nil
	}
	_ = os.Rename(l.path, l.path+".1")
	if l.open() == nil && l.size >= l.limit { // the rename failed: never grow beyond the limit
		l.size = 0
		_ = l.file.Truncate(0)
	}
}

func (l *logFile) remember(p []byte) {
	for len(p) > 0 {
		line, rest, whole := bytes.Cut(p, []byte("\n"))
		l.part = append(l.part, line[:min(len(line), maxTailLine-len(l.part))]...)
		if !whole {
			return
		}
		if len(l.lines) == tailLines {
			l.lines = slices.Delete(l.lines, 0, 1)
		}
		l.lines = append(l.lines, clean(l.part))
		l.part = l.part[:0]
		p = rest
	}
}

// tail returns the last lines, oldest first, the unfinished one too.
func (l *logFile) tail() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := slices.Clone(l.lines)
	if len(l.part) > 0 {
		out = append(out, clean(l.part))
	}
	return out[max(0, len(out)-tailLines):]
}

// last returns as many whole lines of the tail as fit into maxTailBytes.
func (l *logFile) last() string {
	lines := l.tail()
	size, from := 0, len(lines)
	for from > 0 && size+len(lines[from-1])+1 <= maxTailBytes {
		from--
		size += len(lines[from]) + 1
	}
	return strings.Join(lines[from:], "\n")
}

// note writes a line of ours between those of the processes.
func (l *logFile) note(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	line := fmt.Sprintf("=== "+format+"\n", args...)
	if l.file != nil && l.size < l.limit {
		n, _ := l.file.WriteString(line)
		l.size += int64(n)
	}
}

func (l *logFile) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return nil
	}
	err := l.file.Close()
	l.file, l.size = nil, l.limit
	return err
}

func clean(line []byte) string {
	return strings.ToValidUTF8(strings.TrimRight(string(line), "\r"), "?")
}
