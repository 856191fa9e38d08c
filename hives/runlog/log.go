package runlog

import (
	"encoding/json"
	"os"
	"strings"
	"sync"
	"time"

	"queen-rbee/hives"
)

// Log is the log of one run. One goroutine starts and appends; anyone may end it, and anyone
// may read. All methods are safe for concurrent use.
type Log struct {
	meta   Meta
	path   string
	limits Limits
	now    func() time.Time

	wmu          sync.Mutex // held over each write; taken before mu
	waiting      []Chunk    // chunks without content, not yet in the file
	waitingBytes int
	answer       *hives.Answer // what waits is a whole answer
	offset       int64         // of the last content record in the engine's stream
	buf          []byte        // frame being written
	broken       error         // first refusal; a record was lost, so none may follow

	mu       sync.Mutex
	file     *os.File // nil while nobody needs it
	users    int      // readers, and one for the writer until the end
	readers  int
	size     int64 // end of the last whole record
	begun    bool
	seq      uint64
	count    uint64 // records in the file
	marks    []mark
	terminal *hives.Terminal
	endedAt  time.Time
	memEnd   []byte        // payload of an end that the disk refused
	wake     chan struct{} // closed by the next change; nil while nobody waits
	gone     error         // the log can be used no longer, and why
}

// mark is the offset of a record: readers find their place without reading all before it.
type mark struct {
	seq uint64
	off int64
}

// marksEvery is the distance of marks in records.
const marksEvery = 64

// Start writes the started record. Call it once, when the engine has taken the run.
func (l *Log) Start() error {
	l.wmu.Lock()
	defer l.wmu.Unlock()
	if err := l.writable(); err != nil {
		return err
	}
	if l.started() {
		return ErrStarted
	}
	return l.write(Record{Kind: Started, Seq: max(1, l.meta.Begin.Seq)}, nil)
}

// Append adds a chunk of the engine, JSON as it came. With content it is the next record, and
// text is what the native form says for it; closes: this chunk closes the last open choice.
// Without content it waits for the next record. [DONE] is not a chunk.
//
// Errors are *hives.Error: output_too_large, engine_error (raw is not JSON), storage_failed.
// After one of them the log takes no more chunks: End it with that error. ErrNotStarted,
// ErrEnded and ErrClosed are out of order.
func (l *Log) Append(raw json.RawMessage, content bool, text string, closes bool) error {
	return l.AppendAt(0, raw, content, text, closes)
}

// AppendAt is Append for a chunk whose end is known in the engine's stream: so many bytes of it
// are in the log with the record, for who goes on with the stream after a restart. 0: not known.
func (l *Log) AppendAt(offset int64, raw json.RawMessage, content bool, text string, closes bool) error {
	l.wmu.Lock()
	defer l.wmu.Unlock()
	if err := l.writable(); err != nil {
		return err
	}
	if !l.started() {
		return ErrNotStarted
	}
	if l.broken != nil {
		return l.broken
	}
	if l.waitingBytes+len(raw)+hives.ChunkFraming+len(text) > l.limits.RecordBytes {
		l.broken = hives.Errorf(hives.CodeOutputTooLarge, "one record of the output is over %d bytes", l.limits.RecordBytes)
		return l.broken
	}
	c, err := newChunk(raw, content)
	if err != nil {
		l.broken = err
		return err
	}
	if !content {
		l.waiting = append(l.waiting, c)
		l.waitingBytes += len(c.Raw) + hives.ChunkFraming
		return nil
	}
	r := Record{Kind: Content, Seq: l.Seq() + 1, Closes: closes, Offset: offset, Chunks: append(l.waiting, c)}
	l.waiting, l.waitingBytes, l.offset = l.waiting[:0], 0, offset
	err = l.write(r, []byte(text))
	clear(r.Chunks)
	return err
}

// Answer keeps the answer of a run that is not streamed: it is in place of all chunks, and goes
// into the file with the end of the run if that is complete. The body is the log's from here
// on. Errors as of Append; output_too_large for one over Limits.LogBytes.
func (l *Log) Answer(contentType string, body []byte) error {
	l.wmu.Lock()
	defer l.wmu.Unlock()
	if err := l.writable(); err != nil {
		return err
	}
	if !l.started() {
		return ErrNotStarted
	}
	if int64(len(body)) > l.limits.LogBytes {
		return hives.Errorf(hives.CodeOutputTooLarge, "the answer has %d bytes, over %d", len(body), l.limits.LogBytes)
	}
	l.answer = &hives.Answer{ContentType: cut(contentType, 256), Bytes: int64(len(body))}
	l.waiting = []Chunk{{Raw: body, Answer: true}}
	return nil
}

// End writes the terminal record; chunks that still wait go with it. JobID, Attempt and Events
// of t are filled in here. It gives the Terminal as it stands, which is the first one: with
// ErrEnded it is that of an earlier call. With another *hives.Error (storage_failed) it stands
// too, but only in memory. With ErrClosed nothing ended.
func (l *Log) End(t hives.Terminal) (hives.Terminal, error) {
	l.wmu.Lock()
	defer l.wmu.Unlock()
	if old, ended := l.Terminal(); ended {
		return old, ErrEnded
	}
	if err := l.writable(); err != nil {
		return hives.Terminal{}, err
	}
	t.JobID, t.Attempt, t.Events = l.meta.JobID, l.meta.Attempt, l.Seq()
	t = bounded(t)
	if t.Answer = l.answer; t.Outcome != hives.Complete && t.Answer != nil {
		t.Answer, l.waiting = nil, nil
	}
	now := l.now().UTC()
	text, err := json.Marshal(endText{Terminal: t, EndedAt: now})
	if err != nil {
		return hives.Terminal{}, hives.Errorf(CodeStorage, "encode end: %v", err)
	}
	r := Record{Kind: End, Seq: t.Events + 1, Chunks: l.waiting, Terminal: &t}
	l.buf = appendRecord(l.buf[:0], r, text)
	_, err = l.file.WriteAt(l.buf, l.size)
	if err != nil {
		err = hives.Errorf(CodeStorage, "write end of run: %v", err)
	}
	l.publishEnd(t, now, err != nil)
	l.waiting, l.waitingBytes, l.answer, l.buf = nil, 0, nil, nil
	return t, err
}

// publishEnd shows the end that is in l.buf to readers and lets go of the file.
func (l *Log) publishEnd(t hives.Terminal, at time.Time, inMemory bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if inMemory {
		l.memEnd = append([]byte(nil), l.buf[frameHeader:]...)
	} else {
		l.addMark(t.Events+1, l.size)
		l.size += int64(len(l.buf))
	}
	l.terminal, l.endedAt = &t, at
	l.releaseLocked()
	l.wakeLocked()
}

// write appends one record and shows it to readers. The caller holds wmu.
func (l *Log) write(r Record, text []byte) error {
	l.buf = appendRecord(l.buf[:0], r, text)
	if l.size+int64(len(l.buf)) > l.limits.LogBytes {
		l.broken = hives.Errorf(hives.CodeOutputTooLarge, "the output is over %d bytes", l.limits.LogBytes)
		return l.broken
	}
	if _, err := l.file.WriteAt(l.buf, l.size); err != nil {
		l.broken = hives.Errorf(CodeStorage, "write record %d: %v", r.Seq, err)
		return l.broken
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.addMark(r.Seq, l.size)
	l.size += int64(len(l.buf))
	l.seq, l.begun = r.Seq, true
	l.wakeLocked()
	return nil
}

// writable says why nothing can be written. The caller holds wmu, so that file and size,
// which only writers change until the end, stay as they are.
func (l *Log) writable() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.gone != nil:
		return l.gone
	case l.terminal != nil:
		return ErrEnded
	}
	return nil
}

func (l *Log) addMark(seq uint64, off int64) {
	if l.count%marksEvery == 0 {
		l.marks = append(l.marks, mark{seq, off})
	}
	l.count++
}

func (l *Log) wakeLocked() {
	if l.wake != nil {
		close(l.wake)
		l.wake = nil
	}
}

// releaseLocked gives back one use of the file.
func (l *Log) releaseLocked() {
	l.users--
	if l.users == 0 && l.file != nil {
		l.file.Close()
		l.file = nil
	}
}

func (l *Log) started() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.begun
}

// Seq is the number of the last record before the end: 0 (Begin.Seq) until Start.
func (l *Log) Seq() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.seq
}

// Terminal gives the end of the run once there is one.
func (l *Log) Terminal() (hives.Terminal, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.terminal == nil {
		return hives.Terminal{}, false
	}
	return *l.terminal, true
}

// Meta is the header of the log.
func (l *Log) Meta() Meta { return l.meta }

// Readers is the number of open Readers.
func (l *Log) Readers() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.readers
}

// Bytes is the size of the log's file.
func (l *Log) Bytes() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.size
}

// bounded keeps an end small enough that its record always fits.
func bounded(t hives.Terminal) hives.Terminal {
	t.FinishReason = cut(t.FinishReason, 256)
	if t.Error != nil {
		t.Error = &hives.Error{Code: cut(t.Error.Code, 256), Message: cut(t.Error.Message, 16<<10)}
	}
	return t
}

func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "")
}
