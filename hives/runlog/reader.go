package runlog

import (
	"context"
	"io"
	"os"
	"sort"

	"queen-rbee/hives"
)

// readBatch is how much of a log a Reader takes at once, if no record is larger.
const readBatch = 64 << 10

// Reader gives the records of one log in order. It is for one goroutine. Close it, or the
// log is never dropped.
type Reader struct {
	log  *Log
	file *os.File // shared with the log's other users
	seen uint64   // number of the last record that was given, or need not be
	off  int64
	buf  []byte
	recs []Record
	done bool // the end was given
	shut bool
}

// Reader reads the records after number from (0: all). invalid_request if from is beyond what
// exists: the last record, or the end's number once there is an end; a reader from there gets
// the end again. output_expired if the log was dropped.
func (l *Log) Reader(from uint64) (*Reader, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.gone != nil {
		return nil, l.gone
	}
	last := l.seq
	if l.terminal != nil {
		last++
	}
	if from > last {
		return nil, hives.Errorf(hives.CodeInvalid, "event id %d.%d is beyond what exists, the last is %d.%d", l.meta.Attempt, from, l.meta.Attempt, last)
	}
	if l.file == nil {
		f, err := os.Open(l.path)
		if err != nil {
			return nil, hives.Errorf(CodeStorage, "open run log: %v", err)
		}
		l.file = f
	}
	l.users++
	l.readers++
	return &Reader{log: l, file: l.file, seen: from, off: l.offsetLocked(from)}, nil
}

// offsetLocked is an offset at or before the first record after from, and after the header.
func (l *Log) offsetLocked(from uint64) int64 {
	i := sort.Search(len(l.marks), func(i int) bool { return l.marks[i].seq > from })
	if i == 0 {
		if len(l.marks) == 0 {
			return l.size // nothing but the header
		}
		return l.marks[0].off
	}
	return l.marks[i-1].off
}

// Ready gives a channel that is or will be closed when Next has something to say at once. It
// is for select loops that do more than wait; take a new one after each Next.
func (r *Reader) Ready() <-chan struct{} {
	r.log.mu.Lock()
	defer r.log.mu.Unlock()
	if r.done || r.shut || r.availableLocked() {
		return closedChan
	}
	if r.log.wake == nil {
		r.log.wake = make(chan struct{})
	}
	return r.log.wake
}

var closedChan = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

func (r *Reader) availableLocked() bool {
	return r.log.gone != nil || r.log.terminal != nil || r.log.begun && r.log.seq > r.seen
}

// Next waits for records and gives all there are, up to 64 KiB of them, one at least. They
// are good until the next call. io.EOF after the end was given, ctx.Err() if ctx ends first
// (Next can be called again), ErrClosed, or storage_failed if the file cannot be read.
func (r *Reader) Next(ctx context.Context) ([]Record, error) {
	for {
		if r.shut {
			return nil, ErrClosed
		}
		if r.done {
			return nil, io.EOF
		}
		select {
		case <-r.Ready():
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		recs, err := r.read()
		if err != nil || len(recs) > 0 {
			return recs, err
		}
	}
}

// read takes the next batch. It may come out empty: records that the reader has are passed over.
func (r *Reader) read() ([]Record, error) {
	r.log.mu.Lock()
	size, memEnd, gone := r.log.size, r.log.memEnd, r.log.gone
	r.log.mu.Unlock()
	if gone != nil {
		return nil, gone
	}
	r.recs = r.recs[:0]
	if r.off == size {
		return r.take(r.recs, memEnd)
	}
	batch, err := r.load(size)
	if err != nil {
		return nil, err
	}
	start := r.off
	for {
		if whole := frameSize(batch); whole == 0 || whole > int64(len(batch)) {
			break // the beginning of the next record, or nothing
		}
		payload, rest, err := cutFrame(batch)
		if err != nil {
			return nil, r.damaged(err)
		}
		if r.recs, err = r.take(r.recs, payload); err != nil {
			return nil, err
		}
		r.off += int64(len(batch) - len(rest))
		batch = rest
	}
	if r.off == start {
		return nil, r.damaged(errTorn)
	}
	return r.recs, nil
}

// take decodes payload and adds it, if the reader does not have it yet.
func (r *Reader) take(recs []Record, payload []byte) ([]Record, error) {
	rec, _, err := decodeRecord(payload)
	if err != nil {
		return nil, r.damaged(err)
	}
	if rec.Kind == End {
		r.done = true
	} else if rec.Seq <= r.seen {
		return recs, nil
	}
	r.seen = rec.Seq
	return append(recs, rec), nil
}

// load reads up to a batch of bytes at r.off, or the whole of a larger record there.
func (r *Reader) load(size int64) ([]byte, error) {
	n := min(size-r.off, readBatch)
	b, err := r.pread(n)
	if err != nil {
		return nil, err
	}
	whole := frameSize(b)
	if whole <= n {
		return b, nil
	}
	if whole > size-r.off {
		return nil, r.damaged(errTorn)
	}
	return r.pread(whole)
}

func (r *Reader) pread(n int64) ([]byte, error) {
	switch {
	case n > readBatch, cap(r.buf) > readBatch: // no longer than this record keeps it
		r.buf = make([]byte, n)
	case int64(cap(r.buf)) < n:
		r.buf = make([]byte, min(readBatch, max(4<<10, 2*n)))
	}
	r.buf = r.buf[:n]
	if _, err := r.file.ReadAt(r.buf, r.off); err != nil {
		return nil, r.damaged(err)
	}
	return r.buf, nil
}

func (r *Reader) damaged(err error) error {
	r.log.mu.Lock()
	defer r.log.mu.Unlock()
	if r.log.gone != nil {
		return r.log.gone // the file was closed under the read
	}
	return hives.Errorf(CodeStorage, "read run log of %s attempt %d at %d: %v", r.log.meta.JobID, r.log.meta.Attempt, r.off, err)
}

// Close lets go of the log. It may be called again.
func (r *Reader) Close() {
	if r.shut {
		return
	}
	r.shut = true
	r.buf, r.recs = nil, nil
	r.log.mu.Lock()
	defer r.log.mu.Unlock()
	r.log.readers--
	r.log.releaseLocked()
}
