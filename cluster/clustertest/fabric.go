package clustertest

import (
	"context"
	"net"
	"os"
	"sync"
	"time"

	"queen-rbee/cluster"
)

// fabric is the network between the queens of a test. A cut link holds bytes back until it
// is healed, as a cable that was pulled and put in again does under TCP.
type fabric struct {
	mu      sync.Mutex
	owner   map[string]string  // address -> node
	cut     map[[2]string]bool // from, to
	changed chan struct{}
}

func newFabric() *fabric {
	return &fabric{owner: map[string]string{}, cut: map[[2]string]bool{}, changed: make(chan struct{})}
}

func (f *fabric) own(addr, name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.owner[addr] = name
}

// set changes cuts and wakes whoever waits on one.
func (f *fabric) set(change func(cut map[[2]string]bool)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f.cut)
	close(f.changed)
	f.changed = make(chan struct{})
}

func (f *fabric) open(from, to string) (bool, <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return !f.cut[[2]string{from, to}], f.changed
}

// port is the fabric as one node sees it.
type port struct {
	f    *fabric
	name string
}

var _ cluster.Network = port{}

func (p port) Listen(addr string) (net.Listener, error) {
	ln, err := net.Listen("tcp", addr)
	if err == nil {
		p.f.own(ln.Addr().String(), p.name)
	}
	return ln, err
}

func (p port) Dial(ctx context.Context, addr string) (net.Conn, error) {
	p.f.mu.Lock()
	to := p.f.owner[addr]
	p.f.mu.Unlock()
	for _, way := range [][2]string{{p.name, to}, {to, p.name}} {
		for {
			ok, changed := p.f.open(way[0], way[1])
			if ok {
				break
			}
			select {
			case <-changed:
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
	}
	c, err := cluster.TCP{}.Dial(ctx, addr)
	if err != nil {
		return nil, err
	}
	return &conn{Conn: c, f: p.f, from: p.name, to: to, closed: make(chan struct{})}, nil
}

// conn is the dialer's end of a connection; it holds back what a cut link would.
type conn struct {
	net.Conn
	f        *fabric
	from, to string

	once   sync.Once
	closed chan struct{}

	mu          sync.Mutex
	read, write time.Time // deadlines
}

func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		if werr := c.pass(c.to, c.from, func() time.Time { return c.read }); werr != nil {
			return 0, werr
		}
	}
	return n, err
}

func (c *conn) Write(b []byte) (int, error) {
	if err := c.pass(c.from, c.to, func() time.Time { return c.write }); err != nil {
		return 0, err
	}
	return c.Conn.Write(b)
}

// pass waits until a way is open, the connection is closed, or its deadline has come.
func (c *conn) pass(from, to string, deadline func() time.Time) error {
	for {
		ok, changed := c.f.open(from, to)
		if ok {
			return nil
		}
		c.mu.Lock()
		at := deadline()
		c.mu.Unlock()
		if err := c.hold(changed, at); err != nil {
			return err
		}
	}
}

// hold waits until the fabric has changed; at is the deadline, zero for none.
func (c *conn) hold(changed <-chan struct{}, at time.Time) error {
	var late <-chan time.Time
	if !at.IsZero() {
		t := time.NewTimer(time.Until(at))
		defer t.Stop()
		late = t.C
	}
	select {
	case <-changed:
		return nil
	case <-c.closed:
		return net.ErrClosed
	case <-late:
		return os.ErrDeadlineExceeded
	}
}

func (c *conn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

func (c *conn) SetDeadline(t time.Time) error {
	c.mu.Lock()
	c.read, c.write = t, t
	c.mu.Unlock()
	return c.Conn.SetDeadline(t)
}

func (c *conn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	c.read = t
	c.mu.Unlock()
	return c.Conn.SetReadDeadline(t)
}

func (c *conn) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	c.write = t
	c.mu.Unlock()
	return c.Conn.SetWriteDeadline(t)
}
