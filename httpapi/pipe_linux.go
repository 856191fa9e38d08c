package httpapi

import (
	"errors"
	"io"
	"net"
	"os"
	"strconv"
	"syscall"
	"time"

	"queen-rbee/hives"
)

// pull passes on what the hive has sent; the pipe is locked, as down to due.
func (p *pipe) pull(l *loop) {
	n, err := syscall.Read(p.hive.fd, l.raw)
	switch {
	case errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.EINTR):
		return
	case err != nil:
		p.over(followed{err: os.NewSyscallError("read", err)})
		return
	case n == 0:
		p.over(followed{err: io.ErrUnexpectedEOF})
		return
	}
	p.heard = l.now
	piece, err := p.stream.Feed(l.raw[:n], l.plain)
	if len(piece.Bytes) > 0 {
		l.out = appendChunk(l.out[:0], piece.Bytes)
		p.push(l.out)
	}
	if piece.Seq > p.seq {
		p.pump.relayed(piece.Seq - p.seq)
		p.seq = piece.Seq
	}
	p.stream.Settle()
	switch {
	case p.gone != nil:
	case piece.End != nil:
		p.over(followed{end: piece.End})
	case err != nil:
		p.over(followed{err: err})
	case len(p.pending) > 0:
		p.hive.watch(0) // a client that is slow slows only itself
	}
	if cap(l.out) > 4*pumpRead { // one large record, and its room would stay for ever
		l.out = nil
	}
}

// push sends bytes that are whole chunks, or puts them behind those that wait.
func (p *pipe) push(b []byte) {
	if p.gone != nil {
		return
	}
	if len(p.pending) > 0 {
		p.pending = append(p.pending, b...)
		return
	}
	p.wrote = time.Now()
	n, err := writeSome(p.client.fd, b)
	if err != nil {
		p.lose(err)
		return
	}
	if n < len(b) {
		p.pending = append([]byte(nil), b[n:]...)
		p.client.watch(p.client.events | syscall.EPOLLOUT)
	}
}

// writeSome writes what fits.
func writeSome(fd int, b []byte) (int, error) {
	for {
		n, err := syscall.Write(fd, b)
		switch {
		case err == nil:
			return n, nil
		case errors.Is(err, syscall.EAGAIN):
			return 0, nil
		case !errors.Is(err, syscall.EINTR):
			return 0, os.NewSyscallError("write", err)
		}
	}
}

// tend looks after the client's connection.
func (p *pipe) tend(events uint32) {
	if events&(syscall.EPOLLRDHUP|syscall.EPOLLHUP|syscall.EPOLLERR) != 0 {
		p.lose(io.EOF)
		return
	}
	if events&syscall.EPOLLIN != 0 {
		var some [512]byte
		n, err := syscall.Read(p.client.fd, some[:])
		switch {
		case errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.EINTR):
		case err != nil:
			p.lose(os.NewSyscallError("read", err))
			return
		case n == 0:
			p.lose(io.EOF)
			return
		default:
			if p.early = append(p.early, some[:n]...); len(p.early) > maxEarly {
				p.client.watch(p.client.events &^ syscall.EPOLLIN)
			}
		}
	}
	if events&syscall.EPOLLOUT == 0 || len(p.pending) == 0 {
		return
	}
	n, err := writeSome(p.client.fd, p.pending)
	if err != nil {
		p.lose(err)
		return
	}
	if n > 0 {
		p.wrote = time.Now()
	}
	if p.pending = p.pending[n:]; len(p.pending) == 0 {
		p.pending = nil
		p.client.watch(p.client.events &^ syscall.EPOLLOUT)
		if p.hive != nil {
			p.hive.watch(watchHive)
			p.heard = time.Now() // nobody has listened meanwhile
		}
		p.wake()
	}
}

// lose ends the pipe for its client's sake.
func (p *pipe) lose(err error) {
	if p.gone != nil {
		return
	}
	p.gone, p.pending = err, nil
	p.client.drop()
	p.over(followed{err: errClient})
	p.wake()
	p.onGone()
}

func (p *pipe) wake() {
	if p.room != nil {
		close(p.room)
		p.room = nil
	}
}

// over tells how following ended, once; the hive's connection goes back with unfollow.
func (p *pipe) over(f followed) {
	if p.hive != nil && !p.hive.over {
		p.hive.drop()
		p.result <- f
	}
}

func (p *pipe) due(now time.Time) {
	switch {
	case len(p.pending) > 0:
		if now.Sub(p.wrote) > writeTimeout {
			p.lose(os.ErrDeadlineExceeded)
		}
	case p.hive == nil || p.hive.over:
	case now.Sub(p.heard) > p.silence:
		p.over(followed{err: os.ErrDeadlineExceeded})
	case now.Sub(p.wrote) >= p.awake:
		p.push(appendChunk(nil, keepAliveLine))
	}
}

// follow has the stream's records after from passed on until the result comes. ok is false for a stream that
// cannot be followed so; it is as it was.
func (p *pipe) follow(stream *hives.Stream, from uint64, awake, silence time.Duration) (result <-chan followed, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gone != nil || p.hive != nil {
		return nil, false
	}
	fd, ok := stream.Lend()
	if !ok {
		return nil, false
	}
	p.stream, p.awake, p.silence, p.heard, p.seq = stream, awake, silence, time.Now(), from
	p.result = make(chan followed, 1)
	p.hive = &side{pipe: p, loop: p.client.loop, fd: fd}
	if err := p.client.loop.add(p.hive, watchHive); err != nil {
		p.hive.over = true
		p.result <- followed{err: err}
	}
	if len(p.pending) > 0 {
		p.hive.watch(0)
	}
	return p.result, true
}

// unfollow gives the stream its connection back, and the number of the last record passed on.
func (p *pipe) unfollow() (seq uint64, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hive.drop()
	s, fd := p.stream, p.hive.fd
	p.hive, p.stream = nil, nil
	return p.seq, s.Return(fd)
}

// write sends what the goroutine of the request has to say, after all that was passed on, and
// waits until the client's kernel has it.
func (p *pipe) write(b []byte) error { return p.send(appendChunk(nil, b)) }

func (p *pipe) send(chunk []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.push(chunk)
	for p.gone == nil && len(p.pending) > 0 {
		if p.room == nil {
			p.room = make(chan struct{})
		}
		room := p.room
		p.mu.Unlock()
		<-room // the loop's sweep ends it at the latest
		p.mu.Lock()
	}
	return p.gone
}

// close ends the answer in order if it is whole, and gives the connection, for its next request,
// with what has come of that. Otherwise, and when the client has gone, it closes the connection.
func (p *pipe) close(whole bool) (c net.Conn, early []byte, err error) {
	whole = whole && p.send([]byte("0\r\n\r\n")) == nil
	p.mu.Lock()
	defer p.mu.Unlock()
	p.client.drop()
	if p.gone != nil {
		whole = false
	} else {
		p.gone = net.ErrClosed
	}
	if !whole {
		return nil, nil, syscall.Close(p.client.fd)
	}
	c, err = hives.Attach(p.client.fd)
	return c, p.early, err
}

// appendChunk puts bytes into HTTP's chunked encoding.
func appendChunk(dst, b []byte) []byte {
	dst = strconv.AppendUint(dst, uint64(len(b)), 16)
	dst = append(append(dst, "\r\n"...), b...)
	return append(dst, "\r\n"...)
}
