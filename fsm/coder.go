package fsm

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"
)

// coder writes or reads the binary form. Records and commands describe their fields once,
// for both directions, so the two cannot drift apart: writing only reads through the
// pointers, reading only fills them. The first error stays and all after it is idle.
//
// The form: unsigned numbers are minimal varints, signed ones zigzag varints, strings and
// lists carry their length first, enums and flags are one byte. There is one encoding of a
// value: what reads at all reads back to the same bytes.
type coder struct {
	buf       []byte // written so far, or what is left to read
	reading   bool
	unchecked bool // writing what was checked before: no limits
	command   int  // the command being coded, from 1, and what it is: for errors
	kind      Number
	err       error
}

func (c *coder) fail(field, format string, args ...any) {
	if c.err != nil {
		return
	}
	if c.command > 0 {
		field = fmt.Sprintf("command %d (%s): %s", c.command, c.kind, field)
	}
	c.err = fmt.Errorf("%s: %s", field, fmt.Sprintf(format, args...))
	if c.reading {
		c.buf = nil
	}
}

// uvarint is the number under everything.
func (c *coder) uvarint(field string, v *uint64) {
	if !c.reading {
		c.buf = binary.AppendUvarint(c.buf, *v)
		return
	}
	if c.err != nil {
		return
	}
	n, size := binary.Uvarint(c.buf)
	switch {
	case size == 0:
		c.fail(field, "cut off")
	case size < 0:
		c.fail(field, "number over 64 bits")
	case size > 1 && c.buf[size-1] == 0:
		c.fail(field, "number not in its shortest form")
	default:
		*v, c.buf = n, c.buf[size:]
	}
}

// number is an unsigned number of any width.
func number[T ~uint8 | ~uint16 | ~uint32 | ~uint64](c *coder, field string, v *T) {
	n := uint64(*v)
	c.uvarint(field, &n)
	if !c.reading || c.err != nil {
		return
	}
	if *v = T(n); uint64(*v) != n {
		c.fail(field, "%d is too large", n)
	}
}

// signed is a number that may be below zero.
func signed[T ~int | ~int64](c *coder, field string, v *T) {
	n := uint64(*v)<<1 ^ uint64(int64(*v)>>63)
	c.uvarint(field, &n)
	if c.reading && c.err == nil {
		*v = T(int64(n>>1) ^ -int64(n&1))
	}
}

func (c *coder) time(field string, v *time.Duration) { signed(c, field, v) }

// enum is one byte from a range; zero is for a value that may be absent.
func enum[T ~uint8](c *coder, field string, v *T, least, most T) {
	b := uint8(*v)
	c.byte(field, &b)
	if c.reading {
		*v = T(b)
	}
	if c.err == nil && !c.unchecked && (*v < least || *v > most) {
		c.fail(field, "unknown value %d", *v)
	}
}

func (c *coder) byte(field string, v *uint8) {
	if !c.reading {
		c.buf = append(c.buf, *v)
		return
	}
	if b := c.take(field, 1); b != nil {
		*v = b[0]
	}
}

func (c *coder) flag(field string, v *bool) {
	var b uint8
	if *v {
		b = 1
	}
	c.byte(field, &b)
	if c.reading && c.err == nil {
		if *v = b == 1; b > 1 {
			c.fail(field, "flag is %d, not 0 or 1", b)
		}
	}
}

// take is the next n bytes of the input, not copied.
func (c *coder) take(field string, n int) []byte {
	if c.err != nil {
		return nil
	}
	if n > len(c.buf) {
		c.fail(field, "cut off")
		return nil
	}
	b := c.buf[:n:n]
	c.buf = c.buf[n:]
	return b
}

// fixed is bytes of a known length.
func (c *coder) fixed(field string, v []byte) {
	if !c.reading {
		c.buf = append(c.buf, v...)
		return
	}
	copy(v, c.take(field, len(v)))
}

func (c *coder) sum(field string, v *Sum) {
	var b [16]byte
	if !c.reading {
		b = v.bytes()
	}
	c.fixed(field, b[:])
	if c.reading {
		*v = Sum{Hi: binary.BigEndian.Uint64(b[:8]), Lo: binary.BigEndian.Uint64(b[8:])}
	}
}

func (s Sum) bytes() (b [16]byte) {
	binary.BigEndian.PutUint64(b[:8], s.Hi)
	binary.BigEndian.PutUint64(b[8:], s.Lo)
	return b
}

// fraction is a float that is a number.
func (c *coder) fraction(field string, v *float64) {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], math.Float64bits(*v))
	c.fixed(field, b[:])
	if c.reading {
		*v = math.Float64frombits(binary.BigEndian.Uint64(b[:]))
	}
	if math.IsNaN(*v) {
		c.fail(field, "not a number")
	}
}

// length is the count in front of a string or list, at most most and, reading, at most what
// the rest of the input can hold at one byte an item.
func (c *coder) length(field string, n, most int) int {
	if !c.unchecked && n > most {
		c.fail(field, "%d is over the limit of %d", n, most)
		return 0
	}
	v := uint64(n)
	c.uvarint(field, &v)
	if !c.reading {
		return n
	}
	switch {
	case c.err != nil:
		return 0
	case v > uint64(most):
		c.fail(field, "%d is over the limit of %d", v, most)
		return 0
	case v > uint64(len(c.buf)):
		c.fail(field, "cut off")
		return 0
	}
	return int(v)
}

func (c *coder) text(field string, v *string, most int) {
	n := c.length(field, len(*v), most)
	if !c.reading {
		c.buf = append(c.buf, *v...)
	} else if c.err == nil {
		*v = string(c.take(field, n))
	}
}

func (c *coder) id(field string, v *string)   { c.text(field, v, MaxID) }
func (c *coder) name(field string, v *string) { c.text(field, v, MaxName) }

// bytes copies what it reads: the input is one large batch and must not outlive it.
func (c *coder) bytes(field string, v *[]byte, most int) {
	n := c.length(field, len(*v), most)
	switch {
	case !c.reading:
		c.buf = append(c.buf, *v...)
	case n == 0:
		*v = nil
	default:
		*v = append([]byte(nil), c.take(field, n)...)
	}
}

// list is a count and that many items. It grows as items are read: a count alone, however
// large, allocates little.
func list[T any](c *coder, field string, v *[]T, most int, item func(*T)) {
	n := c.length(field, len(*v), most)
	if !c.reading {
		for i := range *v {
			item(&(*v)[i])
		}
		return
	}
	*v = nil
	if n > 0 {
		*v = make([]T, 0, min(n, 16))
	}
	for i := 0; i < n && c.err == nil; i++ {
		var t T
		item(&t)
		*v = append(*v, t)
	}
	if c.err != nil {
		*v = nil
	}
}

// optional is a value that may be absent.
func optional[T any](c *coder, field string, v **T, code func(*T)) {
	there := *v != nil
	c.flag(field, &there)
	if c.err != nil || !there {
		return
	}
	if c.reading {
		*v = new(T)
	}
	code(*v)
}
