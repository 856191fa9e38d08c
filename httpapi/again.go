package httpapi

import (
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// again is a listener for the connections of streams that are over: the server reads their
// next requests as it does those of new ones. Safe for concurrent use.
type again struct {
	idle, header time.Duration // how long a connection may rest, and then take for its headers

	conns chan net.Conn
	over  chan struct{}

	mu      sync.Mutex
	closed  bool
	resting map[*restingConn]struct{}
}

func newAgain(idle, header time.Duration) *again {
	return &again{
		idle: idle, header: header,
		conns: make(chan net.Conn), over: make(chan struct{}), resting: map[*restingConn]struct{}{},
	}
}

// Accept implements net.Listener.
func (a *again) Accept() (net.Conn, error) {
	select {
	case c := <-a.conns:
		return c, nil
	case <-a.over:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener. Connections that rest are closed: to the server they are new,
// and its shutdown would wait for their first requests.
func (a *again) Close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.closed {
		a.closed = true
		close(a.over)
	}
	for c := range a.resting {
		_ = c.Conn.Close()
	}
	clear(a.resting)
	return nil
}

// Addr implements net.Listener.
func (a *again) Addr() net.Addr { return &net.TCPAddr{} }

// give hands a connection to the server, unless there is none that would take it.
func (a *again) give(c net.Conn, early []byte) bool {
	if a == nil {
		return false
	}
	own := &restingConn{Conn: c, again: a, early: early}
	if len(early) == 0 && !a.rest(own) {
		return false
	}
	select {
	case a.conns <- own:
		return true
	case <-a.over:
		return false
	}
}

func (a *again) rest(c *restingConn) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return false
	}
	c.rests.Store(true)
	a.resting[c] = struct{}{}
	return true
}

func (a *again) wake(c *restingConn) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.resting, c)
}

// restingConn is a connection between a stream and its next request, of which early was read
// already. The server takes it for a new one, whose headers must come soon; until they begin it
// may rest as long as any that is kept alive, since its client counts on that.
type restingConn struct {
	net.Conn
	again *again
	early []byte
	rests atomic.Bool // nothing of the next request has come
}

func (c *restingConn) Read(b []byte) (int, error) {
	if len(c.early) > 0 {
		n := copy(b, c.early)
		c.early = c.early[n:]
		return n, nil
	}
	n, err := c.Conn.Read(b)
	if n > 0 && c.rests.CompareAndSwap(true, false) {
		c.again.wake(c)
		_ = c.Conn.SetReadDeadline(time.Now().Add(c.again.header))
	}
	return n, err
}

// SetReadDeadline implements net.Conn; while the connection rests its own time counts.
func (c *restingConn) SetReadDeadline(t time.Time) error {
	if c.rests.Load() {
		t = time.Now().Add(c.again.idle)
	}
	return c.Conn.SetReadDeadline(t)
}

// Close implements net.Conn.
func (c *restingConn) Close() error {
	if c.rests.CompareAndSwap(true, false) {
		c.again.wake(c)
	}
	return c.Conn.Close()
}

// NetConn is the connection itself.
func (c *restingConn) NetConn() net.Conn { return c.Conn }
