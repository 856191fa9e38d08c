package hives

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
)

// Lend takes the stream's connection out of Go's own network poller, for a loop that waits for
// many streams at once: what that reads from the descriptor it hands to Feed. ok is false for a
// stream that cannot be lent (TLS, or bytes read that Next has not looked at); it then goes on as
// before. Until Return only Feed and Settle may be called.
func (s *Stream) Lend() (fd int, ok bool) {
	w, ok := s.body.(*wire)
	if !ok || len(w.ahead) > 0 || w.chunks.over() {
		return 0, false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.interrupted || w.lent || w.keep == nil {
		return 0, false
	}
	fd, err := Detach(w.Conn)
	if err != nil {
		return 0, false
	}
	w.lent = true
	s.Settle()
	return fd, true
}

// Detach gives a descriptor of a TCP connection that Go's network poller knows nothing of, and
// closes the connection's own: what it counted stays with the descriptor. It does not block.
func Detach(c net.Conn) (fd int, err error) {
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		return 0, errors.ErrUnsupported
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return 0, err
	}
	var failed error
	err = raw.Control(func(own uintptr) { fd, failed = dup(int(own)) })
	if err != nil || failed != nil {
		return 0, errors.Join(err, failed)
	}
	if err := tcp.Close(); err != nil { // somebody else was quicker: it is not to live on
		return 0, errors.Join(err, syscall.Close(fd))
	}
	return fd, nil
}

// Attach makes a connection of a descriptor again, and takes it over: on failure it is closed.
func Attach(fd int) (net.Conn, error) {
	f := os.NewFile(uintptr(fd), "tcp")
	defer func() { _ = f.Close() }() // the connection has its own
	return net.FileConn(f)
}

// Return gives a lent descriptor back: Next and Rest go on where Feed has stopped.
func (s *Stream) Return(fd int) error {
	w := s.body.(*wire)
	c, err := Attach(fd)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lent = false
	if err != nil {
		w.interrupted = true
		return err
	}
	w.Conn = c
	if w.interrupted {
		_ = c.Close()
		return net.ErrClosed
	}
	return nil
}

// Feed is Next for bytes that somebody else has read: it uses raw up, and gives the whole records
// there are now, which may be none. Scratch is room to work in, as long as raw or longer. The
// piece is good until Settle, which must follow before either is used for anything else. With
// io.ErrUnexpectedEOF, which may come with a last piece, the answer is over before the end mark.
func (s *Stream) Feed(raw, scratch []byte) (Piece, error) {
	w := s.body.(*wire)
	plain, err := w.chunks.plain(raw)
	if err != nil {
		return Piece{}, err
	}
	s.shift()
	if len(s.buf) == 0 {
		s.buf, s.borrowed = scratch[:0], true
	}
	s.buf = append(s.buf, plain...)
	if mark, line := s.scan(); line != nil {
		return s.end(mark, line)
	}
	var p Piece
	if s.safe > 0 {
		s.out = s.safe
		p = Piece{Bytes: s.buf[:s.safe], Seq: s.seq}
	} else if len(s.buf) > maxFrames {
		return p, errRecord
	}
	if w.chunks.over() {
		return p, io.ErrUnexpectedEOF
	}
	return p, nil
}

// Settle moves what Feed has left over into memory of the stream's own; mostly that is nothing,
// and what grows there already stays: a large record comes in many pieces.
func (s *Stream) Settle() {
	left := s.buf[s.out:]
	stays := !s.borrowed && s.out == 0
	s.line, s.look = s.line-s.out, s.look-s.out
	s.out, s.safe, s.seq, s.borrowed = 0, 0, 0, false
	switch {
	case len(left) == 0:
		s.buf = nil
	case !stays:
		s.buf = append([]byte(nil), left...)
	}
}

// dup copies a descriptor; programs that this one starts do not inherit it.
func dup(fd int) (int, error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	n, err := syscall.Dup(fd)
	if err == nil {
		syscall.CloseOnExec(n)
	}
	return n, err
}
