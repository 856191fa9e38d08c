package cluster

import (
	"context"
	"errors"
	"time"

	"queen-rbee/fsm"
	"queen-rbee/schedule"
)

// forwarder brings a call to the leader, wherever it is, and finds out what became of it.
// Calls wait (are parked) only within park of the last known leader, and are sent again
// under the same ids after a change of leader or a broken connection.
type forwarder struct {
	self    string
	park    time.Duration
	now     func() time.Time
	board   *board
	links   *links
	leader  func() *leadership
	methods map[string]LeaderHandler
	crowd   *tally        // of the calls being sent
	closed  chan struct{} // closed when this queen has ended
}

const (
	firstPause = 2 * time.Millisecond
	longPause  = 100 * time.Millisecond
)

// send brings a call to the leader. Without again, a call that may have arrived is not sent
// a second time. The error is an *fsm.Error.
func (f *forwarder) send(ctx context.Context, c wireCall, again bool) (result, error) {
	if n := len(c.Body) + requestBytes(c.Request); n > maxFrame-1<<20 {
		return result{}, fsm.Errorf(fsm.CodeTooLarge, "the request takes %d bytes; the leader takes at most %d", n, maxFrame-1<<20)
	}
	if !f.crowd.take(c.Request == nil || frees(c.Request)) {
		return result{}, &fsm.Error{Code: fsm.CodeAtCapacity, RetryAfter: time.Second,
			Message: "this queen has as many requests on their way to the leader as it takes"}
	}
	defer f.crowd.give()
	var (
		start = f.now()
		sent  = false
		pause = firstPause
	)
	for {
		at := f.board.read()
		r := f.attempt(ctx, c, at)
		switch r.fate {
		case answered:
			switch {
			case r.err == nil:
				return r, nil
			case sent && c.submits():
				return r, errUnknown("a later try was refused (" + r.err.Error() + "), but an earlier one may have been accepted")
			}
			return r, r.err
		case unknown:
			sent = true
			if !again {
				return r, gaveUp(ctx, sent)
			}
		case busy:
			if !sent { // else an earlier leader may have accepted it: no refusal can be said
				return r, r.err
			}
		}
		limit := f.patience(start)
		if ctx.Err() != nil || limit <= 0 || f.ended() {
			if r.fate == refused && r.err != nil && !sent { // there was a leader, but no room on the way to it
				return r, r.err
			}
			return r, gaveUp(ctx, sent)
		}
		if f.rest(ctx, at.changed, min(pause, limit)) {
			pause = firstPause // a new leader is about to be established
		} else {
			pause = min(2*pause, longPause)
		}
	}
}

// patience is how much longer a call may be parked.
func (f *forwarder) patience(start time.Time) time.Duration {
	at := f.board.read()
	if at.id != "" { // there is one, but it cannot be reached, or is not established yet
		return f.park - f.now().Sub(start)
	}
	return f.park - f.now().Sub(at.since)
}

// rest waits for a time; true when the board has changed before it was over.
func (f *forwarder) rest(ctx context.Context, changed <-chan struct{}, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-changed:
		return true
	case <-t.C:
	case <-f.closed:
	case <-ctx.Done():
	}
	return false
}

func (f *forwarder) ended() bool {
	select {
	case <-f.closed:
		return true
	default:
		return false
	}
}

// gaveUp is the error of a call that got no answer.
func gaveUp(ctx context.Context, sent bool) *fsm.Error {
	why := "no leader was found in time"
	if ctx.Err() != nil {
		why = "the caller's time was over before a leader answered"
	}
	if sent {
		return errUnknown(why + ", but the request may have been accepted")
	}
	return errNoLeader(why + "; nothing was accepted")
}

// attempt tries once, here or at the leader the board names.
func (f *forwarder) attempt(ctx context.Context, c wireCall, at standing) result {
	if l := f.leader(); l != nil {
		return f.local(ctx, c, l)
	}
	if at.id == "" || at.id == f.self { // nobody, or not established yet
		return result{fate: refused}
	}
	return f.remote(ctx, c, at)
}

func (f *forwarder) remote(ctx context.Context, c wireCall, at standing) result {
	link, err := f.links.get(ctx, at.addr)
	if err != nil {
		return result{fate: refused}
	}
	c.Term = at.term
	o, err := link.start(ctx, c)
	if errors.Is(err, errLinkBusy) {
		return result{fate: refused, err: &fsm.Error{Code: fsm.CodeAtCapacity, RetryAfter: time.Second,
			Message: "this queen has as many calls on their way to the leader as their connection takes"}}
	}
	if err != nil {
		return result{fate: refused}
	}
	reply, fate := f.await(ctx, link, o, at)
	r := result{fate: fate, body: reply.Body, err: reply.Err}
	if reply.Answer != nil {
		r.answer = *reply.Answer
	}
	return r
}

// await waits for a reply until the link fails, the caller has gone, another leader is
// known, or there has been none for so long that waiting is over. The link itself may look
// alive: a stopped process keeps its connections.
func (f *forwarder) await(ctx context.Context, l *link, o *outcall, at standing) (wireReply, fate) {
	patience := time.NewTimer(time.Hour) // set anew for each loss of the leader that is waited through
	defer patience.Stop()
	for {
		now := f.board.read()
		var over <-chan time.Time
		switch {
		case now.id == "":
			patience.Reset(max(f.park-f.now().Sub(now.since), 0))
			over = patience.C
		case now.id != at.id || now.term != at.term:
			return l.giveUp(o)
		}
		select {
		case r := <-o.reply:
			return l.done(o, r)
		case <-now.changed:
		case <-l.gone:
			return l.giveUp(o)
		case <-ctx.Done():
			return l.giveUp(o)
		case <-over:
			return l.giveUp(o)
		}
	}
}

// local asks the leader that this queen is.
func (f *forwarder) local(ctx context.Context, c wireCall, l *leadership) result {
	if c.Request == nil {
		return f.handle(ctx, c, l)
	}
	return l.propose(ctx, *c.Request)
}

func (f *forwarder) handle(ctx context.Context, c wireCall, l *leadership) result {
	h := f.methods[c.Method]
	if h == nil {
		return result{fate: answered, err: fsm.Errorf(fsm.CodeInternal, "the leader has no method %.60q", c.Method)}
	}
	if l.ctx.Err() != nil { // it has just ended, and is still called established
		return result{fate: refused}
	}
	ctx, cancel := context.WithTimeout(ctx, callLimit(0))
	defer cancel()
	defer context.AfterFunc(l.ctx, cancel)()
	body, err := h(ctx, c.Body)
	w := handled(0, body, err)
	return result{fate: w.Fate, body: w.Body, err: w.Err}
}

// Do brings a request to the leader's proposer and returns its answer once committed. The
// error is always an *fsm.Error: no_leader when it was certainly not accepted,
// unknown_outcome when it may have been, or the answer's own.
func (q *Queen) Do(ctx context.Context, r schedule.Request) (schedule.Answer, error) {
	res, err := q.send(ctx, wireCall{Request: &r}, true)
	return res.answer, err
}

// CallLeader calls a method that HandleLeader registered at the leader. It is parked like a
// request but sent at most once: unknown_outcome when it may have arrived.
func (q *Queen) CallLeader(ctx context.Context, method string, body []byte) ([]byte, error) {
	res, err := q.send(ctx, wireCall{Method: method, Body: body}, false)
	return res.body, err
}

func (q *Queen) send(ctx context.Context, c wireCall, again bool) (result, error) {
	n := q.node.Load()
	if n == nil {
		return result{}, errNoLeader("this queen is still starting")
	}
	return n.forward.send(ctx, c, again)
}
