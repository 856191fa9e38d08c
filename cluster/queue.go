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
func frees(r *schedule.Request) bool {
	return r.Finished != nil || r.Started != nil || r.Beat != nil || r.Register != nil ||
		r.Release != nil || r.Tick != nil || r.Member != nil || r.Genesis != nil
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
	free   []*ask // those that free slots
	rest   []*ask
	bytes  int64
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
	n := len(q.free) + len(q.rest)
	full := n >= q.bounds.Queue || q.bytes > 0 && q.bytes+int64(a.size) > q.bounds.QueueBytes
	if !a.frees {
		full = full || len(q.rest) >= q.bounds.Queue-q.bounds.Reserved
	}
	if full {
		return answered, &fsm.Error{Code: fsm.CodeAtCapacity, RetryAfter: time.Second,
			Message: "the leader has as many requests waiting as it takes"}
	}
	q.bytes += int64(a.size)
	if a.frees {
		q.free = append(q.free, a)
	} else {
		q.rest = append(q.rest, a)
	}
	select {
	case q.bell <- struct{}{}:
	default:
	}
	return 0, nil
}

// take removes what fits into one plan: what frees slots first, but clients' work always
// has a quarter. Asks whose callers have gone are dropped.
func (q *queue) take() []*ask {
	q.mu.Lock()
	defer q.mu.Unlock()
	count, bytes := q.bounds.Batch, q.bounds.BatchBytes
	share := count - min(len(q.rest), (count+3)/4)
	if len(q.rest) > 0 && share == 0 && len(q.free) > 0 {
		share = 1
	}
	var taken []*ask
	pick := func(from []*ask, upTo int) []*ask {
		for len(from) > 0 && len(taken) < upTo {
			a := from[0]
			if len(taken) > 0 && a.size > bytes {
				break
			}
			from[0] = nil
			from = from[1:]
			q.bytes -= int64(a.size)
			if a.state.CompareAndSwap(askWaiting, askTaken) {
				taken = append(taken, a)
				bytes -= a.size
			}
		}
		return from
	}
	q.free = pick(q.free, share)
	q.rest = pick(q.rest, count)
	q.free = pick(q.free, count)
	return taken
}

// waiting tells how many asks there are, and whether one of them wants no company.
func (q *queue) waiting() (n int, hurry bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.free) + len(q.rest), len(q.rest) > 0
}

// close refuses what waits and what comes.
func (q *queue) close() {
	q.mu.Lock()
	left := slices.Concat(q.free, q.rest)
	q.closed, q.free, q.rest, q.bytes = true, nil, nil, 0
	q.mu.Unlock()
	for _, a := range left {
		if a.state.CompareAndSwap(askWaiting, askTaken) {
			a.reply(result{fate: refused})
		}
	}
}
