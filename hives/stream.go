package hives

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// MaxRecord bounds one record of a run in bytes: its text, its chunks, and ChunkFraming for
// each chunk.
const (
	MaxRecord    = 8 << 20
	ChunkFraming = 8 // what a chunk's frame takes beside the chunk
)

// Bounds of a stream: one record as it is rendered (JSON takes up to six bytes for one of
// text), and everything behind the end mark (a folded answer).
const (
	maxFrames = 6*MaxRecord + 64<<10
	maxEnd    = 72 << 20
)

var errRecord = fmt.Errorf("hive sent a record over %d bytes", maxFrames)

// roomy is the buffer in bytes that a stream keeps; what a larger record needed is given back.
const roomy = 64 << 10

// Stream reads a gateway's answer as runs of whole records, ready to be copied to a client.
// It looks only at how lines begin: for boundaries, ids and the end mark; it never parses
// events. Not safe for concurrent use, but Close may be called from elsewhere to break a read.
//
// A boundary is where a reader that breaks off resumes without a gap or a repeat. A record is
// one or more frames of which the last has its id, or an id alone. To tell the two apart the
// gateway writes the id of a frame behind its first line: an id that comes first in a frame is
// a record of its own, whole with its line, and so is a comment. Neither ends with a blank
// line, which some clients (the OpenAI SDKs) take for an event without data.
type Stream struct {
	// Heard is called whenever bytes have come, if it is set.
	Heard func()

	body io.ReadCloser
	buf  []byte // bytes read and not yet handed out; starts at a boundary
	out  int    // length of the piece handed out last, at the front of buf

	borrowed bool // buf is scratch of who feeds: see Feed

	line  int    // where the first line begins that was not looked at
	look  int    // up to where that line was searched for its end
	safe  int    // the last boundary before line, 0 if there is none
	seq   uint64 // of the last record before safe, 0 if there is none
	named uint64 // number in the id of the frame that is open, 0 if it has none
	frame bool   // a frame is open: it has lines that are neither id nor comment
	half  bool   // frames of a record came, but not yet its last
}

// Piece is a run of whole records. Bytes is valid until the next call. Seq is the number of
// the last record it holds, 0 when it holds none.
type Piece struct {
	Bytes []byte
	Seq   uint64
	End   *Terminal // set on the last piece: here the end begins
}

// NewStream wraps an answer's body.
func NewStream(body io.ReadCloser) *Stream { return &Stream{body: body, buf: make([]byte, 0, 4096)} }

// Close ends the stream and, unless it was read to its end, its connection.
func (s *Stream) Close() error { return s.body.Close() }

// Next blocks for more whole records. io.ErrUnexpectedEOF means that the gateway went away
// before the end mark: the run may well go on, so attach again.
func (s *Stream) Next() (Piece, error) {
	s.shift()
	for {
		if mark, line := s.scan(); line != nil {
			return s.end(mark, line)
		}
		if s.safe > 0 {
			s.out = s.safe
			return Piece{Bytes: s.buf[:s.safe], Seq: s.seq}, nil
		}
		if len(s.buf) > maxFrames {
			return Piece{}, errRecord
		}
		if err := s.fill(); err != nil {
			return Piece{}, err
		}
	}
}

// shift forgets what was handed out.
func (s *Stream) shift() {
	left := s.buf[s.out:]
	if cap(s.buf) > roomy && len(left) < roomy/2 {
		s.buf = append(make([]byte, 0, roomy), left...)
	} else if s.out > 0 {
		s.buf = append(s.buf[:0], left...)
	}
	s.line, s.look = s.line-s.out, s.look-s.out
	s.out, s.safe, s.seq = 0, 0, 0
}

// scan looks at the lines that are whole and new, up to the end mark: its place and its line.
func (s *Stream) scan() (mark int, line []byte) {
	for {
		n := bytes.IndexByte(s.buf[s.look:], '\n')
		if n < 0 {
			s.look = len(s.buf)
			return 0, nil
		}
		begin, end := s.line, s.look+n
		line := s.buf[begin:end]
		s.line, s.look = end+1, end+1
		if !s.frame && bytes.HasPrefix(line, []byte(EndMark)) {
			return begin, line
		}
		s.take(line)
	}
}

// take follows one line.
func (s *Stream) take(line []byte) {
	id, isID := bytes.CutPrefix(line, []byte("id: "))
	switch {
	case isID && s.frame:
		s.named = seqOf(id)
	case isID:
		s.boundary(seqOf(id))
	case len(line) == 0 && s.frame && s.named > 0:
		s.frame = false
		s.boundary(s.named)
	case len(line) == 0 && s.frame:
		s.frame, s.half = false, true
	case len(line) > 0 && line[0] != ':':
		s.frame = true
	case !s.frame && !s.half: // a comment, or nothing, between records
		s.safe = s.line
	}
}

// boundary is the end of record seq.
func (s *Stream) boundary(seq uint64) {
	s.safe, s.seq, s.named, s.half = s.line, seq, 0, false
}

// end hands out what is before the end mark.
func (s *Stream) end(mark int, line []byte) (Piece, error) {
	var t Terminal
	if err := json.Unmarshal(line[len(EndMark):], &t); err != nil {
		return Piece{}, fmt.Errorf("hive's end mark: %w", err)
	}
	s.out = s.line
	return Piece{Bytes: s.buf[:mark], Seq: s.seq, End: &t}, nil
}

// Rest reads what is behind the end mark, up to the gateway's close.
func (s *Stream) Rest() ([]byte, error) {
	rest := append([]byte(nil), s.buf[s.out:]...)
	more, err := io.ReadAll(io.LimitReader(readerFunc(s.read), maxEnd+1))
	if err != nil {
		return nil, err
	}
	rest = append(rest, more...)
	if len(rest) > maxEnd {
		return nil, fmt.Errorf("hive sent an end over %d bytes", maxEnd)
	}
	return rest, nil
}

// fill reads once, growing the buffer when it is full.
func (s *Stream) fill() error {
	if len(s.buf) == cap(s.buf) {
		s.buf = append(make([]byte, 0, max(4<<10, 2*cap(s.buf))), s.buf...)
	}
	n, err := s.read(s.buf[len(s.buf):cap(s.buf)])
	s.buf = s.buf[:len(s.buf)+n]
	if n > 0 {
		return nil
	}
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

func (s *Stream) read(b []byte) (int, error) {
	n, err := s.body.Read(b)
	if n > 0 && s.Heard != nil {
		s.Heard()
	}
	return n, err
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

// seqOf is N of an id `A.N`, 0 if it is none.
func seqOf(id []byte) uint64 {
	_, n, _ := bytes.Cut(id, []byte("."))
	seq, err := strconv.ParseUint(string(n), 10, 64)
	if err != nil {
		return 0
	}
	return seq
}
