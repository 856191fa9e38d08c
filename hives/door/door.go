package door

import (
	"container/list"
	"context"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
)

// spare is how many connections beyond the limit are let in to be told that it is reached.
const spare = 64

// Door bounds the connections of one http.Server.
type Door struct {
	limit   int
	evicted atomic.Uint64
	refused atomic.Uint64

	mu   sync.Mutex
	open int
	idle map[netip.Prefix]*list.List // *conn without a request in work, oldest first, by remote host
}

// New makes a door for so many connections, at least one.
func New(limit int) *Door {
	return &Door{limit: max(1, limit), idle: map[netip.Prefix]*list.List{}}
}

// Limit is how many connections may be open.
func (d *Door) Limit() int { return d.limit }

// Open is how many are open now.
func (d *Door) Open() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.open
}

// Evicted counts the idle connections that were closed to make room for others.
func (d *Door) Evicted() uint64 { return d.evicted.Load() }

// Refused counts the connections that found no room: they were told so, or closed.
func (d *Door) Refused() uint64 { return d.refused.Load() }

// Guard makes a server tell the door what its connections do. Serve it from Listen alone.
func (d *Door) Guard(s *http.Server) {
	s.ConnState = func(c net.Conn, state http.ConnState) {
		if own, ok := c.(*conn); ok {
			d.follow(own, state)
		}
	}
	s.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		if own, ok := c.(*conn); ok && own.crowded {
			return context.WithValue(ctx, crowdedKey{}, true)
		}
		return ctx
	}
}

type crowdedKey struct{}

// Crowded tells that a request came on a connection beyond the limit: refuse it and close.
func Crowded(ctx context.Context) bool { return ctx.Value(crowdedKey{}) != nil }

// Listen makes a listener whose connections are counted.
func (d *Door) Listen(l net.Listener) net.Listener { return &listener{l, d} }

type listener struct {
	net.Listener
	door *Door
}

// Accept never waits for room.
func (l *listener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		own := &conn{Conn: c, door: l.door, host: hostOf(c.RemoteAddr())}
		old, ok := l.door.enter(own)
		if old != nil {
			_ = old.Close()
		}
		if ok {
			return own, nil
		}
		_ = c.Close()
	}
}

// conn is one counted connection.
type conn struct {
	net.Conn
	door    *Door
	host    netip.Prefix
	crowded bool // came beyond the limit

	waits *list.Element // in the door's idle; guarded by the door's lock
	gone  bool          // closed; likewise
}

// NetConn gives what is underneath, for options of its socket. Close the conn, not that.
func (c *conn) NetConn() net.Conn { return c.Conn }

// Close counts the connection out. A hijacked one is closed by who took it.
func (c *conn) Close() error {
	c.door.leave(c)
	return c.Conn.Close()
}

// enter counts a connection in, with one that must go for it, or says that there is no room.
func (d *Door) enter(c *conn) (old *conn, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.open >= d.limit {
		if old = d.longest(); old != nil {
			d.evicted.Add(1)
			d.out(old)
		}
	}
	if d.open >= d.limit {
		d.refused.Add(1)
		if c.crowded = true; d.open >= d.limit+spare {
			return old, false
		}
	}
	d.open++
	d.wait(c)
	return old, true
}

// follow keeps the list of those without a request in work. To net/http a request is in work
// from its last header on; until then the connection is as idle as before.
func (d *Door) follow(c *conn, state http.ConnState) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch state {
	case http.StateIdle:
		d.wait(c)
	case http.StateActive, http.StateHijacked:
		d.awake(c)
	case http.StateNew, http.StateClosed: // in already; Close counts it out
	}
}

func (d *Door) leave(c *conn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.out(c)
}

// out counts a connection out, once; the caller holds the lock.
func (d *Door) out(c *conn) {
	if !c.gone {
		c.gone = true
		d.open--
		d.awake(c)
	}
}

// wait puts a connection behind its host's others; the caller holds the lock.
func (d *Door) wait(c *conn) {
	if c.waits != nil || c.gone {
		return
	}
	l := d.idle[c.host]
	if l == nil {
		l = list.New()
		d.idle[c.host] = l
	}
	c.waits = l.PushBack(c)
}

// awake takes it out again; the caller holds the lock.
func (d *Door) awake(c *conn) {
	if c.waits == nil {
		return
	}
	l := d.idle[c.host]
	l.Remove(c.waits)
	if c.waits = nil; l.Len() == 0 {
		delete(d.idle, c.host)
	}
}

// longest is the oldest idle connection of the host that has most of them; the caller holds
// the lock. It looks at each host once, and only at the limit.
func (d *Door) longest() *conn {
	var most *list.List
	for _, l := range d.idle {
		if most == nil || l.Len() > most.Len() {
			most = l
		}
	}
	if most == nil {
		return nil
	}
	return most.Front().Value.(*conn)
}

// hostOf tells remote hosts apart: an IPv4 address, or the /64 that one IPv6 host may fill.
func hostOf(a net.Addr) netip.Prefix {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}
	}
	ip := tcp.AddrPort().Addr().Unmap()
	bits := 64
	if ip.Is4() {
		bits = 32
	}
	p, err := ip.WithZone("").Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}
