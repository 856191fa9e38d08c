package models

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"strings"

	"queen-rbee/hives"
)

// Bounds of a GGUF header. Real ones have some 300 keys, 2,000 tensors, 260,000 tokens and 8 MB.
const (
	maxHeaderBytes  = 64 << 20
	maxKeys         = 1 << 14
	maxTensors      = 1 << 17
	maxText         = 4 << 20 // of one string
	maxElements     = 2 << 20 // of one array
	maxLayers       = 4096
	maxDimensions   = 4
	ggufMagic       = "GGUF"
	oldestGGUF      = 2
	newestGGUF      = 3
	typeString      = 8
	typeArray       = 9
	keyOfLayerCount = ".block_count"
)

// widths are the bytes of a value by its type; strings and arrays say theirs.
var widths = map[uint32]int64{0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}

// errNoGGUF: it is of another format.
var errNoGGUF = errors.New("it is no GGUF file")

// header walks over a GGUF header and copies it, so that a parser that believes what it reads
// gets nothing that is too large: every count and length is held against a bound and against
// what is really there.
type header struct {
	in   *bufio.Reader
	out  io.Writer
	read int64
	err  error
}

// copyHeader copies a header of at most maxHeaderBytes, and not a byte more. errNoGGUF: it is
// of another format.
func copyHeader(out io.Writer, in io.Reader) error {
	h := &header{in: bufio.NewReaderSize(in, 64<<10), out: out}
	magic := h.take(4)
	if h.err == nil && string(magic) != ggufMagic {
		return errNoGGUF
	}
	if v := h.uint32(); h.err == nil && (v < oldestGGUF || v > newestGGUF) {
		h.fail("is of version %d: versions %d and %d are known, in the byte order of small machines", v, oldestGGUF, newestGGUF)
	}
	tensors, keys := h.uint64(), h.uint64()
	if tensors > maxTensors || keys > maxKeys {
		h.fail("says it has %d tensors and %d keys", tensors, keys)
	}
	for i := uint64(0); i < keys && h.err == nil; i++ {
		name := string(h.text())
		h.value(name, h.uint32(), true)
	}
	for i := uint64(0); i < tensors && h.err == nil; i++ {
		h.tensor()
	}
	return h.err
}

func (h *header) fail(format string, args ...any) {
	if h.err == nil {
		h.err = hives.Errorf(hives.CodeInvalid, "the GGUF header "+format, args...)
	}
}

// take reads and copies n bytes; after an error nothing.
func (h *header) take(n int64) []byte {
	if h.read += n; h.err == nil && h.read > maxHeaderBytes {
		h.fail("is longer than %d bytes", int64(maxHeaderBytes))
	}
	if h.err != nil {
		return make([]byte, 8)
	}
	buf := make([]byte, n)
	if _, err := io.ReadFull(h.in, buf); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			h.fail("breaks off")
		}
		if h.err == nil {
			h.err = err
		}
		return make([]byte, 8)
	}
	if _, err := h.out.Write(buf); err != nil {
		h.err = coded(CodeDisk, err)
	}
	return buf
}

func (h *header) uint32() uint32 { return binary.LittleEndian.Uint32(h.take(4)) }
func (h *header) uint64() uint64 { return binary.LittleEndian.Uint64(h.take(8)) }

func (h *header) text() []byte {
	n := h.uint64()
	if n > maxText {
		h.fail("has a text of %d bytes", n)
	}
	if h.err != nil {
		return nil
	}
	return h.take(int64(n))
}

func (h *header) value(key string, kind uint32, arrays bool) {
	switch width, plain := widths[kind]; {
	case plain:
		value := h.take(width)
		if strings.HasSuffix(key, keyOfLayerCount) && layers(value) > maxLayers {
			h.fail("says in %.60q that there are %d layers", key, layers(value))
		}
	case kind == typeString:
		h.text()
	case kind == typeArray && arrays:
		of, n := h.uint32(), h.uint64()
		if n > maxElements {
			h.fail("has %d values in %.60q", n, key)
			return
		}
		if width, plain := widths[of]; plain {
			h.take(width * int64(n))
			return
		}
		for i := uint64(0); i < n && h.err == nil; i++ {
			h.value("", of, false)
		}
	default:
		h.fail("has a value of type %d in %.60q", kind, key)
	}
}

// layers is a number of any width; what is read as a negative or broken one is too large.
func layers(value []byte) uint64 {
	var wide [8]byte
	copy(wide[:], value)
	return binary.LittleEndian.Uint64(wide[:])
}

func (h *header) tensor() {
	h.text()
	n := h.uint32()
	if n == 0 || n > maxDimensions {
		h.fail("has a tensor of %d dimensions", n)
		return
	}
	h.take(8 * int64(n))
	h.take(4 + 8) // type and offset
}
