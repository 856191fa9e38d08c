package rig

import (
	"bufio"
	"fmt"
	"io"
	"strings"
)

// Frames is the reader of event streams for clients that a Stream does not fit.
func Frames(r io.Reader, take func(Frame) error) error { return frames(r, take) }

// frames reads an event stream line by line and hands on every event. It returns io.EOF at a
// clean end between events, io.ErrUnexpectedEOF inside one, or the connection's error. What
// it does not know is an error: a queen has no reason to send it.
func frames(r io.Reader, take func(Frame) error) error {
	in := bufio.NewReader(r)
	var f Frame
	var begun, data bool
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			if err == io.EOF && (begun || line != "") {
				return io.ErrUnexpectedEOF
			}
			return err
		}
		line = strings.TrimSuffix(line, "\n")
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case line == "":
			if begun {
				if err := take(f); err != nil {
					return &Broken{err}
				}
			}
			f, begun, data = Frame{}, false, false
		case name == "": // a comment
		case name == "retry":
		case name == "event":
			f.Event, begun = value, true
		case name == "id":
			f.ID, begun = value, true
		case name == "data" && !data:
			f.Data, begun, data = value, true, true
		default:
			return &Broken{fmt.Errorf("line %.80q", line)}
		}
	}
}

// Broken is a breach of the stream's contract.
type Broken struct{ Err error }

func (b *Broken) Error() string { return "contract broken: " + b.Err.Error() }
func (b *Broken) Unwrap() error { return b.Err }
