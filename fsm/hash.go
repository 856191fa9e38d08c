package fsm

import (
	"math/bits"

	"github.com/zeebo/xxh3"
)

func (s Sum) plus(o Sum) Sum {
	lo, carry := bits.Add64(s.Lo, o.Lo, 0)
	hi, _ := bits.Add64(s.Hi, o.Hi, carry)
	return Sum{Hi: hi, Lo: lo}
}

func (s Sum) minus(o Sum) Sum {
	lo, borrow := bits.Sub64(s.Lo, o.Lo, 0)
	hi, _ := bits.Sub64(s.Hi, o.Hi, borrow)
	return Sum{Hi: hi, Lo: lo}
}

func sumOf(b []byte) Sum {
	h := xxh3.Hash128(b)
	return Sum{Hi: h.Hi, Lo: h.Lo}
}

// rowSum hashes a row in its binary form behind its table's number, so that equal bytes in
// two tables do not weigh the same. The coder is the state's own: hashing allocates nothing.
func (s *State) rowSum(t Table, code func(c *coder)) Sum {
	s.hasher.buf = append(s.hasher.buf[:0], byte(t))
	code(&s.hasher)
	return sumOf(s.hasher.buf)
}

// A body enters its job's hash by a hash of its own, made once at submission: a change of
// the job costs the same whatever the body's size.
func (s *State) jobSum(j *Job) Sum {
	return s.rowSum(TableJob, func(c *coder) {
		c.job(j)
		c.flag("packed", &j.Body.Packed)
		c.sum("body", &j.bodySum)
		c.tail(j.later, j.tail)
	})
}

// So do a hive's facts, which stay while runs come and go.
func (s *State) hiveSum(h *Hive) Sum {
	return s.rowSum(TableHive, func(c *coder) { c.hive(h); c.sum("facts", &h.factsSum) })
}

func (s *State) factsSum(f *HiveFacts) Sum {
	return s.rowSum(TableHive, func(c *coder) { c.facts(f); c.tail(f.later, f.tail) })
}

func (s *State) workerSum(w *Worker) Sum {
	return s.rowSum(TableWorker, func(c *coder) { c.worker(w); c.tail(w.later, w.tail) })
}

func (s *State) queenSum(q *Queen) Sum {
	return s.rowSum(TableQueen, func(c *coder) { c.queen(q) })
}

func (s *State) keySum(k *Key) Sum {
	return s.rowSum(TableKey, func(c *coder) { c.key(k) })
}

func (s *State) blockSum(b *Block) Sum {
	return s.rowSum(TableBlock, func(c *coder) { c.block(b) })
}

func (s *State) idempotencySum(r *Idempotency) Sum {
	return s.rowSum(TableIdempotency, func(c *coder) { c.idempotency(r) })
}

func (s *State) modelSum(m *Model) Sum {
	return s.rowSum(TableModel, func(c *coder) { c.model(m) })
}

func (s *State) copySum(y *Copy) Sum {
	return s.rowSum(TableCopy, func(c *coder) { c.copy(y) })
}

// Totals since genesis cannot be counted from rows, so they live in the meta row.
func (s *State) metaRowSum() Sum {
	return s.rowSum(TableMeta, func(c *coder) { c.meta(&s.meta, &s.counts) })
}
