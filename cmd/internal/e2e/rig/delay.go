package rig

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// inFlight bounds the pieces of one direction that are on their way.
const inFlight = 64

// Delay is a proxy that carries every byte as late as it is told, each direction by the same
// time: a long way without loss. It is the only thing here that delays, as kernels often lack
// netem.
type Delay struct {
	listener net.Listener
	dial     func(ctx context.Context) (net.Conn, error)
	late     atomic.Int64 // ns
	ctx      context.Context
	group    sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]struct{}
}

// NewDelay carries the listener's connections to where dial goes, until the test ends.
func NewDelay(t testing.TB, l net.Listener, dial func(ctx context.Context) (net.Conn, error)) *Delay {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	d := &Delay{listener: l, dial: dial, ctx: ctx, conns: map[net.Conn]struct{}{}}
	d.group.Go(d.accept)
	t.Cleanup(func() {
		cancel()
		_ = l.Close()
		d.mu.Lock()
		for c := range d.conns {
			_ = c.Close()
		}
		d.mu.Unlock()
		d.group.Wait()
	})
	return d
}

// Set delays every byte that comes from now on.
func (d *Delay) Set(late time.Duration) { d.late.Store(int64(late)) }

func (d *Delay) accept() {
	for {
		in, err := d.listener.Accept()
		if err != nil {
			return
		}
		d.group.Go(func() { d.carry(in) })
	}
}

// keep remembers a connection until forget, so that the end of the test closes it.
func (d *Delay) keep(c net.Conn) (forget func()) {
	d.mu.Lock()
	d.conns[c] = struct{}{}
	d.mu.Unlock()
	if d.ctx.Err() != nil {
		_ = c.Close()
	}
	return func() {
		_ = c.Close()
		d.mu.Lock()
		delete(d.conns, c)
		d.mu.Unlock()
	}
}

func (d *Delay) carry(in net.Conn) {
	defer d.keep(in)()
	out, err := d.dial(d.ctx)
	if err != nil {
		reset(in) // as the machine would have refused it
		return
	}
	defer d.keep(out)()
	var back sync.WaitGroup
	back.Go(func() { d.copy(in, out) })
	d.copy(out, in)
	back.Wait()
}

// reset closes so that the other side sees an error, not an end.
func reset(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = c.Close()
}

// piece is bytes, or the end of them, that go on at a time.
type piece struct {
	due  time.Time
	data []byte
	err  error
}

// copy carries one direction to its end. An end in order is passed on as one; a broken
// connection breaks the other.
func (d *Delay) copy(to, from net.Conn) {
	way := make(chan piece, inFlight)
	over := make(chan struct{})
	var read sync.WaitGroup
	read.Go(func() {
		defer close(way)
		buf := make([]byte, 16<<10)
		for {
			n, err := from.Read(buf)
			p := piece{due: time.Now().Add(time.Duration(d.late.Load())), data: append([]byte{}, buf[:n]...), err: err}
			select {
			case way <- p:
			case <-over:
				return
			}
			if err != nil {
				return
			}
		}
	})
	d.write(to, from, way)
	close(over)
	read.Wait()
}

func (d *Delay) write(to, from net.Conn, way <-chan piece) {
	for p := range way {
		if wait := time.Until(p.due); wait > 0 && !Pause(d.ctx, wait) {
			return
		}
		if len(p.data) > 0 {
			if _, err := to.Write(p.data); err != nil {
				reset(from)
				return
			}
		}
		switch half, ok := to.(*net.TCPConn); {
		case p.err == nil:
		case ended(p.err) && ok:
			_ = half.CloseWrite()
		default:
			reset(to)
		}
	}
}

// ended tells the end of a direction from a broken connection.
func ended(err error) bool { return errors.Is(err, io.EOF) }
