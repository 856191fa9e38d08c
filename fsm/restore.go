package fsm

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/zeebo/xxh3"
)

// maxRow bounds one row of a snapshot.
const maxRow = MaxBody + 32<<20

// Restore reads a snapshot into a new State and checks its checksum, count and hash. What is
// torn, changed, of a newer format or of a level above CurrentLevel is an error that says so.
// It allocates no more than it has read.
func Restore(r io.Reader) (*State, error) {
	s := &snapshotReader{in: bufio.NewReaderSize(r, 256<<10), check: xxh3.New(), state: New()}
	if err := s.read(); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			err = fmt.Errorf("it is cut off after %d rows", s.count)
		}
		return nil, fmt.Errorf("restore snapshot: %w", err)
	}
	return s.state, nil
}

type snapshotReader struct {
	in    *bufio.Reader
	check *xxh3.Hasher
	state *State
	buf   bytes.Buffer
	count uint64
	one   [1]byte
}

func (s *snapshotReader) read() error {
	if err := s.header(); err != nil {
		return err
	}
	for {
		table, err := s.ReadByte()
		if err != nil {
			return err
		}
		if table == 0 {
			return s.trailer()
		}
		row, err := s.row()
		if err != nil {
			return err
		}
		if err := s.state.load(Table(table), row); err != nil {
			return fmt.Errorf("row %d: %w", s.count+1, err)
		}
		s.count++
	}
}

func (s *snapshotReader) header() error {
	magic := make([]byte, len(snapshotMagic))
	if err := s.full(magic); err != nil {
		return err
	}
	if string(magic) != snapshotMagic {
		return errors.New("this is not a snapshot of queen-rbee")
	}
	version, err := binary.ReadUvarint(s)
	if err != nil {
		return err
	}
	if version != snapshotVersion {
		return fmt.Errorf("format %d is not known to this build (it reads %d): install a newer queen-rbee", version, snapshotVersion)
	}
	level, err := binary.ReadUvarint(s)
	if err != nil {
		return err
	}
	if level > uint64(CurrentLevel) {
		return fmt.Errorf("its level is %d and this build reads up to %d: install a newer queen-rbee", level, CurrentLevel)
	}
	return nil
}

// row reads a row's bytes, good until the next. The buffer grows with what arrives.
func (s *snapshotReader) row() ([]byte, error) {
	size, err := binary.ReadUvarint(s)
	if err != nil {
		return nil, err
	}
	if size > maxRow {
		return nil, fmt.Errorf("row %d of %d bytes is over the limit of %d: the file is damaged", s.count+1, size, maxRow)
	}
	s.buf.Reset()
	if _, err := io.CopyN(&s.buf, s.in, int64(size)); err != nil {
		return nil, err
	}
	_, _ = s.check.Write(s.buf.Bytes()) // never fails
	return s.buf.Bytes(), nil
}

func (s *snapshotReader) trailer() error {
	count, err := binary.ReadUvarint(s)
	if err != nil {
		return err
	}
	var hash, check [16]byte
	if err := s.full(hash[:]); err != nil {
		return err
	}
	want := s.check.Sum128().Bytes()
	if err := s.full(check[:]); err != nil {
		return err
	}
	if check != want {
		return errors.New("its checksum does not match: the file is damaged")
	}
	if count != s.count {
		return fmt.Errorf("it has %d rows and says %d", s.count, count)
	}
	if got := s.state.hash.bytes(); got != hash {
		return fmt.Errorf("the restored state hashes to %x, it was written from %x", got, hash)
	}
	if _, err := s.in.ReadByte(); err != io.EOF {
		return errors.New("there are bytes behind its end")
	}
	return nil
}

// ReadByte implements io.ByteReader, for varints.
func (s *snapshotReader) ReadByte() (byte, error) {
	b, err := s.in.ReadByte()
	if err == nil {
		s.one[0] = b
		_, _ = s.check.Write(s.one[:]) // never fails
	}
	return b, err
}

func (s *snapshotReader) full(b []byte) error {
	_, err := io.ReadFull(s.in, b)
	_, _ = s.check.Write(b) // never fails
	return err
}

// load puts one row of a snapshot. A row that is there already is an error: the first one's
// weight would stay in the hash.
func (s *State) load(t Table, row []byte) error {
	c := &coder{buf: row, reading: true}
	var put func() bool // false for a second row of one id
	switch t {
	case TableMeta:
		var m Meta
		var n Counts
		c.meta(&m, &n)
		put = func() bool { return s.loadMeta(m, n) }
	case TableQueen:
		q := new(Queen)
		c.queen(q)
		put = func() bool { return absent(s.queens, q.ID, func() { s.putQueen(nil, q) }) }
	case TableKey:
		k := new(Key)
		c.key(k)
		put = func() bool { return absent(s.keys, string(k.Hash[:]), func() { s.putKey(nil, k) }) }
	case TableHive:
		h := new(Hive)
		c.hive(h)
		c.facts(&h.Facts)
		c.tail(h.Facts.later, h.Facts.tail)
		put = func() bool { return absent(s.hives, h.ID, func() { s.putHive(nil, h) }) }
	case TableWorker:
		w := new(Worker)
		c.worker(w)
		c.tail(w.later, w.tail)
		put = func() bool { return absent(s.workers, w.ID, func() { s.putWorker(nil, w) }) }
	case TableJob:
		j := new(Job)
		c.job(j)
		c.body(&j.Body)
		c.tail(j.later, j.tail)
		put = func() bool { return absent(s.jobs, j.ID, func() { s.loadJob(j) }) }
	case TableModel:
		m := new(Model)
		c.model(m)
		put = func() bool { return absent(s.models, m.Ref, func() { s.putModel(nil, m) }) }
	case TableCopy:
		y := new(Copy)
		c.copy(y)
		put = func() bool { return missing(s.copies, y, func() { s.putCopy(nil, y) }) }
	case TableBlock:
		b := new(Block)
		c.block(b)
		put = func() bool { return missing(s.blocks, b, func() { s.putBlock(nil, b) }) }
	case TableIdempotency:
		r := new(Idempotency)
		c.idempotency(r)
		put = func() bool { return missing(s.idempotency, r, func() { s.putIdempotency(nil, r) }) }
	default:
		return fmt.Errorf("table %d is not known to this build", t)
	}
	switch {
	case c.err != nil:
		return fmt.Errorf("table %d: %w", t, c.err)
	case len(c.buf) > 0:
		return fmt.Errorf("table %d: %d bytes too many", t, len(c.buf))
	case !put():
		return fmt.Errorf("table %d: the row is there twice", t)
	}
	return nil
}

func (s *State) loadJob(j *Job) {
	if len(j.Body.Data) > 0 {
		j.bodySum = sumOf(j.Body.Data)
	}
	s.shareWords(j)
	for _, p := range []*string{&j.Worker, &j.Hive, &j.FinishReason} {
		s.words.share(p)
	}
	s.putJob(nil, j)
}

func (s *State) loadMeta(m Meta, n Counts) bool {
	if s.meta != (Meta{}) {
		return false
	}
	s.meta = m
	s.counts.Completed, s.counts.Failed, s.counts.Cancelled = n.Completed, n.Failed, n.Cancelled
	s.putMeta()
	return true
}

func absent[V any](t records[V], id string, put func()) bool {
	_, ok := t.get(id)
	if !ok {
		put()
	}
	return !ok
}

func missing[K any](t tree[K], row K, put func()) bool {
	_, ok := t.get(row)
	if !ok {
		put()
	}
	return !ok
}
