package cluster

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"queen-rbee/fsm"
	"queen-rbee/schedule"
)

const (
	connCalls    = 2 * linkWaiting // calls of one connection being answered
	connHandlers = 256             // of them, those that run a handler
)

// peerHandler answers a call on any queen, leader or not.
type peerHandler func(ctx context.Context, body []byte) ([]byte, error)

// server answers the calls of other queens. A call is never passed on: who is not the
// leader says so.
type server struct {
	leader  func() *leadership
	methods map[string]LeaderHandler // only an established leader serves them
	peer    map[string]peerHandler
	ctx     context.Context // ends with the queen
	tally   *tally          // of the calls that run a handler

	mu     sync.Mutex
	newest map[string]*serverConn // by the queen that calls
}

// serve answers one connection until it ends.
func (s *server) serve(c net.Conn, peer hello) {
	ctx, cancel := context.WithCancel(s.ctx)
	sc := &serverConn{server: s, conn: c, ctx: ctx, cancel: cancel, over: make(chan struct{}),
		replies: make(chan wireReply, connCalls), slots: make(chan struct{}, connCalls), handlers: make(chan struct{}, connHandlers)}
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		defer wg.Done()
		sc.write()
		_ = c.Close()
	}()
	s.succeed(peer.name, sc)
	sc.read()
	s.leave(peer.name, sc)
	cancel()
	_ = c.Close()
	wg.Wait()
	sc.wg.Wait()
}

// succeed ends the connection a queen had before, and waits until nothing more is taken from
// it: a call that was given up there must not come after what was sent here in its place.
func (s *server) succeed(name string, sc *serverConn) {
	s.mu.Lock()
	old := s.newest[name]
	if s.newest == nil {
		s.newest = map[string]*serverConn{}
	}
	s.newest[name] = sc
	s.mu.Unlock()
	if old != nil {
		old.cancel()
		_ = old.conn.Close()
		<-old.over
	}
}

func (s *server) leave(name string, sc *serverConn) {
	close(sc.over)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.newest[name] == sc {
		delete(s.newest, name)
	}
}

// serverConn is one connection being served. A slot is held from a call's arrival until its
// reply is taken by the writer, so that a reply always has room and the proposer never waits.
type serverConn struct {
	*server
	conn     net.Conn
	ctx      context.Context
	cancel   context.CancelFunc
	over     chan struct{} // closed when nothing more is taken from it
	replies  chan wireReply
	slots    chan struct{}
	handlers chan struct{}
	wg       sync.WaitGroup
}

func (s *serverConn) read() {
	for {
		data, err := readFrame(s.conn)
		if err != nil {
			return
		}
		var calls []wireCall
		if err := decode(data, &calls); err != nil {
			return
		}
		for i := range calls {
			select {
			case s.slots <- struct{}{}:
			case <-s.ctx.Done():
				return
			}
			s.take(&calls[i])
		}
	}
}

// take begins to answer one call; it does not wait for the answer.
func (s *serverConn) take(c *wireCall) {
	if h := s.peer[c.Method]; h != nil {
		s.handle(s.ctx, c, LeaderHandler(h))
		return
	}
	l := s.leader()
	if l == nil || l.term != c.Term {
		s.replies <- wireReply{Seq: c.Seq, Fate: refused}
		return
	}
	if c.Request != nil {
		seq := c.Seq
		l.proposer.submit(&ask{request: *c.Request, reply: func(r result) { s.replies <- r.wire(seq) }})
		return
	}
	h := s.methods[c.Method]
	if h == nil {
		s.replies <- wireReply{Seq: c.Seq, Fate: answered, Err: fsm.Errorf(fsm.CodeInternal, "this leader has no method %.60q: is it an older build?", c.Method)}
		return
	}
	s.handle(l.ctx, c, h)
}

// handle runs a handler beside the connection, bounded in number and time.
func (s *serverConn) handle(parent context.Context, c *wireCall, h LeaderHandler) {
	select {
	case s.handlers <- struct{}{}:
	default:
		s.tally.refuse()
		s.replies <- wireReply{Seq: c.Seq, Fate: busy, Err: &fsm.Error{
			Code: fsm.CodeAtCapacity, Message: "too many calls at a time from one queen", RetryAfter: time.Second}}
		return
	}
	s.wg.Add(1)
	s.tally.hold()
	go func() {
		defer s.wg.Done()
		defer func() { s.tally.give(); <-s.handlers }()
		ctx, cancel := context.WithTimeout(parent, callLimit(c.Within))
		defer cancel()
		defer context.AfterFunc(s.ctx, cancel)()
		body, err := h(ctx, c.Body)
		s.replies <- handled(c.Seq, body, err)
	}()
}

// callLimit bounds how long a handler may take.
func callLimit(within time.Duration) time.Duration {
	if within <= 0 || within > time.Minute {
		return time.Minute
	}
	return within
}

// errMoved is what a leader's handler returns when it has just handed leadership on and did
// nothing else: ask the next leader.
var errMoved = fsm.Errorf("moved", "leadership was handed on")

// errPartly is what it returns when it may have done a part: the next leader, asked the same
// again, does the rest.
var errPartly = fsm.Errorf("partly", "leadership ended before all was done")

// handled turns a handler's result into a reply.
func handled(seq uint64, body []byte, err error) wireReply {
	r := wireReply{Seq: seq, Fate: answered, Body: body}
	var coded *fsm.Error
	switch {
	case err == nil:
		return r
	case !errors.As(err, &coded) && (errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)):
		r.Fate = unknown // leadership or the caller's time ended in the middle
		return r
	}
	switch r.Err = asError(err); r.Err.Code {
	case errMoved.Code:
		r.Fate, r.Err = refused, nil
	case errPartly.Code:
		r.Fate, r.Err = unknown, nil
	}
	return r
}

func (s *serverConn) write() {
	for {
		select {
		case <-s.ctx.Done():
			return
		case r := <-s.replies:
			<-s.slots
			if err := s.flush(r); err != nil {
				return
			}
		}
	}
}

func (s *serverConn) flush(first wireReply) error {
	batch, size := []wireReply{first}, len(first.Body)
	for more := true; more && len(batch) < frameCalls && size < frameBytes; {
		select {
		case r := <-s.replies:
			<-s.slots
			batch, size = append(batch, r), size+len(r.Body)
		default:
			more = false
		}
	}
	data, err := encode(batch)
	if err != nil {
		return err
	}
	_ = s.conn.SetWriteDeadline(time.Now().Add(writeLimit))
	return writeFrame(s.conn, data)
}

// wire turns a proposer's result into a reply.
func (r result) wire(seq uint64) wireReply {
	w := wireReply{Seq: seq, Fate: r.fate, Err: r.err}
	if r.fate == answered && r.err == nil {
		w.Answer = &r.answer
	}
	return w
}

// result is what became of a request or call.
type result struct {
	fate   fate
	answer schedule.Answer
	body   []byte
	err    *fsm.Error // with answered: the answer is this error; with busy: why
}
