package httpapi

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
)

// takeOver moves the stream from net/http to the pump, once its headers are out; it is as it was
// when that cannot be: for HTTP/1.0, TLS, a system without a pump. From then on nothing tells the
// request's context that the client has gone: onGone does.
func (s *sse) takeOver(srv *Server, onGone func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pipe != nil {
		return true
	}
	r := s.request
	if !s.begun || s.stuck || r.TLS != nil || r.ProtoMajor != 1 || r.ProtoMinor != 1 {
		return false
	}
	s.stuck = true // if it fails now, it will always
	if !pumps {
		return false
	}
	conn, ahead, err := s.rc.Hijack()
	if err != nil {
		return false
	}
	s.conn = conn
	read, _ := ahead.Reader.Peek(ahead.Reader.Buffered())
	socket, left := underneath(conn)
	if s.pipe, err = srv.pump.open(socket, slices.Concat(read, left), onGone); err != nil {
		srv.log.Error("stream cannot be taken over", "error", err)
		s.pipe = nil
		s.lost = errClient // its connection is closed
		return false
	}
	srv.taken.enter()
	return true
}

// underneath is the socket of a connection that somebody counts, with what was read of it and not
// yet asked for.
func underneath(c net.Conn) (socket net.Conn, left []byte) {
	for {
		if e, ok := c.(*earlyConn); ok {
			left = slices.Concat(e.early, left)
		}
		inner, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			return c, left
		}
		c = inner.NetConn()
	}
}

// finish ends a stream that was taken over. One that is whole gives its connection back for the
// next request; any other is cut off, so that nobody takes it for whole.
func (s *sse) finish(srv *Server, err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pipe == nil {
		return err
	}
	defer srv.taken.leave()
	whole := err == nil || errors.Is(err, errWritten)
	conn, early, failed := s.pipe.close(whole)
	_ = s.conn.Close() // the old one counts no longer
	switch {
	case failed != nil:
		srv.log.Debug("connection of a stream cannot be given back", "error", failed)
	case conn != nil && (s.request.Close || !srv.again.give(conn, early)):
		_ = conn.Close()
	}
	if whole {
		return err
	}
	if !isGone(err) {
		srv.log.Warn("answer broke off", "path", s.request.URL.Path, "error", err)
	}
	return errors.Join(errWritten, err)
}

// again is a listener for the connections of streams that are over: the server reads their
// next requests as it does those of new ones. Safe for concurrent use.
type again struct {
	conns chan net.Conn
	once  sync.Once
	over  chan struct{}
}

func newAgain() *again { return &again{conns: make(chan net.Conn), over: make(chan struct{})} }

// Accept implements net.Listener.
func (a *again) Accept() (net.Conn, error) {
	select {
	case c := <-a.conns:
		return c, nil
	case <-a.over:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (a *again) Close() error {
	a.once.Do(func() { close(a.over) })
	return nil
}

// Addr implements net.Listener.
func (a *again) Addr() net.Addr { return &net.TCPAddr{} }

// give hands a connection to the server, unless there is none that would take it.
func (a *again) give(c net.Conn, early []byte) bool {
	if a == nil {
		return false
	}
	if len(early) > 0 {
		c = &earlyConn{Conn: c, early: early}
	}
	select {
	case a.conns <- c:
		return true
	case <-a.over:
		return false
	}
}

// earlyConn is a connection of which something was read already.
type earlyConn struct {
	net.Conn
	early []byte
}

func (c *earlyConn) Read(b []byte) (int, error) {
	if len(c.early) == 0 {
		return c.Conn.Read(b)
	}
	n := copy(b, c.early)
	c.early = c.early[n:]
	return n, nil
}

// NetConn is the connection itself.
func (c *earlyConn) NetConn() net.Conn { return c.Conn }

// inFlight counts what is under way and lets its end be waited for. Safe for concurrent use.
type inFlight struct {
	mu   sync.Mutex
	n    int
	none chan struct{} // closed with the last; nil while nobody waits
}

func (f *inFlight) enter() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.n++
}

func (f *inFlight) leave() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.n--; f.n == 0 && f.none != nil {
		close(f.none)
		f.none = nil
	}
}

// wait returns when nothing is under way, or with the context's end.
func (f *inFlight) wait(ctx context.Context) {
	f.mu.Lock()
	if f.n == 0 {
		f.mu.Unlock()
		return
	}
	if f.none == nil {
		f.none = make(chan struct{})
	}
	none := f.none
	f.mu.Unlock()
	select {
	case <-none:
	case <-ctx.Done():
	}
}
