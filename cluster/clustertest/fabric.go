package clustertest

import (
	"context"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"queen-rbee/cluster"
)

// Link is what happens to the bytes from one queen to another. Under TCP no byte is lost, comes
// twice or overtakes another: a lost packet is a pause, then all at once, and at worst the end
// of the connection. Raft's messages, which it would have survived losing, are in Mail.
type Link struct {
	Cut    bool          // bytes wait until it is healed, as when a cable is pulled and put back
	Delay  time.Duration // how late everything comes
	Jitter time.Duration // and up to so much later; order is kept
	Loss   float64       // part of the writes that are sent again after resend, and again after twice that
	Reset  float64       // part of the writes at which the connection breaks, before or after they arrived
	Twice  float64       // part of the frames of calls that arrive twice
	Rate   int           // bytes a second; 0 for any
}

// resend is when TCP sends a packet again at the earliest.
const resend = 200 * time.Millisecond

// fabric is the network between the queens of a test.
type fabric struct {
	mu      sync.Mutex
	owner   map[string]string // address -> node
	links   map[[2]string]Link
	mail    Mail
	changed chan struct{}
	dice    *rand.Rand
}

func newFabric() *fabric {
	return &fabric{owner: map[string]string{}, links: map[[2]string]Link{}, changed: make(chan struct{}),
		dice: rand.New(rand.NewPCG(1, 2))}
}

func (f *fabric) own(addr, name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.owner[addr] = name
}

// set changes links and wakes whoever waits on one.
func (f *fabric) set(change func(links map[[2]string]Link)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f.links)
	close(f.changed)
	f.changed = make(chan struct{})
}

func (f *fabric) setMail(m Mail) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mail = m
}

func (f *fabric) mailNow() Mail {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.mail
}

func (f *fabric) link(from, to string) (Link, <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.links[[2]string{from, to}], f.changed
}

// share is a number from 0 to 1.
func (f *fabric) share() float64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.dice.Float64()
}

func (f *fabric) chance(p float64) bool { return p > 0 && f.share() < p }

// wait is how long a write stays on its way.
func (f *fabric) wait(l Link, bytes int) time.Duration {
	d := l.Delay + time.Duration(f.share()*float64(l.Jitter))
	for again := resend; f.chance(l.Loss) && again < 10*time.Second; again *= 2 {
		d += again
	}
	if l.Rate > 0 {
		d += time.Duration(bytes) * time.Second / time.Duration(l.Rate)
	}
	return d
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
			l, changed := p.f.link(way[0], way[1])
			if !l.Cut {
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
	return newConn(c, p.f, p.name, to), nil
}
