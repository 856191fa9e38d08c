// Package e2e tests whole clusters of real processes: what is promised to users when queens,
// hives and workers die, stop, come back or are cut off.
//
// Every test proves, beside its own point, that each job ended as it should at every queen,
// that each client got records 1, 2, 3, ... once and one end, with the very text an
// undisturbed engine gives, and that the queens' states are equal.
//
// RBEE_E2E_LONG=1 raises the counts; RBEE_E2E_RACE=1 builds the binaries with the race
// detector; RBEE_E2E_LOGS=DIR keeps everything of failed tests; RBEE_REQUIRE=netns,node
// forbids to skip for want of network namespaces, or of Node.js. -short leaves the package out.
// Tests that mostly wait run beside each other, when all others have ended.
package e2e

import (
	"context"
	"flag"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"queen-rbee/cmd/internal/e2e/rig"
)

func TestMain(m *testing.M) {
	if len(os.Args) == 4 && os.Args[1] == endless {
		fmt.Fprintln(os.Stderr, beEndless(os.Args[2], os.Args[3]))
		os.Exit(1)
	}
	flag.Parse()
	if testing.Short() {
		fmt.Println("e2e: left out with -short")
		os.Exit(0)
	}
	os.Exit(rig.Main(m))
}

// streamTime bounds one stream, with everything that dies under it.
const streamTime = 60 * time.Second

// long gives the heavier of two counts when it is asked for.
func long(usual, heavy int) int {
	if os.Getenv("RBEE_E2E_LONG") != "" {
		return heavy
	}
	return usual
}

// task number i of a test; the same number is the same text.
func task(i, tokens int) rig.Task {
	return rig.Task{Model: rig.Model, Prompt: fmt.Sprintf("Tell me about the bees of hive %d.", i), Seed: int64(i + 1), MaxTokens: tokens}
}

// from is the queens' URLs beginning with number i.
func from(queens []*rig.Process, i int) []string {
	urls := rig.URLs(queens)
	i %= len(urls)
	return append(append([]string{}, urls[i:]...), urls[:i]...)
}

// crowd is clients that stream at the same time.
type crowd struct {
	t       *testing.T
	c       *rig.Cluster
	ref     *rig.Reference
	streams []*rig.Stream
	errs    []error
	wait    sync.WaitGroup
	cancel  context.CancelFunc
}

// start sets n clients going; each gets its task and its queens from set.
func start(t *testing.T, c *rig.Cluster, ref *rig.Reference, n int, set func(i int, s *rig.Stream)) *crowd {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), streamTime)
	w := &crowd{t: t, c: c, ref: ref, errs: make([]error, n), cancel: cancel}
	for i := range n {
		s := &rig.Stream{C: c, Key: fmt.Sprintf("%s-stream-%d", t.Name(), i)}
		set(i, s)
		w.streams = append(w.streams, s)
		w.wait.Go(func() { w.errs[i] = s.Run(ctx) })
	}
	t.Cleanup(func() { cancel(); w.wait.Wait() })
	return w
}

// all waits until every client has so many tokens, or one has failed.
func (w *crowd) all(tokens int) {
	w.t.Helper()
	w.allOf(tokens, func(int) bool { return true })
}

// allOf is all for some of the clients.
func (w *crowd) allOf(tokens int, some func(i int) bool) {
	w.t.Helper()
	timer := time.NewTimer(streamTime)
	defer timer.Stop()
	for i, s := range w.streams {
		if !some(i) {
			continue
		}
		select {
		case <-s.After(tokens):
		case <-timer.C:
			w.t.Fatalf("not every client has %d tokens: %s has %d", tokens, s.ID(), s.Tokens())
		}
	}
}

// ids are the jobs', once all have begun.
func (w *crowd) ids() []string {
	var ids []string
	for _, s := range w.streams {
		ids = append(ids, s.ID())
	}
	return ids
}

// end waits for all clients and checks that each got the whole of its text.
func (w *crowd) end() {
	w.t.Helper()
	w.wait.Wait()
	for i, s := range w.streams {
		err := w.errs[i]
		if err == nil {
			err = w.c.CheckStream(s, w.ref.Text(w.t, s.Task))
		}
		if err != nil {
			w.t.Errorf("client %d: %v", i, err)
		}
	}
}

// reread reads every job again from the start, each at another queen.
func reread(t *testing.T, c *rig.Cluster, ref *rig.Reference, jobs []string, task func(i int) rig.Task) {
	t.Helper()
	want := make([]string, len(jobs))
	for i := range jobs {
		want[i] = ref.Text(t, task(i))
	}
	queens := c.Living()
	rig.Each(t, len(jobs), 16, func(i int) error {
		ctx, cancel := context.WithTimeout(t.Context(), streamTime)
		defer cancel()
		return c.Reread(ctx, queens[i%len(queens)].URL, jobs[i], want[i])
	})
}

// submit sends n detached tasks, number i first to queen i modulo their count.
func submit(t *testing.T, c *rig.Cluster, name string, n int, task func(i int) rig.Task) []string {
	t.Helper()
	ids := make([]string, n)
	queens := c.Living()
	rig.Each(t, n, 16, func(i int) (err error) {
		ctx, cancel := context.WithTimeout(t.Context(), streamTime)
		defer cancel()
		ids[i], err = c.Submit(ctx, task(i), fmt.Sprintf("%s-%s-%d", t.Name(), name, i), from(queens, i)...)
		return err
	})
	if t.Failed() {
		t.FailNow()
	}
	return ids
}

// onlyThese fails the test if two ids are the same or the cluster has jobs that nobody asked for.
func onlyThese(t *testing.T, c *rig.Cluster, jobs ...[]string) {
	t.Helper()
	known := map[string]bool{}
	n := 0
	for _, list := range jobs {
		for _, id := range list {
			known[id] = true
			n++
		}
	}
	index, err := c.Index(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	rows, err := c.List(t.Context(), c.Living()[0].URL, index)
	if err != nil {
		t.Fatal(err)
	}
	if len(known) != n || len(rows) != n {
		t.Errorf("%d requests made %d jobs, of which the clients know %d", n, len(rows), len(known))
	}
}
