package runlog

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"hash/crc32"
	"time"

	"queen-rbee/hives"
)

// A file is the magic (format version included), a frame that holds Meta as JSON, and one
// frame per record. A frame is
//
//	length of payload uint32 | CRC-32C of payload uint32 | payload
//
// little endian, the payload never empty: a tail of zeros is no frame. The payload of a record:
//
//	kind byte | flags byte | seq uvarint | offset uvarint, if flagged | text | number of chunks uvarint | per chunk: flags byte, bytes
//
// text and bytes led by their length as uvarint. Text of an End is endText as JSON.
const (
	magic       = "rbeerun1"
	frameHeader = 8
	flagCloses  = 1
	flagOffset  = 2
	flagUsage   = 1
	flagAnswer  = 2
)

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)

	errTorn    = errors.New("runlog: torn frame")
	errCorrupt = errors.New("runlog: frame does not decode")
)

// endText is what an End record holds in place of text.
type endText struct {
	Terminal hives.Terminal `json:"terminal"`
	EndedAt  time.Time      `json:"ended_at"`
}

// appendFrame appends payload() as a frame.
func appendFrame(dst []byte, payload func([]byte) []byte) []byte {
	start := len(dst)
	dst = append(dst, make([]byte, frameHeader)...)
	dst = payload(dst)
	body := dst[start+frameHeader:]
	binary.LittleEndian.PutUint32(dst[start:], uint32(len(body)))
	binary.LittleEndian.PutUint32(dst[start+4:], crc32.Checksum(body, castagnoli))
	return dst
}

// frameSize gives the whole size of the frame that begins b, 0 if b is too short to tell.
func frameSize(b []byte) int64 {
	if len(b) < frameHeader {
		return 0
	}
	return frameHeader + int64(binary.LittleEndian.Uint32(b))
}

// cutFrame takes the first frame off b: its payload and the rest. errTorn if b holds no whole
// and sound frame.
func cutFrame(b []byte) (payload, rest []byte, err error) {
	size := frameSize(b)
	if size <= frameHeader || size > int64(len(b)) {
		return nil, b, errTorn
	}
	payload = b[frameHeader:size]
	if crc32.Checksum(payload, castagnoli) != binary.LittleEndian.Uint32(b[4:]) {
		return nil, b, errTorn
	}
	return payload, b[size:], nil
}

func appendRecord(dst []byte, r Record, text []byte) []byte {
	return appendFrame(dst, func(b []byte) []byte {
		flags := byte(0)
		if r.Closes {
			flags |= flagCloses
		}
		if r.Offset > 0 {
			flags |= flagOffset
		}
		b = append(b, byte(r.Kind), flags)
		b = binary.AppendUvarint(b, r.Seq)
		if r.Offset > 0 {
			b = binary.AppendUvarint(b, uint64(r.Offset))
		}
		b = appendBytes(b, text)
		b = binary.AppendUvarint(b, uint64(len(r.Chunks)))
		for _, c := range r.Chunks {
			flags := byte(0)
			if c.Usage {
				flags |= flagUsage
			}
			if c.Answer {
				flags |= flagAnswer
			}
			b = appendBytes(append(b, flags), c.Raw)
		}
		return b
	})
}

func appendBytes(dst, b []byte) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(b))), b...)
}

// decodeRecord reads a payload. The record's bytes are parts of it. The end's time is given
// apart, as only the Store needs it.
func decodeRecord(payload []byte) (r Record, ended time.Time, err error) {
	d := decoder{b: payload}
	r.Kind = Kind(d.byte())
	flags := d.byte()
	r.Closes = flags&flagCloses != 0
	r.Seq = d.uvarint()
	if flags&flagOffset != 0 {
		r.Offset = int64(d.uvarint())
		d.bad = d.bad || r.Offset <= 0
	}
	text := d.bytes()
	n := d.uvarint()
	if n > uint64(len(d.b)) { // each chunk takes a byte at least
		return Record{}, time.Time{}, errCorrupt
	}
	if n > 0 {
		r.Chunks = make([]Chunk, 0, min(n, 16)) // n is only a claim
	}
	for range n {
		flags := d.byte()
		r.Chunks = append(r.Chunks, Chunk{Raw: d.bytes(), Usage: flags&flagUsage != 0, Answer: flags&flagAnswer != 0})
	}
	if d.bad || len(d.b) != 0 {
		return Record{}, time.Time{}, errCorrupt
	}
	switch r.Kind {
	case Started:
	case Content:
		r.Text = text
	case End:
		var e endText
		if json.Unmarshal(text, &e) != nil {
			return Record{}, time.Time{}, errCorrupt
		}
		r.Terminal, ended = &e.Terminal, e.EndedAt
	default:
		return Record{}, time.Time{}, errCorrupt
	}
	return r, ended, nil
}

// decoder takes fields off b; bad stays set after the first that is not there.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) byte() byte {
	if len(d.b) == 0 {
		d.bad = true
		return 0
	}
	c := d.b[0]
	d.b = d.b[1:]
	return c
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.bad = true
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) bytes() []byte {
	n := d.uvarint()
	if d.bad || n > uint64(len(d.b)) {
		d.bad = true
		return nil
	}
	v := d.b[:n:n]
	d.b = d.b[n:]
	return v
}
