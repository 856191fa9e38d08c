package engine

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

const (
	tailLines    = 50
	maxTailLine  = 1 << 10
	maxTailBytes = 6 << 10 // of the tail in an error
	maxDetail    = 200     // of one line in a report
	// tailRead is how much of the files is looked at for the last lines.
	tailRead = 256 << 10
	// noteMark begins a line of ours between those of the processes.
	noteMark = "=== "
)

// logFile keeps what a worker's processes write: in path, and in path.1 what was there before.
// The processes write to the file themselves, by a descriptor of their own: a pipe to the agent
// would break with the agent, and an engine may die of that. So the file is bounded from
// beside: trim, called every second while a process lives, keeps the newest limit bytes in
// path.1 and begins path anew. Nobody trims while no agent lives. Safe for concurrent use.
type logFile struct {
	mu    sync.Mutex
	path  string
	limit int64
	file  *os.File // appends; nil when it could not be opened
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
	// Appending, so that a process goes on at the beginning of a file that was cut under it.
	f, err := os.OpenFile(l.path, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	l.file = f
	return nil
}

// output is where a process writes; nil when there is no file.
func (l *logFile) output() *os.File {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.file
}

// trim cuts a file that has reached its limit. What a process writes between the copy and the
// cut is lost.
func (l *logFile) trim() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return nil
	}
	st, err := l.file.Stat()
	if err != nil || st.Size() < l.limit {
		return err
	}
	// Cut it even when the copy fails, as on a full disk: never grow beyond the limit.
	return errors.Join(l.keep(st.Size()), l.file.Truncate(0))
}

// keep makes path.1 of the newest limit bytes before end.
func (l *logFile) keep(end int64) error {
	old, err := os.OpenFile(l.path+".1", os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	_, err = io.Copy(old, io.NewSectionReader(l.file, end-l.limit, l.limit))
	return errors.Join(err, old.Close())
}

// tail returns the last lines of the processes, oldest first, the unfinished one too.
func (l *logFile) tail() []string {
	lines, _ := l.lines()
	return lines[max(0, len(lines)-tailLines):]
}

// sinceStart returns the lines of the newest process, as far back as is looked.
func (l *logFile) sinceStart() []string {
	lines, newest := l.lines()
	return lines[newest:]
}

// lastLine returns the last line that says anything, cut to what a report holds.
func (l *logFile) lastLine() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := bytes.Split(bytes.TrimRight(ending(l.path, 4<<10), "\r\n\t ."), []byte("\n"))
	line := bytes.TrimSpace(all[len(all)-1])
	if bytes.HasPrefix(line, []byte(noteMark)) {
		return ""
	}
	return clean(line[:min(len(line), maxDetail)])
}

// lines returns what is looked at of the log, and where in it the newest process begins.
func (l *logFile) lines() (out []string, newest int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := ending(l.path, tailRead)
	if len(text) < tailRead {
		text = append(ending(l.path+".1", tailRead-int64(len(text))), text...)
	}
	for line := range bytes.SplitSeq(bytes.TrimSuffix(text, []byte("\n")), []byte("\n")) {
		switch {
		case bytes.HasPrefix(line, []byte(noteMark)):
			newest = len(out)
		case len(line) > 0:
			out = append(out, clean(line[:min(len(line), maxTailLine)]))
		}
	}
	return out, newest
}

// ending reads at most n bytes at the end of a file; nothing when it cannot be read.
func ending(path string, n int64) []byte {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil
	}
	text, _ := io.ReadAll(io.NewSectionReader(f, max(0, st.Size()-n), n)) // what could be read
	return text
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
	if l.file != nil {
		_, _ = fmt.Fprintf(l.file, noteMark+format+"\n", args...) // the file is for people
	}
}

func (l *logFile) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return nil
	}
	err := l.file.Close()
	l.file = nil
	return err
}

func clean(line []byte) string {
	return strings.ToValidUTF8(strings.TrimRight(string(line), "\r"), "?")
}
