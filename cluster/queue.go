package cluster

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"queen-rbee/fsm"
	"queen-rbee/schedule"
)

// ask is one request on its way through the proposer. reply is called exactly once, from
// the proposer's loop or from submit; it must not block.
type ask struct {
	request schedule.Request
	reply   func(result)

	size  int
	frees bool      // finishes, starts, heartbeats: may use the reserved share and wait for company
	at    time.Time // of arrival
	state atomic.Int32
}

// states of an ask.
const (
	askWaiting int32 = iota
	askTaken         // the loop has it: it may be committed
	askLeft          // its caller has gone before that
)

// leave gives the request up; false when it may be committed already.
func (a *ask) leave() bool { return a.state.CompareAndSwap(askWaiting, askLeft) }

// frees tells the requests that free slots or keep the state true; the rest are clients' work.
// Hold is one of them for Release's sake: the two must not overtake each other.
func frees(r *schedule.Request) bool {
	return r.Finished != nil || r.Started != nil || r.Beat != nil || r.Register != nil ||
		r.Hold != nil || r.Release != nil || r.Tick != nil || r.Member != nil || r.Genesis != nil
}

// requestBytes is about what a request takes in an entry.
func requestBytes(r *schedule.Request) int {
	switch {
	case r == nil:
		return 0
	case r.Submit != nil:
		return 512 + len(r.Submit.Job.Body.Data)
	case r.Beat != nil:
		return 256 + 128*(len(r.Beat.Workers)+len(r.Beat.Runs)) + 512*len(r.Beat.Ended)
	}
	return 256
}

// queue holds what waits for the next plan, bounded in count and bytes.
type queue struct {
	bounds Bounds
	bell   chan struct{} // rings after an arrival

	mu     sync.Mutex
	closed bool
	free   line // those that free slots
	rest   line
	passed bool // clients' work waited through a whole plan: its head goes first in the next
}

// line is asks in order of arrival.
type line struct {
	asks  []*ask
	bytes int
}

func (l *line) add(a *ask) {
	l.asks = append(l.asks, a)
	l.bytes += a.size
}

func (l *line) drop() {
	l.bytes -= l.asks[0].size
	l.asks[0] = nil
	l.asks = l.asks[1:]
}

func newQueue(b Bounds) *queue { return &queue{bounds: b, bell: make(chan struct{}, 1)} }

// put takes an ask in, or says why not.
func (q *queue) put(a *ask) (fate, *fsm.Error) {
	a.size, a.frees = requestBytes(&a.request), frees(&a.request)
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return refused, nil
	}
	if err := q.full(a); err != nil {
		return busy, err
	}
	if a.frees {
		q.free.add(a)
	} else {
		q.rest.add(a)
	}
	select {
	case q.bell <- struct{}{}:
	default:
	}
	return 0, nil
}

// What an ask is told that finds no room.
var (
	errManyAsks = &fsm.Error{Code: fsm.CodeAtCapacity, RetryAfter: time.Second,
		Message: "the leader has as many requests waiting as it takes"}
	errLargeAsks = &fsm.Error{Code: fsm.CodeAtCapacity, RetryAfter: time.Second,
		Message: "the leader has as many bytes of requests waiting as it takes"}
)

// full tells what there is no room for, nil when the ask fits. Of count and bytes the same share is kept
// for what frees slots, so that no flood of clients' work can refuse it. One ask of a line
// always has room, whatever its size.
func (q *queue) full(a *ask) *fsm.Error {
	b := q.bounds
	total, reserved := int(b.QueueBytes), int(b.QueueBytes)*b.Reserved/b.Queue
	switch {
	case len(q.free.asks)+len(q.rest.asks) >= b.Queue, !a.frees && len(q.rest.asks) >= b.Queue-b.Reserved:
		return errManyAsks
	case a.frees && q.free.bytes > 0 && q.free.bytes+a.size > max(reserved, total-q.rest.bytes),
		!a.frees && q.rest.bytes > 0 && q.rest.bytes+a.size > total-max(reserved, q.free.bytes):
		return errLargeAsks
	}
	return nil
}

// take removes what fits into one plan: what frees slots first, but clients' work always
// has a quarter, in count and bytes. A body too large for what is left of a plan goes first
// in the next one. Asks whose callers have gone are dropped.
func (q *queue) take() []*ask {
	q.mu.Lock()
	defer q.mu.Unlock()
	count, bytes := q.bounds.Batch, q.bounds.BatchBytes
	var l load
	if q.passed {
		l.fill(&q.rest, 1, bytes)
	}
	share := max(1, count-min(len(q.rest.asks), (count+3)/4))
	l.fill(&q.free, share, bytes-min(q.rest.bytes, bytes/4))
	before := len(q.rest.asks)
	l.fill(&q.rest, count, bytes)
	q.passed = !q.passed && before > 0 && len(q.rest.asks) == before
	l.fill(&q.free, count, bytes)
	return l.asks
}

// load is what one plan takes.
type load struct {
	asks []*ask
	size int
}

// fill takes from a line's head while the load has less than count asks and bytes. The
// first ask of a load always fits.
func (l *load) fill(from *line, count, bytes int) {
	for len(from.asks) > 0 && len(l.asks) < count {
		a := from.asks[0]
		if a.state.Load() == askWaiting && len(l.asks) > 0 && l.size+a.size > bytes {
			return
		}
		from.drop()
		if a.state.CompareAndSwap(askWaiting, askTaken) {
			l.asks, l.size = append(l.asks, a), l.size+a.size
		}
	}
}

// waiting tells how many asks there are, and whether one of them wants no company.
func (q *queue) waiting() (n int, hurry bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.free.asks) + len(q.rest.asks), len(q.rest.asks) > 0
}

// depth is how many asks there are, and of how many bytes.
func (q *queue) depth() (n, bytes int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.free.asks) + len(q.rest.asks), q.free.bytes + q.rest.bytes
}

// close refuses what waits and what comes.
func (q *queue) close() {
	q.mu.Lock()
	left := slices.Concat(q.free.asks, q.rest.asks)
	q.closed, q.free, q.rest = true, line{}, line{}
	q.mu.Unlock()
	for _, a := range left {
		if a.state.CompareAndSwap(askWaiting, askTaken) {
			a.reply(result{fate: refused})
		}
	}
}
