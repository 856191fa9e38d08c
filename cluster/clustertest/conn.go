package clustertest

import (
	"net"
	"os"
	"slices"
	"sync"
	"time"
)

// conn is the dialer's end of a connection. What is written waits in out for the writer, what
// came in waits in in for Read: for as long as the links have it.
type conn struct {
	net.Conn
	f        *fabric
	from, to string
	out, in  chan parcel
	closed   chan struct{}
	once     sync.Once

	writing sync.Mutex // of what follows
	writes  int
	calls   bool      // it is for calls between queens, not for raft
	sent    time.Time // when the newest parcel of out is due

	reading sync.Mutex
	head    *parcel // taken from in, not yet read to its end

	mu          sync.Mutex
	read, write time.Time // deadlines
}

// parcel is what one write put on its way.
type parcel struct {
	data []byte
	due  time.Time
	err  error // in place of data: how the connection ended
	last bool  // the connection breaks behind it
}

const window = 256 // parcels on their way in one direction

func newConn(inner net.Conn, f *fabric, from, to string) *conn {
	c := &conn{Conn: inner, f: f, from: from, to: to, closed: make(chan struct{}),
		out: make(chan parcel, window), in: make(chan parcel, window)}
	go c.carryOut()
	go c.carryIn()
	return c
}

// Write puts bytes on their way; like a socket's, it waits only when too much is.
func (c *conn) Write(b []byte) (int, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	l, _ := c.f.link(c.from, c.to)
	c.writes++
	if c.writes == 1 && len(b) > 5 {
		c.calls = b[5] == 'C' // the hello's purpose
	}
	p := parcel{data: slices.Clone(b), due: later(&c.sent, c.f.wait(l, len(b)))}
	greeted := c.writes > 2 // hello and proof; from now on each write is a frame or a message
	if greeted && c.f.chance(l.Reset) {
		p.last = true
		if c.f.chance(0.5) {
			p.data = nil
		}
	}
	times := 1
	if greeted && c.calls && !p.last && c.f.chance(l.Twice) {
		times = 2
	}
	for range times {
		if err := c.put(p); err != nil {
			return 0, err
		}
	}
	return len(b), nil
}

func (c *conn) put(p parcel) error {
	late, stop := c.deadline(&c.write)
	defer stop()
	select {
	case <-c.closed:
		return net.ErrClosed
	default:
	}
	select {
	case c.out <- p:
		return nil
	case <-c.closed:
		return net.ErrClosed
	case <-late:
		return os.ErrDeadlineExceeded
	}
}

// later is when something that takes d arrives, never before what was sent before it.
func later(newest *time.Time, d time.Duration) time.Time {
	if at := time.Now().Add(d); at.After(*newest) {
		*newest = at
	}
	return *newest
}

// carryOut brings parcels to the other side, until the connection is closed.
func (c *conn) carryOut() {
	for {
		select {
		case <-c.closed:
			return
		case p := <-c.out:
			err := c.arrive(p, c.from, c.to, nil)
			if err == nil {
				_, err = c.Conn.Write(p.data)
			}
			if err != nil || p.last {
				_ = c.Close()
				return
			}
		}
	}
}

// carryIn takes what comes from the other side, until the connection has ended.
func (c *conn) carryIn() {
	var newest time.Time
	for err := error(nil); err == nil; {
		b := make([]byte, 64<<10)
		var n int
		n, err = c.Conn.Read(b)
		l, _ := c.f.link(c.to, c.from)
		due := later(&newest, c.f.wait(l, n))
		for _, p := range []parcel{{data: b[:n], due: due}, {err: err, due: due}} {
			if len(p.data) == 0 && p.err == nil {
				continue
			}
			select {
			case c.in <- p:
			case <-c.closed:
				return
			}
		}
	}
}

// Read gives what has arrived.
func (c *conn) Read(b []byte) (int, error) {
	c.reading.Lock()
	defer c.reading.Unlock()
	late, stop := c.deadline(&c.read)
	defer stop()
	if c.head == nil {
		select {
		case p := <-c.in:
			c.head = &p
		case <-c.closed:
			return 0, net.ErrClosed
		case <-late:
			return 0, os.ErrDeadlineExceeded
		}
	}
	if err := c.arrive(*c.head, c.to, c.from, late); err != nil {
		return 0, err
	}
	if c.head.err != nil {
		return 0, c.head.err
	}
	n := copy(b, c.head.data)
	if c.head.data = c.head.data[n:]; len(c.head.data) == 0 {
		c.head = nil
	}
	return n, nil
}

// arrive waits until a parcel is due and its way is open.
func (c *conn) arrive(p parcel, from, to string, late <-chan time.Time) error {
	due := time.NewTimer(time.Until(p.due))
	defer due.Stop()
	for arrived := due.C; ; {
		l, changed := c.f.link(from, to)
		if arrived == nil && !l.Cut {
			return nil
		}
		select {
		case <-arrived:
			arrived = nil
		case <-changed:
		case <-c.closed:
			return net.ErrClosed
		case <-late:
			return os.ErrDeadlineExceeded
		}
	}
}

// deadline is a channel that gives when a deadline has come; never for none.
func (c *conn) deadline(of *time.Time) (<-chan time.Time, func()) {
	c.mu.Lock()
	at := *of
	c.mu.Unlock()
	if at.IsZero() {
		return nil, func() {}
	}
	t := time.NewTimer(time.Until(at))
	return t.C, func() { t.Stop() }
}

// Close ends the connection; what is on its way is lost.
func (c *conn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

// SetDeadline holds for reads and writes that begin later.
func (c *conn) SetDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.read, c.write = t, t
	return nil
}

// SetReadDeadline holds for reads that begin later.
func (c *conn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.read = t
	return nil
}

// SetWriteDeadline holds for writes that begin later.
func (c *conn) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.write = t
	return nil
}
