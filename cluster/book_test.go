package cluster_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"

	"queen-rbee/cluster/clustertest"
	"queen-rbee/fsm"
	"queen-rbee/schedule"
)

// books are what clients know of their requests: each has an Idempotency-Key and is asked
// again at the next queen, with another job id, until it is acknowledged.
type books struct {
	c      *clustertest.Cluster
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu      sync.Mutex
	entries map[string]*entry // by key
	acked   int
	bad     []error
}

// entry is one request.
type entry struct {
	job     string // as acknowledged
	unknown bool   // an outcome of it is not known
}

// keepBooks starts so many clients; close ends them and checks.
func keepBooks(t *testing.T, c *clustertest.Cluster, clients int) *books {
	ctx, cancel := context.WithCancel(t.Context())
	b := &books{c: c, cancel: cancel, entries: map[string]*entry{}}
	for i := range clients {
		b.wg.Go(func() {
			for at := i; ctx.Err() == nil; at++ {
				b.ask(ctx, at)
			}
		})
	}
	t.Cleanup(func() {
		cancel()
		b.wg.Wait()
	})
	return b
}

// ask asks one request until it is acknowledged, and once more.
func (b *books) ask(ctx context.Context, at int) {
	key, e := ulid.Make().String(), &entry{}
	b.mu.Lock()
	b.entries[key] = e
	b.mu.Unlock()
	for answers := 0; answers < 2 && ctx.Err() == nil; at++ {
		nodes := b.c.Nodes()
		try, cancel := context.WithTimeout(ctx, 2*time.Second)
		a, err := nodes[at%len(nodes)].Queen().Do(try, schedule.Request{Submit: &schedule.Submit{Job: fsm.Job{
			ID: ulid.Make().String(), Tenant: "default", Model: model, API: "task", Path: "/v1/chat/completions",
			Priority: fsm.PriorityInteractive, Detached: true, OnLoss: fsm.LossFail, Body: fsm.PackBody([]byte(`{}`)),
			IdempotencyKey: key, RequestHash: [32]byte{1},
		}}})
		cancel()
		if b.note(e, a, err) {
			answers++
		}
	}
}

// note writes down what came of a try, and tells whether it was acknowledged.
func (b *books) note(e *entry, a schedule.Answer, err error) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch code(err) {
	case "":
		if err != nil || a.Job == "" || e.job != "" && a.Job != e.job {
			b.bad = append(b.bad, errors.Join(err, errors.New("one key was answered with job "+e.job+" and then "+a.Job)))
		}
		if e.job == "" {
			b.acked++
		}
		e.job = a.Job
		return true
	case fsm.CodeUnknownOutcome:
		e.unknown = true
	case fsm.CodeNoLeader, fsm.CodeAtCapacity:
	default:
		b.bad = append(b.bad, err)
	}
	return false
}

// more waits until n more requests were acknowledged.
func (b *books) more(t *testing.T, n int) {
	t.Helper()
	count := func() int {
		b.mu.Lock()
		defer b.mu.Unlock()
		return b.acked
	}
	goal := count() + n
	clustertest.Eventually(t, func() error {
		if count() < goal {
			return errors.New("clients get no further")
		}
		return nil
	})
}

// close ends the clients and fails unless on every running queen an acknowledged request is
// the one job it was said to be, one of unknown outcome at most one, and a refused one none.
func (b *books) close(t *testing.T) {
	t.Helper()
	b.cancel()
	b.wg.Wait()
	for _, err := range b.bad {
		t.Errorf("a client: %v", err)
	}
	for _, n := range b.c.Up() {
		v, err := n.Queen().Strong(t.Context())
		if err != nil {
			t.Fatalf("strong read at %s: %v", n.Name, err)
		}
		jobs := map[string][]string{} // by key
		for cursor, more := "", true; more; more = cursor != "" {
			var items []*fsm.Job
			items, cursor = v.Jobs(fsm.JobFilter{}, cursor, 500)
			for _, j := range items {
				jobs[j.IdempotencyKey] = append(jobs[j.IdempotencyKey], j.ID)
			}
		}
		for key, e := range b.entries {
			switch got := jobs[key]; {
			case len(got) > 1:
				t.Errorf("%s: one request became the jobs %v", n.Name, got)
			case e.job != "" && (len(got) == 0 || got[0] != e.job):
				t.Errorf("%s: the acknowledged job %s is %v", n.Name, e.job, got)
			case e.job == "" && !e.unknown && len(got) > 0:
				t.Errorf("%s: a request that was only refused is job %v", n.Name, got)
			}
		}
		if m := v.Meta(); m.Guarded != 0 {
			t.Errorf("%s: %d planned commands were refused by guards", n.Name, m.Guarded)
		}
	}
	b.c.EnsureSame()
}
