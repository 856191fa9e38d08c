package cluster

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

const (
	linkWaiting = 4096    // calls of one link on their way
	frameCalls  = 256     // calls or replies of one frame …
	frameBytes  = 1 << 20 // … or about so many bytes
	writeLimit  = 10 * time.Second
)

// errLinkBusy is a link with too many calls on their way.
var errLinkBusy = errors.New("too many calls on their way")

// link is one kept connection to another queen. Calls of any number of goroutines share it:
// a writer sends whatever waits in one frame, a reader hands out replies.
type link struct {
	addr string
	conn net.Conn
	out  chan *outcall
	gone chan struct{} // closed when the link has failed or was closed

	tally *tally // of the calls on their way

	mu      sync.Mutex
	closed  bool
	waiting map[uint64]*outcall
	seq     uint64
}

// outcall is a call on its way out.
type outcall struct {
	wireCall
	reply chan wireReply // capacity 1
	sent  atomic.Bool    // a byte of it may have left
}

func newLink(addr string, conn net.Conn) *link {
	return &link{addr: addr, conn: conn, out: make(chan *outcall, linkWaiting),
		gone: make(chan struct{}), waiting: map[uint64]*outcall{}}
}

// run serves the link until it fails or is closed.
func (l *link) run() {
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		defer wg.Done()
		l.write()
		l.close()
	}()
	l.read()
	l.close()
	wg.Wait()
}

func (l *link) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed {
		l.closed = true
		close(l.gone)
		_ = l.conn.Close()
	}
}

// start puts a call on its way. Its caller ends it with done or giveUp.
func (l *link) start(ctx context.Context, c wireCall) (*outcall, error) {
	if d, ok := ctx.Deadline(); ok {
		c.Within = max(time.Until(d), time.Millisecond)
	}
	o := &outcall{wireCall: c, reply: make(chan wireReply, 1)}
	return o, l.enter(o)
}

// call starts a call and waits for its reply.
func (l *link) call(ctx context.Context, c wireCall) (wireReply, fate) {
	o, err := l.start(ctx, c)
	if err != nil {
		return wireReply{}, refused
	}
	select {
	case r := <-o.reply:
		return l.done(o, r)
	case <-l.gone:
	case <-ctx.Done():
	}
	return l.giveUp(o)
}

func (l *link) done(o *outcall, r wireReply) (wireReply, fate) {
	l.leave(o)
	return r, r.Fate
}

// giveUp ends a call without a reply and says whether it may have arrived.
func (l *link) giveUp(o *outcall) (wireReply, fate) {
	l.leave(o)
	select {
	case r := <-o.reply: // it came at the same moment
		return r, r.Fate
	default:
	}
	if o.sent.CompareAndSwap(false, true) { // the writer skips it from now on
		return wireReply{}, refused
	}
	return wireReply{}, unknown
}

func (l *link) enter(o *outcall) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return net.ErrClosed
	}
	if len(l.waiting) >= linkWaiting {
		l.tally.refuse()
		return errLinkBusy
	}
	l.seq++
	o.Seq = l.seq
	l.waiting[o.Seq] = o
	select {
	case l.out <- o:
		l.tally.hold()
		return nil
	default: // calls that were given up still lie in it
		delete(l.waiting, o.Seq)
		l.tally.refuse()
		return errLinkBusy
	}
}

func (l *link) leave(o *outcall) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.waiting, o.Seq)
	l.tally.give()
}

// write sends frames of all that waits.
func (l *link) write() {
	for {
		select {
		case <-l.gone:
			return
		case o := <-l.out:
			if err := l.flush(o); err != nil {
				return
			}
		}
	}
}

func (l *link) flush(first *outcall) error {
	var calls []*wireCall
	size := 0
	for o := first; o != nil; {
		if o.sent.CompareAndSwap(false, true) {
			calls = append(calls, &o.wireCall)
			size += len(o.Body) + requestBytes(o.Request)
		}
		o = nil
		if len(calls) < frameCalls && size < frameBytes {
			select {
			case o = <-l.out:
			default:
			}
		}
	}
	if len(calls) == 0 {
		return nil
	}
	data, err := encode(calls)
	if err != nil {
		return err
	}
	_ = l.conn.SetWriteDeadline(time.Now().Add(writeLimit))
	return writeFrame(l.conn, data)
}

func (l *link) read() {
	for {
		data, err := readFrame(l.conn)
		if err != nil {
			return
		}
		var replies []wireReply
		if err := decode(data, &replies); err != nil {
			return
		}
		for _, r := range replies {
			l.mu.Lock()
			o := l.waiting[r.Seq]
			delete(l.waiting, r.Seq)
			l.mu.Unlock()
			if o != nil {
				o.reply <- r
			}
		}
	}
}

// links keeps one link per address.
type links struct {
	transport *transport
	tally     *tally // of the calls on their way over all of them

	mu      sync.Mutex
	byAddr  map[string]*link
	dialing map[string]*dialing
	closed  bool
	wg      sync.WaitGroup
}

// dialing is one attempt to connect, which all callers of an address share: after a change
// of leader there are many at once.
type dialing struct {
	ctx     context.Context // ends when nobody waits any more
	cancel  context.CancelFunc
	waiting int

	done chan struct{} // closed when link and err stand
	link *link
	err  error
}

func newLinks(t *transport) *links {
	return &links{transport: t, byAddr: map[string]*link{}, dialing: map[string]*dialing{}}
}

// get returns the kept link, or one that is dialled for all who ask meanwhile. Who leaves
// early fails alone.
func (p *links) get(ctx context.Context, addr string) (*link, error) {
	l, d := p.enter(addr)
	if l != nil {
		return l, nil
	}
	if d == nil {
		return nil, net.ErrClosed
	}
	defer p.leave(addr, d)
	select {
	case <-d.done:
		return d.link, d.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// enter finds the kept link or the attempt to make one; neither after close.
func (p *links) enter(addr string) (*link, *dialing) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if l := p.byAddr[addr]; l != nil || p.closed {
		return l, nil
	}
	d := p.dialing[addr]
	if d == nil {
		d = &dialing{done: make(chan struct{})}
		d.ctx, d.cancel = context.WithTimeout(context.Background(), handshakeTimeout)
		p.dialing[addr] = d
		p.wg.Go(func() { p.dial(addr, d) })
	}
	d.waiting++
	return nil, d
}

func (p *links) leave(addr string, d *dialing) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if d.waiting--; d.waiting > 0 {
		return
	}
	d.cancel()
	if p.dialing[addr] == d {
		delete(p.dialing, addr)
	}
}

// dial makes one attempt and serves the link that comes of it until it ends.
func (p *links) dial(addr string, d *dialing) {
	conn, err := p.transport.dial(d.ctx, addr, forCalls)
	p.mu.Lock()
	switch {
	case err != nil:
		d.err = err
	case p.closed || p.dialing[addr] != d: // closed, or everybody has gone
		d.err = errors.Join(net.ErrClosed, conn.Close())
	default:
		d.link = newLink(addr, conn)
		d.link.tally = p.tally
		p.byAddr[addr] = d.link
	}
	if p.dialing[addr] == d {
		delete(p.dialing, addr)
	}
	close(d.done)
	p.mu.Unlock()
	if d.link != nil {
		d.link.run()
		p.forget(d.link)
	}
}

func (p *links) forget(l *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.byAddr[l.addr] == l {
		delete(p.byAddr, l.addr)
	}
}

// close ends every link and waits for them.
func (p *links) close() {
	p.mu.Lock()
	p.closed = true
	for _, l := range p.byAddr {
		l.close()
	}
	for _, d := range p.dialing {
		d.cancel()
	}
	p.mu.Unlock()
	p.wg.Wait()
}
