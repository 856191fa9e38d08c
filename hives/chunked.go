package hives

import (
	"bytes"
	"errors"
	"io"
)

// maxChunkLine bounds the line that begins a chunk, and each trailer.
const maxChunkLine = 4 << 10

var errChunk = errors.New("hive's answer is not chunked as HTTP says")

// chunks takes HTTP's chunked encoding off a stream of bytes, wherever it was cut.
type chunks struct {
	left  uint64 // of the chunk under way
	state chunkState
	line  int // bytes of the current line
	empty bool
}

type chunkState uint8

const (
	chunkSize  chunkState = iota // digits
	chunkExt                     // what may follow them, up to the line's end
	chunkData                    // left bytes
	chunkTail                    // the line's end behind them
	chunkTrail                   // lines after the last chunk, up to an empty one
	chunkOver                    // nothing more of this answer comes
)

// over tells that the answer was read to its end.
func (c *chunks) over() bool { return c.state == chunkOver }

// plain moves what is in raw to its front, without the encoding, and gives that. What comes
// after the end of the answer is left out.
func (c *chunks) plain(raw []byte) ([]byte, error) {
	out := raw[:0]
	for len(raw) > 0 && c.state != chunkOver {
		if c.state == chunkData {
			n := min(c.left, uint64(len(raw)))
			out = append(out, raw[:n]...)
			raw, c.left = raw[n:], c.left-n
			if c.left == 0 {
				c.state = chunkTail
			}
			continue
		}
		if err := c.framing(raw[0]); err != nil {
			return out, err
		}
		raw = raw[1:]
	}
	return out, nil
}

// framing takes one byte that is not data.
func (c *chunks) framing(b byte) error {
	if c.line++; c.line > maxChunkLine {
		return errChunk
	}
	switch c.state {
	case chunkSize:
		return c.size(b)
	case chunkExt:
		if b == '\n' {
			c.begin()
		}
	case chunkTail:
		if b == '\n' {
			c.state, c.line = chunkSize, 0
		} else if b != '\r' {
			return errChunk
		}
	default: // chunkTrail
		switch b {
		case '\n':
			if c.empty {
				c.state = chunkOver
			}
			c.empty, c.line = true, 0
		case '\r':
		default:
			c.empty = false
		}
	}
	return nil
}

func (c *chunks) size(b byte) error {
	digit := bytes.IndexByte([]byte("0123456789abcdef"), b|0x20)
	switch {
	case b >= '0' && b <= '9':
		digit = int(b - '0')
	case digit >= 10:
	case c.line == 1:
		return errChunk
	case b == '\n':
		c.begin()
		return nil
	case b == '\r', b == ';', b == ' ', b == '\t':
		c.state = chunkExt
		return nil
	default:
		return errChunk
	}
	if c.left >= 1<<60 {
		return errChunk
	}
	c.left = c.left<<4 | uint64(digit)
	return nil
}

// begin is the end of a line with a size.
func (c *chunks) begin() {
	c.line = 0
	if c.state = chunkData; c.left == 0 {
		c.state, c.empty = chunkTrail, true
	}
}

// read reads from r without the encoding; io.EOF at the answer's end, io.ErrUnexpectedEOF when
// r ends before it.
func (c *chunks) read(r io.Reader, b []byte) (int, error) {
	for !c.over() {
		n, err := r.Read(b)
		got, bad := c.plain(b[:n])
		if bad != nil {
			return len(got), bad
		}
		if len(got) > 0 {
			return len(got), nil
		}
		if err != nil && !c.over() {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return 0, err
		}
	}
	return 0, io.EOF
}
