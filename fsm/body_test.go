package fsm

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"
)

func TestPackBody(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	noise := make([]byte, 40<<10)
	for i := range noise {
		noise[i] = byte(random.Uint32())
	}
	for _, c := range []struct {
		name   string
		data   []byte
		packed bool
	}{
		{"empty", nil, false},
		{"small", []byte(`{"a":1}`), false},
		{"at the bound", bytes.Repeat([]byte("a"), packAbove), false},
		{"above the bound", bytes.Repeat([]byte("a"), packAbove+1), true},
		{"noise", noise, false},
		{"large", bytes.Repeat([]byte("hello "), 1<<20), true},
	} {
		b := PackBody(c.data)
		if b.Packed != c.packed || int(b.Size) != len(c.data) || len(b.Data) > len(c.data) {
			t.Errorf("%s: packed %v, size %d, stored %d", c.name, b.Packed, b.Size, len(b.Data))
		}
		got, err := b.Open(8 << 20)
		if err != nil || !bytes.Equal(got, c.data) {
			t.Errorf("%s: opens to %d bytes, %v", c.name, len(got), err)
		}
		if len(c.data) > 0 {
			if _, err := b.Open(len(c.data) - 1); !errors.Is(err, &Error{Code: CodeTooLarge}) {
				t.Errorf("%s: opens beyond the limit: %v", c.name, err)
			}
		}
	}
}

// A body that lies about its size opens to an error, and inflates no further than it said.
func TestOpenRefuses(t *testing.T) {
	bomb := PackBody(bytes.Repeat([]byte{0}, 32<<20))
	for name, b := range map[string]Body{
		"says less":       {Data: bomb.Data, Packed: true, Size: 1000},
		"says more":       {Data: bomb.Data, Packed: true, Size: bomb.Size + 1},
		"not packed":      {Data: []byte("plain text that is no frame"), Packed: true, Size: 27},
		"cut off":         {Data: bomb.Data[:len(bomb.Data)/2], Packed: true, Size: bomb.Size},
		"two frames":      {Data: append(bytes.Clone(bomb.Data), bomb.Data...), Packed: true, Size: bomb.Size},
		"plain, too long": {Data: []byte("abc"), Size: 2},
		"nothing":         {Packed: true, Size: 1},
	} {
		if out, err := b.Open(64 << 20); err == nil {
			t.Errorf("%s: opened to %d bytes", name, len(out))
		}
	}
}
