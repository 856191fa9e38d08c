package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

// handshakes is how many connections may be unproven at a time.
const handshakes = 64

// transport is the one port between queens, and every connection made through it. Accepted
// connections prove themselves first and then go to raft or to calls.
type transport struct {
	network Network
	ln      net.Listener
	addr    string // as advertised
	key     []byte
	me      func() hello
	log     hclog.Logger
	calls   func(net.Conn, hello) // serves one connection until it ends

	formerly func() []string // clusters that this queen's was recovered from
	outlived func(hello)     // hears of a queen whose cluster was recovered without this one

	raft    chan net.Conn
	closing chan struct{}
	wg      sync.WaitGroup

	mu     sync.Mutex
	conns  map[net.Conn]struct{}
	closed bool
}

func listen(cfg *Config, token string, me func() hello, log hclog.Logger) (*transport, error) {
	ln, err := cfg.Network.Listen(cfg.RaftAddr)
	if err != nil {
		return nil, listenError("raft", cfg.RaftAddr, err)
	}
	return &transport{
		network: cfg.Network, ln: ln, addr: advertised(ln.Addr().String(), cfg.AdvertiseHost),
		key: derive(token, "queens"), me: me, log: log,
		raft: make(chan net.Conn), closing: make(chan struct{}), conns: map[net.Conn]struct{}{},
	}, nil
}

// listenError says what to do about an address that cannot be listened on.
func listenError(what, addr string, err error) error {
	if errors.Is(err, syscall.EADDRINUSE) {
		return startError(err, "the %s address %s is in use: stop what listens there or give another --%s-addr", what, addr, what)
	}
	return startError(err, "the %s address %s cannot be listened on: %v: give another --%s-addr", what, addr, err, what)
}

// advertised is the address others dial: the host given for that, and the real port.
func advertised(bound, host string) string {
	h, port, err := net.SplitHostPort(bound)
	if err != nil {
		return bound
	}
	if host != "" {
		h = host
	}
	return net.JoinHostPort(h, port)
}

// run accepts until close.
func (t *transport) run() error {
	slots := make(chan struct{}, handshakes)
	for {
		c, err := t.ln.Accept()
		if err != nil {
			select {
			case <-t.closing:
				return nil
			case <-time.After(10 * time.Millisecond): // out of file descriptors, or the like
				t.log.Warn("cannot accept a connection", "error", err)
				continue
			}
		}
		select {
		case slots <- struct{}{}:
		default:
			_ = c.Close()
			continue
		}
		tc := t.track(c)
		if tc == nil {
			return nil
		}
		t.wg.Add(1)
		go func() {
			defer t.wg.Done()
			t.admit(tc, func() { <-slots })
		}()
	}
}

// admit proves a connection and hands it on. free is called when the proving is over.
func (t *transport) admit(c net.Conn, free func()) {
	p, peer, err := receive(c, t.key, t.me(), t.formerly())
	free()
	if err != nil {
		if errors.Is(err, errWrongToken) || errors.Is(err, errOtherCluster) {
			t.log.Error("refused a queen", "name", peer.name, "from", c.RemoteAddr(), "why", err)
		} else {
			t.log.Debug("dropped a connection", "from", c.RemoteAddr(), "why", err)
		}
		_ = c.Close()
		return
	}
	switch p {
	case forRaft:
		select {
		case t.raft <- c:
		case <-t.closing:
			_ = c.Close()
		}
	case forCalls:
		t.calls(c, peer)
		_ = c.Close()
	default:
		t.log.Warn("refused a connection of unknown purpose", "name", peer.name, "purpose", p)
		_ = c.Close()
	}
}

// dial connects to another queen for a purpose.
func (t *transport) dial(ctx context.Context, addr string, p purpose) (net.Conn, error) {
	c, err := t.network.Dial(ctx, addr)
	if err != nil {
		return nil, err
	}
	tc := t.track(c)
	if tc == nil {
		return nil, net.ErrClosed
	}
	stop := context.AfterFunc(ctx, func() { _ = tc.Close() })
	peer, err := greet(tc, t.key, t.me(), p)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err == nil {
		return tc, nil
	}
	_ = tc.Close()
	if errors.Is(err, errOutlived) {
		t.outlived(peer)
	}
	if errors.Is(err, errWrongToken) || errors.Is(err, errOtherCluster) {
		t.log.Error("a queen is not of this cluster", "addr", addr, "why", err)
	}
	return nil, fmt.Errorf("queen at %s: %w", addr, err)
}

// tracked is a connection that close can reach.
type tracked struct {
	net.Conn
	t    *transport
	once sync.Once
	err  error
}

func (c *tracked) Close() error {
	c.once.Do(func() {
		c.err = c.Conn.Close()
		c.t.mu.Lock()
		delete(c.t.conns, c)
		c.t.mu.Unlock()
	})
	return c.err
}

func (t *transport) track(c net.Conn) net.Conn {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		_ = c.Close()
		return nil
	}
	tc := &tracked{Conn: c, t: t}
	t.conns[tc] = struct{}{}
	return tc
}

// close ends the listener and every connection, and waits for all that was started here.
func (t *transport) close() {
	t.cut()
	t.wg.Wait()
}

// cut ends the listener and every connection, for good: raft falls silent.
func (t *transport) cut() {
	t.mu.Lock()
	already := t.closed
	t.closed = true
	open := make([]net.Conn, 0, len(t.conns))
	for c := range t.conns {
		open = append(open, c)
	}
	t.mu.Unlock()
	if !already {
		close(t.closing)
		_ = t.ln.Close()
	}
	for _, c := range open {
		_ = c.Close()
	}
}

// streams is the transport as raft's NetworkTransport wants it.
type streams struct{ t *transport }

// Accept implements net.Listener.
func (s streams) Accept() (net.Conn, error) {
	select {
	case c := <-s.t.raft:
		return c, nil
	case <-s.t.closing:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener. The queen closes the transport itself.
func (s streams) Close() error { return nil }

// Addr implements net.Listener with the advertised address.
func (s streams) Addr() net.Addr { return address(s.t.addr) }

// How long and how often a dead queen is dialled before raft counts one failure. Raft waits
// twice as long after each, up to ten seconds: a queen that is back would wait for that.
const (
	dialPatience = 2 * time.Second
	dialAgain    = 50 * time.Millisecond
)

// Dial implements raft.StreamLayer.
func (s streams) Dial(addr raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), min(timeout, dialPatience))
	defer cancel()
	again := time.NewTicker(dialAgain)
	defer again.Stop()
	for {
		c, err := s.t.dial(ctx, string(addr), forRaft)
		if err == nil {
			return c, nil
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return nil, err
		case <-s.t.closing:
			return nil, err
		}
	}
}

type address string

// Network implements net.Addr.
func (address) Network() string { return "tcp" }

// String implements net.Addr.
func (a address) String() string { return string(a) }
