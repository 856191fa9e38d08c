package rig

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"
)

// Proxy stands between queens and a hive and can hold back what goes to the hive, as a slow
// network does: nothing is lost, it comes late.
type Proxy struct {
	URL string

	target   string
	listener net.Listener
	group    sync.WaitGroup

	mu    sync.Mutex
	conns map[*proxied]struct{}
	hold  *Hold // on new connections; nil: none
}

// proxied is one connection. hold is what its bytes wait for, nil for nothing.
type proxied struct {
	in   net.Conn
	hold *Hold
}

// Hold is a time in which nothing gets through.
type Hold struct {
	p      *Proxy
	opened chan struct{}
}

// NewProxy forwards to a host:port until the test ends.
func NewProxy(t testing.TB, target string) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{URL: "http://" + l.Addr().String(), target: target, listener: l, conns: map[*proxied]struct{}{}}
	p.group.Go(p.accept)
	t.Cleanup(p.close)
	return p
}

// Hold holds back every byte of every connection, old and new, from now on.
func (p *Proxy) Hold() *Hold {
	p.mu.Lock()
	defer p.mu.Unlock()
	h := &Hold{p: p, opened: make(chan struct{})}
	p.hold = h
	for c := range p.conns {
		c.hold = h
	}
	return h
}

// Bypass lets connections made from now on through. Those of the hold stay held.
func (h *Hold) Bypass() {
	h.p.mu.Lock()
	defer h.p.mu.Unlock()
	if h.p.hold == h {
		h.p.hold = nil
	}
}

// Release lets everything held go on.
func (h *Hold) Release() {
	h.Bypass()
	h.p.mu.Lock()
	defer h.p.mu.Unlock()
	select {
	case <-h.opened:
	default:
		close(h.opened)
	}
}

func (p *Proxy) close() {
	_ = p.listener.Close()
	p.mu.Lock()
	for c := range p.conns {
		_ = c.in.Close()
		if c.hold != nil {
			select {
			case <-c.hold.opened:
			default:
				close(c.hold.opened)
			}
		}
	}
	p.mu.Unlock()
	p.group.Wait()
}

func (p *Proxy) accept() {
	for {
		in, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		c := &proxied{in: in, hold: p.hold}
		p.conns[c] = struct{}{}
		p.mu.Unlock()
		p.group.Go(func() { p.carry(c) })
	}
}

// carry connects to the target, late if need be, and copies both ways until both have ended.
func (p *Proxy) carry(c *proxied) {
	defer func() {
		p.mu.Lock()
		delete(p.conns, c)
		p.mu.Unlock()
		_ = c.in.Close()
	}()
	p.await(c)
	out, err := (&net.Dialer{Timeout: time.Second}).DialContext(context.Background(), "tcp", p.target)
	if err != nil {
		return
	}
	defer func() { _ = out.Close() }()
	var back sync.WaitGroup
	back.Go(func() { copyAll(c.in, out, func() {}) })
	copyAll(out, c.in, func() { p.await(c) })
	back.Wait()
}

// Held counts the connections that wait.
func (p *Proxy) Held() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for c := range p.conns {
		if c.hold != nil {
			n++
		}
	}
	return n
}

// await returns when the connection's bytes may go on.
func (p *Proxy) await(c *proxied) {
	for {
		p.mu.Lock()
		h := c.hold
		p.mu.Unlock()
		if h == nil {
			return
		}
		<-h.opened
		p.mu.Lock()
		if c.hold == h {
			c.hold = nil
		}
		p.mu.Unlock()
	}
}

// copyAll copies until the source ends, and then closes that direction.
func copyAll(to, from net.Conn, before func()) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		before()
		if n > 0 {
			if _, werr := to.Write(buf[:n]); werr != nil {
				_ = from.Close()
				return
			}
		}
		if err != nil {
			if half, ok := to.(*net.TCPConn); ok {
				_ = half.CloseWrite()
			}
			return
		}
	}
}
