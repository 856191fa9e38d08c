package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"queen-rbee/cluster"
	"queen-rbee/cluster/clustertest"
	"queen-rbee/fsm"
)

// TestLeadingIsOneCall changes the leader many times. On no queen may a duty of one
// leadership overlap that of the next, and all must have ended when the queens have; the
// package's leak check sees what does not.
func TestLeadingIsOneCall(t *testing.T) {
	t.Parallel()
	type running struct{ now, starts, ends atomic.Int32 }
	var mu sync.Mutex
	all := map[*cluster.Queen]*running{}
	c := clustertest.NewPrepared(t, 3, nil, func(q *cluster.Queen) {
		r := &running{}
		mu.Lock()
		all[q] = r
		mu.Unlock()
		q.Lead(cluster.Duty{Name: "test", Run: func(ctx context.Context) error {
			r.starts.Add(1)
			defer r.ends.Add(1)
			if r.now.Add(1) != 1 {
				t.Error("two leaderships of one queen overlap")
			}
			defer r.now.Add(-1)
			if established := q.Status().Established; !established && ctx.Err() == nil {
				t.Error("a duty runs before its leader is established")
			}
			<-ctx.Done()
			return nil
		}})
	})
	for range 20 {
		was := c.Settled()
		clustertest.Eventually(t, func() error { // a new leader may not be ready to hand on yet
			if err := was.Queen().Transfer(t.Context(), ""); err != nil {
				return err
			}
			return nil
		})
		c.Leader(was.Name)
	}
	c.Settled()
	for _, n := range c.Nodes() {
		n.Stop()
	}
	total := int32(0)
	for _, r := range all {
		total += r.starts.Load()
		if r.starts.Load() != r.ends.Load() {
			t.Errorf("a duty started %d times and ended %d times", r.starts.Load(), r.ends.Load())
		}
	}
	if total < 20 {
		t.Errorf("the duty ran only %d times over 20 changes", total)
	}
}

func TestADutyThatFailsIsStartedAgain(t *testing.T) {
	t.Parallel()
	var starts atomic.Int32
	c := clustertest.NewPrepared(t, 1, nil, func(q *cluster.Queen) {
		q.Lead(cluster.Duty{Name: "test", Run: func(ctx context.Context) error {
			if starts.Add(1) < 3 {
				return errors.New("not yet")
			}
			<-ctx.Done()
			return nil
		}})
	})
	clustertest.Eventually(t, func() error {
		if n := starts.Load(); n < 3 {
			return fmt.Errorf("started %d times", n)
		}
		return nil
	})
	c.Leader()
}

func TestCallLeader(t *testing.T) {
	t.Parallel()
	arrived := make(chan struct{})
	c := clustertest.NewPrepared(t, 3, nil, func(q *cluster.Queen) {
		q.HandleLeader("test.who", func(context.Context, []byte) ([]byte, error) {
			return []byte(q.Status().ID), nil
		})
		q.HandleLeader("test.stale", func(context.Context, []byte) ([]byte, error) {
			return nil, &fsm.Error{Code: fsm.CodeStale, Message: "old", RetryAfter: time.Second}
		})
		q.HandleLeader("test.plain", func(context.Context, []byte) ([]byte, error) { return nil, errors.New("plain") })
		q.HandleLeader("test.hang", func(ctx context.Context, _ []byte) ([]byte, error) {
			arrived <- struct{}{}
			<-ctx.Done()
			return nil, ctx.Err()
		})
	})
	leader := c.Settled()
	for _, n := range c.Nodes() {
		q := n.Queen()
		if got, err := q.CallLeader(t.Context(), "test.who", nil); err != nil || string(got) != leader.Name {
			t.Errorf("%s: %q answered, %v; %s leads", n.Name, got, err, leader.Name)
		}
		var e *fsm.Error
		if _, err := q.CallLeader(t.Context(), "test.stale", nil); !errors.As(err, &e) || e.Code != fsm.CodeStale || e.Message != "old" || e.RetryAfter != time.Second {
			t.Errorf("%s: %v", n.Name, err)
		}
		for method, want := range map[string]string{"test.plain": fsm.CodeInternal, "test.none": fsm.CodeInternal} {
			if _, err := q.CallLeader(t.Context(), method, nil); code(err) != want {
				t.Errorf("%s: %s: %v", n.Name, method, err)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		go func() { <-arrived; cancel() }()
		if _, err := q.CallLeader(ctx, "test.hang", nil); code(err) != fsm.CodeUnknownOutcome {
			t.Errorf("%s: a call that may have had its effect: %v", n.Name, err)
		}
		cancel()
	}
}

func TestMetricsAndStatusBeforeRun(t *testing.T) {
	t.Parallel()
	n := clustertest.New(t, 1, nil).NewNode("never-run")
	q, err := cluster.New(n.Config)
	if err != nil {
		t.Fatal(err)
	}
	if s := q.Status(); s.RaftState != "starting" || s.Ready || s.Leader != "" {
		t.Errorf("status before Run: %+v", s)
	}
	if q.View() == nil || !q.View().Meta().Epoch.IsZero() || q.AuthorizeQueen("") || q.AuthorizeHive("") {
		t.Error("a queen that has not run yet has a state, or takes an empty token")
	}
	if _, err := q.Strong(t.Context()); code(err) != fsm.CodeNoLeader {
		t.Errorf("a strong read before Run: %v", err)
	}
}
