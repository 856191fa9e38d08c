package fsm

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/zeebo/xxh3"
)

// A snapshot is
//
//	magic, version, level
//	rows: table (1 byte), length, the row as code_record.go has it
//	0 (1 byte), count of rows, hash of the state (16 bytes)
//	checksum of all before it: xxh3, 128 bits
//
// with numbers as minimal varints. Indexes are not written; Restore makes them anew. What a
// level adds to a row stands in a tail (code_model.go), and the level tells an older build that
// it cannot read it; a row changed otherwise is a new version, and Restore keeps reading the
// old ones.
const (
	snapshotMagic   = "queen-rbee state\n"
	snapshotVersion = 1
)

// Snapshot streams a view: versioned header, rows table by table, count, hash, checksum. It
// may run while Apply goes on, on any goroutine.
func Snapshot(v *View, w io.Writer) error {
	s := newSnapshotWriter(w)
	s.raw([]byte(snapshotMagic))
	s.number(snapshotVersion)
	s.number(uint64(v.meta.Level))
	s.rows(v)
	s.raw([]byte{0})
	s.number(s.count)
	hash := v.hash.bytes()
	s.raw(hash[:])
	check := s.check.Sum128().Bytes()
	s.raw(check[:])
	if s.err == nil {
		s.err = s.out.Flush()
	}
	if s.err != nil {
		return fmt.Errorf("write snapshot: %w", s.err)
	}
	return nil
}

type snapshotWriter struct {
	out   *bufio.Writer
	check *xxh3.Hasher
	count uint64
	c     coder
	err   error
}

func newSnapshotWriter(w io.Writer) *snapshotWriter {
	return &snapshotWriter{out: bufio.NewWriterSize(w, 256<<10), check: xxh3.New(), c: coder{unchecked: true}}
}

func (s *snapshotWriter) raw(b []byte) {
	if s.err != nil {
		return
	}
	_, _ = s.check.Write(b) // never fails
	_, s.err = s.out.Write(b)
}

func (s *snapshotWriter) number(n uint64) {
	var b [binary.MaxVarintLen64]byte
	s.raw(b[:binary.PutUvarint(b[:], n)])
}

// row writes one row and tells whether to go on.
func (s *snapshotWriter) row(t Table, code func(c *coder)) bool {
	s.c.buf = s.c.buf[:0]
	code(&s.c)
	s.raw([]byte{byte(t)})
	s.number(uint64(len(s.c.buf)))
	s.raw(s.c.buf)
	s.count++
	return s.err == nil
}

func (s *snapshotWriter) rows(v *View) {
	s.row(TableMeta, func(c *coder) { c.meta(&v.meta, &v.counts) })
	for q := range v.queens.all() {
		s.row(TableQueen, func(c *coder) { c.queen(q) })
	}
	for k := range v.keys.all() {
		s.row(TableKey, func(c *coder) { c.key(k) })
	}
	for m := range v.models.all() {
		s.row(TableModel, func(c *coder) { c.model(m) })
	}
	for h := range v.hives.all() {
		s.row(TableHive, func(c *coder) { c.hive(h); c.facts(&h.Facts); c.tail(h.Facts.later, h.Facts.tail) })
	}
	for w := range v.workers.all() {
		s.row(TableWorker, func(c *coder) { c.worker(w); c.tail(w.later, w.tail) })
	}
	for y := range v.copies.all() {
		s.row(TableCopy, func(c *coder) { c.copy(y) })
	}
	for b := range v.blocks.all() {
		s.row(TableBlock, func(c *coder) { c.block(b) })
	}
	for r := range v.idempotency.all() {
		if !s.row(TableIdempotency, func(c *coder) { c.idempotency(r) }) {
			return
		}
	}
	for j := range v.jobs.all() {
		if !s.row(TableJob, func(c *coder) { c.job(j); c.body(&j.Body); c.tail(j.later, j.tail) }) {
			return
		}
	}
}
