package runlog

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"time"

	"queen-rbee/hives"
)

var (
	errForeign    = errors.New("not a run log of this format")
	errNoHeader   = errors.New("header half written") // Create never came back
	errOutOfOrder = errors.New("runlog: record out of order")
)

// contents is what a scan finds in a file.
type contents struct {
	meta     Meta
	size     int64 // end of the last sound record in order; the rest is torn
	begun    bool
	seq      uint64
	count    uint64
	marks    []mark
	offset   int64
	terminal *hives.Terminal
	endedAt  time.Time
}

// scan reads a log file of the given size up to its end or the first thing that is wrong. It
// fails only on the header (errForeign, errNoHeader) and on errors of r.
func scan(r io.Reader, size int64) (contents, error) {
	br := bufio.NewReaderSize(r, readBatch)
	head := make([]byte, min(size, int64(len(magic))))
	if _, err := io.ReadFull(br, head); err != nil {
		return contents{}, err
	}
	if string(head) != magic[:len(head)] {
		return contents{}, errForeign
	}
	f := frames{r: br, off: int64(len(head)), size: size}
	header, err := f.next()
	if errors.Is(err, errTorn) || errors.Is(err, io.EOF) {
		return contents{}, errNoHeader
	}
	if err != nil {
		return contents{}, err
	}
	var c contents
	if json.Unmarshal(header, &c.meta) != nil || c.meta.validate() != nil {
		return contents{}, errForeign
	}
	c.seq, c.size = c.meta.Begin.Seq, f.off
	for c.terminal == nil {
		payload, err := f.next()
		if errors.Is(err, errTorn) || errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return contents{}, err
		}
		if c.add(payload) != nil {
			break
		}
		c.size = f.off
	}
	return c, nil
}

// add takes the record that comes next, if it is one.
func (c *contents) add(payload []byte) error {
	r, ended, err := decodeRecord(payload)
	if err != nil {
		return err
	}
	want := c.seq + 1
	if r.Kind == Started {
		want = max(1, c.meta.Begin.Seq)
	}
	if r.Seq != want || (r.Kind == Started) == c.begun && r.Kind != End {
		return errOutOfOrder
	}
	if r.Kind == End {
		if r.Terminal.Events != c.seq || r.Terminal.JobID != c.meta.JobID || r.Terminal.Attempt != c.meta.Attempt {
			return errOutOfOrder
		}
		c.terminal, c.endedAt = r.Terminal, ended
	} else {
		c.seq, c.begun, c.offset = r.Seq, true, r.Offset
	}
	if c.count%marksEvery == 0 {
		c.marks = append(c.marks, mark{r.Seq, c.size})
	}
	c.count++
	return nil
}

// frames cuts a stream of known size into frames, one buffer for all.
type frames struct {
	r    io.Reader
	off  int64
	size int64
	buf  []byte
}

// next gives a payload, good until the next call; errTorn where no whole and sound frame is.
func (f *frames) next() ([]byte, error) {
	var head [frameHeader]byte
	if f.off == f.size {
		return nil, io.EOF
	}
	if f.size-f.off < frameHeader {
		return nil, errTorn
	}
	if _, err := io.ReadFull(f.r, head[:]); err != nil {
		return nil, err
	}
	whole := frameSize(head[:])
	if whole <= frameHeader || whole > f.size-f.off {
		return nil, errTorn
	}
	n := int(whole - frameHeader)
	if cap(f.buf) < n {
		f.buf = make([]byte, n)
	}
	f.buf = f.buf[:n]
	if _, err := io.ReadFull(f.r, f.buf); err != nil {
		return nil, err
	}
	if crc32.Checksum(f.buf, castagnoli) != binary.LittleEndian.Uint32(head[4:]) {
		return nil, errTorn
	}
	f.off += whole
	return f.buf, nil
}

// reopen reads the log of one file and cuts off its torn tail. nil without an error: there was
// nothing in it yet, and it is removed.
func (s *Store) reopen(job string, attempt uint32) (*Log, error) {
	path := filepath.Join(s.dir, fileName(job, attempt))
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("run log %s: %w", path, err)
	}
	keep := false
	defer func() {
		if !keep {
			f.Close()
		}
	}()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("run log %s: %w", path, err)
	}
	c, err := scan(f, info.Size())
	if errors.Is(err, errNoHeader) {
		return nil, os.Remove(path)
	}
	if err == nil && (c.meta.JobID != job || c.meta.Attempt != attempt) {
		err = errForeign
	}
	if err == nil && c.size < info.Size() {
		err = f.Truncate(c.size)
	}
	if err != nil {
		return nil, fmt.Errorf("run log %s: %w", path, err)
	}
	l := s.newLog(c.meta)
	l.size, l.begun, l.seq, l.count, l.marks = c.size, c.begun, c.seq, c.count, c.marks
	l.terminal, l.endedAt, l.offset = c.terminal, c.endedAt, c.offset
	if l.terminal == nil {
		l.file, l.users, keep = f, 1, true
	}
	return l, nil
}
