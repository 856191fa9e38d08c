package client

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
)

// Limits of what a stream may send. A frame is one event: a token, or an error's text.
const (
	maxLine  = 1 << 20
	maxFrame = 4 << 20
)

var (
	errLineTooLong  = errors.New("a line of the stream is over 1 MiB")
	errFrameTooLong = errors.New("an event of the stream is over 4 MiB")
)

// frame is one event as it stands on the wire.
type frame struct {
	event   string
	id      string
	hasID   bool
	data    []byte
	hasData bool
}

// frameReader reads Server-Sent Events. Comments are skipped; an event cut off by the end
// of the connection is dropped, since it will come again after a resume.
type frameReader struct {
	in    *bufio.Reader
	line  []byte
	first bool
}

func newFrameReader(r io.Reader) *frameReader {
	return &frameReader{in: bufio.NewReaderSize(r, 16<<10), first: true}
}

// next reads one frame. io.EOF is a connection that closed, in mid-frame or not.
func (r *frameReader) next() (frame, error) {
	var f frame
	for {
		line, err := r.readLine()
		if err != nil {
			return frame{}, err
		}
		if len(line) == 0 {
			if f.hasData || f.hasID || f.event != "" {
				return f, nil
			}
			continue
		}
		f.field(line)
		if len(f.data) > maxFrame {
			return frame{}, errFrameTooLong
		}
	}
}

func (f *frame) field(line []byte) {
	name, value, _ := bytes.Cut(line, []byte(":"))
	value = bytes.TrimPrefix(value, []byte(" "))
	switch string(name) {
	case "event":
		f.event = string(value)
	case "id":
		if id := string(value); !strings.Contains(id, "\x00") {
			f.id, f.hasID = id, true
		}
	case "data":
		if f.hasData {
			f.data = append(f.data, '\n')
		}
		f.data, f.hasData = append(f.data, value...), true
	} // "" is a comment; retry and unknown fields mean nothing here
}

// readLine returns one whole line without its end, valid until the next call.
func (r *frameReader) readLine() ([]byte, error) {
	r.line = r.line[:0]
	for {
		part, err := r.in.ReadSlice('\n')
		r.line = append(r.line, part...)
		if len(r.line) > maxLine {
			return nil, errLineTooLong
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if err != nil {
			return nil, err // a line without its end is no line
		}
		line := bytes.TrimSuffix(r.line[:len(r.line)-1], []byte("\r"))
		if r.first {
			r.first = false
			line = bytes.TrimPrefix(line, []byte("\xef\xbb\xbf"))
		}
		return line, nil
	}
}
