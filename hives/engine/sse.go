package engine

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// maxLine bounds one line and also the data of one event.
const maxLine = 1 << 20

var errLineTooLong = fmt.Errorf("a line or event of more than %d bytes", maxLine)

// event is one server-sent event. data is valid until the next call of next.
type event struct {
	name string // of its `event:` line, if it had one
	data []byte
}

// eventReader parses a text/event-stream: LF, CRLF and CR line ends, comments, data over several
// lines. An event counts only with the empty line after it: what stands unfinished at the end
// of the input is dropped, as the standard says.
type eventReader struct {
	r      *bufio.Reader
	line   []byte
	data   []byte
	skipLF bool // the last line ended in CR: an LF right after it belongs to it
	begun  bool
	taken  int64 // bytes up to the end of the last line
}

func newEventReader(r io.Reader) *eventReader {
	return &eventReader{r: bufio.NewReaderSize(r, 16<<10)}
}

// next returns the next event that has data; io.EOF or the reader's error when there is none.
func (p *eventReader) next() (event, error) {
	var e event
	p.data = p.data[:0]
	has := false
	for {
		line, err := p.readLine()
		if err != nil {
			return event{}, err
		}
		if len(line) == 0 {
			if has {
				e.data = p.data
				return e, nil
			}
			e.name = ""
			continue
		}
		field, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(field) {
		case "event":
			e.name = string(value)
			continue
		case "error": // not in the standard: how llama-server before 2025 reported a failure
			e.name = "error"
		case "data":
		default:
			continue // comments (field is empty), id, retry, unknown fields
		}
		if has {
			p.data = append(p.data, '\n')
		}
		has = true
		if len(p.data)+len(value) > maxLine {
			return event{}, errLineTooLong
		}
		p.data = append(p.data, value...)
	}
}

// readLine returns the next whole line without its end, valid until the next call.
func (p *eventReader) readLine() ([]byte, error) {
	p.line = p.line[:0]
	for {
		if p.r.Buffered() == 0 {
			if _, err := p.r.Peek(1); err != nil {
				return nil, err
			}
		}
		buf, _ := p.r.Peek(p.r.Buffered())
		if p.skipLF {
			p.skipLF = false
			if buf[0] == '\n' {
				p.discard(1)
				continue
			}
		}
		end := bytes.IndexAny(buf, "\r\n")
		if end < 0 {
			p.line = append(p.line, buf...)
			p.discard(len(buf))
			if len(p.line) > maxLine {
				return nil, errLineTooLong
			}
			continue
		}
		p.line = append(p.line, buf[:end]...)
		p.skipLF = buf[end] == '\r'
		p.discard(end + 1)
		if len(p.line) > maxLine {
			return nil, errLineTooLong
		}
		if !p.begun {
			p.begun = true
			return bytes.TrimPrefix(p.line, []byte("\xef\xbb\xbf")), nil
		}
		return p.line, nil
	}
}

func (p *eventReader) discard(n int) {
	_, _ = p.r.Discard(n) // they are buffered
	p.taken += int64(n)
}

// atEnd reports whether err is only the end of the input, in order or not.
func atEnd(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}
