package crowd

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"queen-rbee/cmd/internal/chaos/history"
	"queen-rbee/cmd/internal/e2e/rig"
)

// Crowd is all clients of a cluster and what they share.
type Crowd struct {
	Cluster *rig.Cluster
	Record  *history.Recorder
	Seed    uint64

	mu       sync.Mutex
	breaches []string
	doing    map[string]string // client -> what it is at
	reads    []Read
}

// Run lets n clients, and a probe for each queen, go on until enough is closed, and then
// finish what they are at. ctx ends them at once.
func (w *Crowd) Run(ctx context.Context, n int, enough <-chan struct{}) {
	var wait sync.WaitGroup
	for i := range n {
		c := &client{w: w, name: fmt.Sprintf("client-%d", i+1), rng: rand.New(rand.NewPCG(w.Seed, uint64(i)+1))}
		wait.Go(func() { c.run(ctx, enough) })
	}
	for i, q := range w.Cluster.Queens {
		c := &client{w: w, name: "probe-" + q.Name, rng: rand.New(rand.NewPCG(w.Seed, uint64(n+i)+1))}
		wait.Go(func() { c.probe(ctx, q, enough) })
	}
	wait.Wait()
}

// Breach notes what no client may ever see.
func (w *Crowd) Breach(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.breaches = append(w.breaches, fmt.Sprintf(format, args...))
}

// Breaches are all so far.
func (w *Crowd) Breaches() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string{}, w.breaches...)
}

func (w *Crowd) read(r Read) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.reads = append(w.reads, r)
}

// Reads are what the OpenAI readers got. After Run.
func (w *Crowd) Reads() []Read {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]Read{}, w.reads...)
}

// Doing tells what each client that has not finished is at.
func (w *Crowd) Doing() map[string]string {
	w.mu.Lock()
	defer w.mu.Unlock()
	at := map[string]string{}
	for c, what := range w.doing {
		at[c] = what
	}
	return at
}

func (w *Crowd) note(client, what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.doing == nil {
		w.doing = map[string]string{}
	}
	if what == "" {
		delete(w.doing, client)
		return
	}
	w.doing[client] = what
}

// client does one thing after the other. It belongs to its goroutine.
type client struct {
	w     *Crowd
	name  string
	rng   *rand.Rand
	count int
	open  []job // detached and not yet followed to the end
	past  []job // followed to the end
}

// job is one that a client has begun.
type job struct {
	id   string
	key  string
	task history.Task

	detached bool
}

// Bounds of what a client keeps in mind.
const (
	maxOpen = 3
	maxPast = 50
)

func (c *client) run(ctx context.Context, enough <-chan struct{}) {
	defer c.w.note(c.name, "")
	for ctx.Err() == nil {
		select {
		case <-enough:
			for _, j := range c.open {
				c.follow(ctx, j)
			}
			return
		default:
		}
		c.story(ctx)
		rig.Pause(ctx, c.upTo(200*time.Millisecond))
	}
}

// upTo draws a time.
func (c *client) upTo(d time.Duration) time.Duration { return time.Duration(c.rng.Int64N(int64(d))) }

// one says yes once in n times.
func (c *client) one(n int) bool { return c.rng.IntN(n) == 0 }

// queen draws one; dead or alive, a client does not know.
func (c *client) queen() *rig.Process {
	return c.w.Cluster.Queens[c.rng.IntN(len(c.w.Cluster.Queens))]
}

// after is the queen that a client of q tries next.
func (c *client) after(q *rig.Process) *rig.Process {
	all := c.w.Cluster.Queens
	for i, p := range all {
		if p == q {
			return all[(i+1)%len(all)]
		}
	}
	return all[0]
}

func (c *client) finished(j job) {
	if c.past = append(c.past, j); len(c.past) > maxPast {
		c.past = c.past[1:]
	}
}
