package hives

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
)

// Bounds of a stream: one frame, and everything behind the end mark (a folded answer).
const (
	maxFrame = 2 << 20
	maxEnd   = 72 << 20
)

// Stream reads a gateway's answer as runs of whole SSE frames, ready to be copied to a
// client. It looks only for frame boundaries, ids and the end mark; it never parses events.
// Not safe for concurrent use, but Close may be called from elsewhere to break a read.
type Stream struct {
	body io.ReadCloser
	buf  []byte // bytes read and not yet handed out; starts at a frame's beginning
	out  int    // length of the piece handed out last, at the front of buf
}

// Piece is a run of whole frames. Bytes is valid until the next call. Seq is the number of
// the last record whose id it carries, 0 when it carries none.
type Piece struct {
	Bytes []byte
	Seq   uint64
	End   *Terminal // set on the last piece: here the end begins
}

// NewStream wraps an answer's body.
func NewStream(body io.ReadCloser) *Stream { return &Stream{body: body, buf: make([]byte, 0, 4096)} }

// Close ends the stream and, unless it was read to its end, its connection.
func (s *Stream) Close() error { return s.body.Close() }

// Next blocks for more whole frames. io.ErrUnexpectedEOF means that the gateway went away
// before the end mark: the run may well go on, so attach again.
func (s *Stream) Next() (Piece, error) {
	s.buf = append(s.buf[:0], s.buf[s.out:]...)
	s.out = 0
	for {
		if cut := lastBoundary(s.buf); cut > 0 {
			return s.piece(cut)
		}
		if len(s.buf) > maxFrame {
			return Piece{}, fmt.Errorf("hive sent a frame over %d bytes", maxFrame)
		}
		if err := s.fill(); err != nil {
			return Piece{}, err
		}
	}
}

// piece hands out buf[:cut], or what is before the end mark if that is in it.
func (s *Stream) piece(cut int) (Piece, error) {
	head := s.buf[:cut]
	at := endMark(head)
	if at < 0 {
		s.out = cut
		return Piece{Bytes: head, Seq: lastSeq(head)}, nil
	}
	line, _, _ := bytes.Cut(head[at+len(EndMark):], []byte("\n"))
	var t Terminal
	if err := json.Unmarshal(line, &t); err != nil {
		return Piece{}, fmt.Errorf("hive's end mark: %w", err)
	}
	s.out = at + len(EndMark) + len(line) + len("\n\n")
	return Piece{Bytes: head[:at], Seq: lastSeq(head[:at]), End: &t}, nil
}

// Rest reads what is behind the end mark, up to the gateway's close.
func (s *Stream) Rest() ([]byte, error) {
	rest := append([]byte(nil), s.buf[min(s.out, len(s.buf)):]...)
	more, err := io.ReadAll(io.LimitReader(s.body, maxEnd+1))
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
		s.buf = append(make([]byte, 0, 2*cap(s.buf)), s.buf...)
	}
	n, err := s.body.Read(s.buf[len(s.buf):cap(s.buf)])
	s.buf = s.buf[:len(s.buf)+n]
	if n > 0 {
		return nil
	}
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// lastBoundary is the end of the last whole record or comment in b, 0 if there is none. A
// record may be several frames, of which the last has its id: half of one is never handed
// out, or a reader that attaches again would repeat it.
func lastBoundary(b []byte) int {
	for cut := bytes.LastIndex(b, frameEnd); cut >= 0; {
		start := bytes.LastIndex(b[:cut], frameEnd)
		frame := b[max(0, start):cut]
		if start >= 0 {
			frame = frame[len(frameEnd):]
		}
		if frame = bytes.TrimLeft(frame, "\n"); len(frame) == 0 || frame[0] == ':' ||
			bytes.HasPrefix(frame, []byte("id: ")) || bytes.Contains(frame, []byte("\nid: ")) {
			return cut + len(frameEnd)
		}
		cut = start
	}
	return 0
}

var frameEnd = []byte("\n\n")

// endMark finds the end mark at the beginning of a line.
func endMark(b []byte) int {
	if bytes.HasPrefix(b, []byte(EndMark)) {
		return 0
	}
	if i := bytes.Index(b, []byte("\n"+EndMark)); i >= 0 {
		return i + 1
	}
	return -1
}

// lastSeq is N of the last line `id: A.N` in b.
func lastSeq(b []byte) uint64 {
	i := bytes.LastIndex(b, []byte("\nid: "))
	switch {
	case i >= 0:
		b = b[i+len("\nid: "):]
	case bytes.HasPrefix(b, []byte("id: ")):
		b = b[len("id: "):]
	default:
		return 0
	}
	line, _, _ := bytes.Cut(b, []byte("\n"))
	_, n, _ := bytes.Cut(line, []byte("."))
	seq, err := strconv.ParseUint(string(n), 10, 64)
	if err != nil {
		return 0
	}
	return seq
}
