package httpapi

import (
	"sync"
	"time"

	"queen-rbee/hives"
)

// pipe is one client's stream once the pump has its connection: from the second record on. What
// the hive sends goes to the client as it comes, with no goroutine, no timer and no buffer of the
// stream's own while it is idle. The goroutine of the request sleeps meanwhile; it writes its own
// events through write.
//
// Either side may come and go: the client's is there from open to close, the hive's from follow
// until its result or unfollow, again for each attachment. Safe for concurrent use.
type pipe struct {
	pump   *pump
	onGone func() // called once, when the client has gone or does not take what is sent

	mu      sync.Mutex
	client  *side
	hive    *side // nil: nothing is followed
	stream  *hives.Stream
	awake   time.Duration // comment after so long
	silence time.Duration // give the hive up after so long
	result  chan followed // of the run that is followed
	seq     uint64        // of the last record passed on of it
	pending []byte        // what the client has not taken
	room    chan struct{} // closed when pending is empty or the client gone; nil while nobody waits
	gone    error
	early   []byte // what the client has sent ahead of its next request
	wrote   time.Time
	heard   time.Time
}

// followed is how following a run ended: with the end mark, or an error.
type followed struct {
	end *hives.Terminal
	err error
}

// maxEarly is how much of a next request is read ahead; more waits in the kernel.
const maxEarly = 4 << 10

// lastWrite is when something was last sent.
func (p *pipe) lastWrite() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.wrote
}
