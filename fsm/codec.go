package fsm

import "fmt"

// batchFormat is the first byte of an encoded batch.
const batchFormat = 1

// EncodeBatch writes the compact versioned binary form of a batch: the format byte, the
// header, the count of commands, and for each its number and fields. A field over its limit
// is an error that names it.
func EncodeBatch(b *Batch) ([]byte, error) {
	c := &coder{buf: make([]byte, 0, sizeHint(b))}
	c.buf = append(c.buf, batchFormat)
	c.header(b)
	c.length("commands", len(b.Commands), MaxCommands)
	for i, cmd := range b.Commands {
		n := cmd.number()
		c.command, c.kind = i+1, n
		c.buf = append(c.buf, byte(n))
		kinds[n].code(c, cmd)
		if c.err != nil {
			return nil, fmt.Errorf("encode batch: %w", c.err)
		}
	}
	if c.err != nil {
		return nil, fmt.Errorf("encode batch: %w", c.err)
	}
	return c.buf, nil
}

// DecodeBatch reads what EncodeBatch wrote. It never panics and never allocates more than
// the input justifies; an unknown number or a malformed field is an error that names it. The
// batch keeps nothing of data.
func DecodeBatch(data []byte) (*Batch, error) {
	b, err := decodeBatch(data)
	if err != nil {
		return nil, fmt.Errorf("decode batch: %w", err)
	}
	return b, nil
}

func decodeBatch(data []byte) (*Batch, error) {
	c := &coder{buf: data, reading: true}
	var format uint8
	c.byte("format", &format)
	if c.err == nil && format != batchFormat {
		return nil, fmt.Errorf("format %d is not known to this build (want %d)", format, batchFormat)
	}
	b := new(Batch)
	c.header(b)
	count := c.length("commands", 0, MaxCommands)
	b.Commands = make([]Command, 0, min(count, 256))
	for i := 0; i < count && c.err == nil; i++ {
		var n uint8
		c.command = 0
		c.byte("number of a command", &n)
		if c.err != nil {
			break
		}
		if int(n) >= len(kinds) || kinds[n].make == nil {
			return nil, fmt.Errorf("command %d has number %d, unknown to this build: install a newer queen-rbee", i+1, n)
		}
		c.command, c.kind = i+1, Number(n)
		cmd := kinds[n].make()
		kinds[n].code(c, cmd)
		b.Commands = append(b.Commands, cmd)
	}
	if c.err == nil && len(c.buf) > 0 {
		return nil, fmt.Errorf("%d bytes too many behind the last command", len(c.buf))
	}
	return b, c.err
}

func (c *coder) header(b *Batch) {
	number(c, "base", &b.Base)
	c.fixed("epoch", b.Epoch[:])
	c.time("now", &b.Now)
	signed(c, "wall", &b.Wall)
	c.level(&b.Level)
}

// sizeHint saves growing: bodies weigh, the rest is small.
func sizeHint(b *Batch) int {
	size := 64 + 128*len(b.Commands)
	for _, cmd := range b.Commands {
		if s, ok := cmd.(*Submit); ok {
			size += 256 + len(s.Job.Body.Data)
		}
	}
	return size
}
