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
	srv.taken.enter() // before the server forgets the connection: a drain counts it always
	conn, ahead, err := s.rc.Hijack()
	if err != nil {
		srv.taken.leave()
		return false
	}
	s.conn = conn
	read, _ := ahead.Reader.Peek(ahead.Reader.Buffered())
	socket, left := underneath(conn)
	if s.pipe, err = srv.pump.open(socket, slices.Concat(read, left), onGone); err != nil {
		srv.log.Error("stream cannot be taken over", "error", err)
		s.pipe = nil
		s.lost = errClient // its connection is closed
		_ = conn.Close()   // and counts no longer
		srv.taken.leave()
		onGone()
		return false
	}
	return true
}

// underneath is the socket of a connection that somebody counts, with what was read of it and not
// yet asked for.
func underneath(c net.Conn) (socket net.Conn, left []byte) {
	for {
		if r, ok := c.(*restingConn); ok {
			left = slices.Concat(r.early, left)
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
	case conn != nil && (s.lastOne() || !srv.again.give(conn, early)):
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

// lastOne tells that no request may follow on the connection: its client said so, or the answer
// did, since what follows is a body that nobody has read.
func (s *sse) lastOne() bool { return s.request.Close || s.w.Header().Get("Connection") == "close" }

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
