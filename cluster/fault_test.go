package cluster_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"

	"queen-rbee/cluster"
	"queen-rbee/cluster/clustertest"
	"queen-rbee/fsm"
)

// quick is a configuration whose queens give up parking soon.
func quick(c *cluster.Config) { c.Park = 1500 * time.Millisecond }

func code(err error) string {
	var e *fsm.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// load submits at queens in turn, from several callers, until stop; each failed submit is
// asked again under its own id at the next queen. It returns the acknowledged ids.
type load struct {
	cancel context.CancelFunc
	wg     sync.WaitGroup
	mu     sync.Mutex
	acked  []string
	bad    []error
}

func startLoad(t *testing.T, c *clustertest.Cluster, callers int) *load {
	ctx, cancel := context.WithCancel(t.Context())
	l := &load{cancel: cancel}
	for i := range callers {
		l.wg.Go(func() {
			for at := i; ctx.Err() == nil; at++ {
				l.one(ctx, c, at)
			}
		})
	}
	return l
}

func (l *load) one(ctx context.Context, c *clustertest.Cluster, at int) {
	id := ulid.Make().String()
	for ; ctx.Err() == nil; at++ {
		nodes := c.Nodes() // once: a queen may be added meanwhile
		n := nodes[at%len(nodes)]
		try, cancel := context.WithTimeout(ctx, 2*time.Second)
		a, err := submit(try, n, id)
		cancel()
		l.mu.Lock()
		switch code(err) {
		case "":
			if err != nil || a.Job != id {
				l.bad = append(l.bad, errors.Join(err, errors.New("answered for job "+a.Job)))
			}
			l.acked = append(l.acked, id)
			l.mu.Unlock()
			return
		case fsm.CodeNoLeader, fsm.CodeUnknownOutcome, fsm.CodeAtCapacity:
		default:
			l.bad = append(l.bad, err)
		}
		l.mu.Unlock()
	}
}

func (l *load) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.acked)
}

func (l *load) stop(t *testing.T) []string {
	l.cancel()
	l.wg.Wait()
	for _, err := range l.bad {
		t.Errorf("under load: %v", err)
	}
	return l.acked
}

// more waits until n more submits were acknowledged.
func (l *load) more(t *testing.T, n int) {
	t.Helper()
	goal := l.count() + n
	clustertest.Eventually(t, func() error {
		if got := l.count(); got < goal {
			return errors.New("no progress")
		}
		return nil
	})
}

// present fails unless every id is a job on every running queen, and the counts agree that
// each was admitted once.
func present(t *testing.T, c *clustertest.Cluster, ids []string) {
	t.Helper()
	for _, n := range c.Up() {
		v, err := n.Queen().Strong(t.Context())
		if err != nil {
			t.Fatalf("strong read at %s: %v", n.Name, err)
		}
		for _, id := range ids {
			if _, ok := v.Job(id); !ok {
				t.Errorf("%s has lost the acknowledged job %s", n.Name, id)
			}
		}
		if m := v.Meta(); m.Guarded != 0 {
			t.Errorf("%s: %d planned commands were refused by guards", n.Name, m.Guarded)
		}
	}
	c.EnsureSame()
}

func TestLeaderChangesUnderLoad(t *testing.T) {
	t.Parallel()
	c := clustertest.New(t, 3, nil)
	hive(t, c.Leader())
	l := startLoad(t, c, 8)
	l.more(t, 50)
	for range 2 {
		leader := c.Settled()
		leader.Kill()
		l.more(t, 50)
		leader.Restart()
		c.Settled()
	}
	leader := c.Settled()
	leader.Stop()
	l.more(t, 50)
	leader.Restart()
	c.Settled()
	if err := c.Nodes()[0].Queen().Transfer(t.Context(), ""); err != nil && code(err) != fsm.CodeUnknownOutcome {
		t.Errorf("transfer: %v", err)
	}
	l.more(t, 50)
	c.Settled()
	present(t, c, l.stop(t))
}

func TestMinorityNeverLies(t *testing.T) {
	t.Parallel()
	c := clustertest.New(t, 3, quick)
	hive(t, c.Leader())
	l := startLoad(t, c, 6)
	l.more(t, 20)
	old := c.Settled()
	c.Isolate(old.Name)
	next := c.Leader(old.Name)
	id := ulid.Make().String()
	if _, err := submit(t.Context(), old, id); code(err) != fsm.CodeNoLeader && code(err) != fsm.CodeUnknownOutcome {
		t.Errorf("a submit at the isolated leader: %v", err)
	}
	if _, err := old.Queen().Strong(t.Context()); code(err) != fsm.CodeNoLeader {
		t.Errorf("a strong read at the isolated leader: %v", err)
	}
	l.more(t, 50)
	if _, err := submit(t.Context(), next, ulid.Make().String()); err != nil {
		t.Errorf("a submit on the side of the majority: %v", err)
	}
	c.Heal()
	c.Settled()
	if _, err := submit(t.Context(), old, id); err != nil {
		t.Errorf("the same submit after healing: %v", err)
	}
	present(t, c, append(l.stop(t), id))
}

func TestOneWayCut(t *testing.T) {
	t.Parallel()
	c := clustertest.New(t, 3, nil)
	hive(t, c.Leader())
	leader := c.Settled()
	l := startLoad(t, c, 4)
	l.more(t, 20)
	for _, n := range c.Nodes() {
		if n != leader {
			c.Cut(leader.Name, n.Name) // it hears, but is not heard
		}
	}
	c.Leader(leader.Name)
	l.more(t, 50)
	c.Heal()
	c.Settled()
	present(t, c, l.stop(t))
}

func TestMajorityLostIsRefusedAfterParking(t *testing.T) {
	t.Parallel()
	c := clustertest.New(t, 3, quick)
	hive(t, c.Leader())
	leader := c.Settled()
	others := c.Followers()
	leader.Kill()
	others[0].Kill()
	id := ulid.Make().String()
	if _, err := submit(t.Context(), others[1], id); code(err) != fsm.CodeNoLeader && code(err) != fsm.CodeUnknownOutcome {
		t.Errorf("without a majority: %v", err)
	}
	if _, err := submit(t.Context(), others[1], ulid.Make().String()); code(err) != fsm.CodeNoLeader {
		t.Errorf("after parking: %v", err)
	}
	leader.Restart()
	others[0].Restart()
	c.Settled()
	if a, err := submit(t.Context(), others[1], id); err != nil || a.Job != id {
		t.Errorf("with the majority back: %+v, %v", a, err)
	}
	c.EnsureSame()
}

func TestParkedSubmitIsSentAgain(t *testing.T) {
	t.Parallel()
	c := clustertest.New(t, 3, nil)
	hive(t, c.Leader())
	old := c.Settled()
	follower := c.Followers()[0]
	// The leader is cut off with the follower's submit on its way; the next one answers it.
	c.Isolate(old.Name)
	id := ulid.Make().String()
	a, err := submit(t.Context(), follower, id)
	if err != nil || a.Job != id {
		t.Errorf("parked submit: %+v, %v", a, err)
	}
	c.Heal()
	c.Settled()
	present(t, c, []string{id})
}

// TestAnOldCallIsHarmless holds a submit up on its way to a leader that is deposed and elected
// again meanwhile. What was given up long ago must not be done then.
func TestAnOldCallIsHarmless(t *testing.T) {
	t.Parallel()
	c := clustertest.New(t, 3, nil)
	hive(t, c.Leader())
	leader, asked, other := c.Settled(), c.Followers()[0], c.Followers()[1]
	if _, err := submit(t.Context(), asked, ulid.Make().String()); err != nil { // there is a link now
		t.Fatal(err)
	}
	c.Cut(asked.Name, leader.Name)
	late := ulid.Make().String()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := submit(ctx, asked, late); code(err) != fsm.CodeUnknownOutcome {
		t.Fatalf("a submit that is held up: %v", err)
	}
	transfer := func(from, to *clustertest.Node) {
		t.Helper()
		clustertest.Eventually(t, func() error { return from.Queen().Transfer(t.Context(), to.Name) })
		clustertest.Eventually(t, func() error {
			if got := c.Leader(); got != to {
				return errors.New(got.Name + " leads")
			}
			return nil
		})
	}
	transfer(leader, other)
	if _, err := submit(t.Context(), asked, ulid.Make().String()); err != nil {
		t.Errorf("a submit to the leader in between: %v", err)
	}
	transfer(other, leader)
	c.Heal()
	c.Settled()
	if _, err := submit(t.Context(), asked, ulid.Make().String()); err != nil { // behind the old one
		t.Errorf("a submit to the leader elected again: %v", err)
	}
	v, err := leader.Queen().Strong(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := v.Job(late); ok {
		t.Error("the submit that was given up has become a job in a later term")
	}
	c.EnsureSame()
}

func TestOneSubmitAtTwoQueensIsOneJob(t *testing.T) {
	t.Parallel()
	c := clustertest.New(t, 3, nil)
	hive(t, c.Leader())
	c.Settled()
	before := c.Leader().Queen().View().Counts().Queued
	const jobs = 40
	var wg sync.WaitGroup
	for range jobs {
		id := ulid.Make().String()
		for _, n := range c.Nodes() {
			wg.Go(func() {
				if a, err := submit(t.Context(), n, id); err != nil || a.Job != id {
					t.Errorf("at %s: %+v, %v", n.Name, a, err)
				}
			})
		}
	}
	wg.Wait()
	v, err := c.Nodes()[0].Queen().Strong(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := v.Counts().Queued - before; got != jobs {
		t.Errorf("%d jobs were made of %d submits", got, jobs)
	}
	c.EnsureSame()
}

func TestAllKilledAtOnceAndStartedAgain(t *testing.T) {
	t.Parallel()
	c := clustertest.New(t, 3, nil)
	hive(t, c.Leader())
	l := startLoad(t, c, 8)
	l.more(t, 100)
	for _, n := range c.Nodes() {
		n.Kill()
	}
	acked := l.stop(t)
	for _, n := range c.Nodes() {
		n.Restart()
	}
	c.Settled()
	present(t, c, acked)
}
