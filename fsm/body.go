package fsm

import (
	"fmt"

	"github.com/klauspost/compress/zstd"
)

// packAbove is the size in bytes above which a body is compressed.
const packAbove = 16 << 10

// Coders have no state between bodies and are shared by all who pack and open; none starts a
// goroutine in this use. The opener inflates no further than the room it is given.
var (
	packer = must(zstd.NewWriter(nil, zstd.WithEncoderConcurrency(coders), zstd.WithEncoderLevel(zstd.SpeedFastest)))
	opener = must(zstd.NewReader(nil, zstd.WithDecoderConcurrency(coders), zstd.WithDecodeAllCapLimit(true),
		zstd.WithDecoderMaxMemory(2*MaxBody)))
)

// coders is how many bodies may be packed, or opened, at once; others wait their turn.
const coders = 4

// must is for constructors whose arguments are constants.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// PackBody compresses bodies above 16 KiB, when that saves anything. It belongs to those who
// make requests; Apply never packs or opens a body. Data may alias the argument.
func PackBody(data []byte) Body {
	plain := Body{Data: data, Size: uint32(len(data))}
	if len(data) <= packAbove {
		return plain
	}
	packed := packer.EncodeAll(data, nil)
	if len(packed) >= len(data) {
		return plain
	}
	return Body{Data: packed, Packed: true, Size: uint32(len(data))}
}

// Open returns the body's bytes, never more than limit. A body that says it is larger, or
// opens to anything but its Size, is an error; nothing beyond Size is ever inflated.
func (b Body) Open(limit int) ([]byte, error) {
	if int64(b.Size) > int64(limit) {
		return nil, Errorf(CodeTooLarge, "body of %d bytes is over the limit of %d", b.Size, limit)
	}
	if !b.Packed {
		if len(b.Data) != int(b.Size) {
			return nil, fmt.Errorf("body has %d bytes, not the %d it says", len(b.Data), b.Size)
		}
		return b.Data, nil
	}
	var head zstd.Header
	if err := head.Decode(b.Data); err != nil {
		return nil, fmt.Errorf("open body: %w", err)
	}
	if !head.HasFCS || head.FrameContentSize != uint64(b.Size) {
		return nil, fmt.Errorf("open body: its frame does not hold the %d bytes it says", b.Size)
	}
	out, err := opener.DecodeAll(b.Data, make([]byte, 0, b.Size))
	if err != nil {
		return nil, fmt.Errorf("open body: %w", err)
	}
	if len(out) != int(b.Size) {
		return nil, fmt.Errorf("open body: %d bytes, not the %d it says", len(out), b.Size)
	}
	return out, nil
}
