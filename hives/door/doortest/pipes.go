// Package doortest lets tests connect to an HTTP server over pipes, whose time is that of a
// testing/synctest bubble: timeouts of minutes pass at once. A Listener is safe for concurrent
// use; the server that accepts from it closes it.
package doortest

import (
	"net"
	"sync"
)

// Listener accepts what Dial connects.
type Listener struct {
	conns chan net.Conn
	over  chan struct{}
	once  sync.Once
}

var _ net.Listener = (*Listener)(nil)

// Listen makes a listener.
func Listen() *Listener {
	return &Listener{conns: make(chan net.Conn), over: make(chan struct{})}
}

// Dial connects; it waits until somebody accepts.
func (l *Listener) Dial() net.Conn {
	near, far := net.Pipe()
	l.conns <- far
	return near
}

// Accept gives the far end of the next connection; net.ErrClosed after Close.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.over:
		return nil, net.ErrClosed
	}
}

// Close lets nobody in any more. It may be called twice.
func (l *Listener) Close() error { l.once.Do(func() { close(l.over) }); return nil }

// Addr is no address of the network.
func (l *Listener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }
