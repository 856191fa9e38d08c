package cluster

import (
	"context"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"queen-rbee/fsm"
	"queen-rbee/schedule"
)

// parked is a forwarder that knows of no leader yet and takes so many calls.
func parked(limit, reserved int64) *forwarder {
	return &forwarder{self: "queen-1", park: 10 * time.Second, now: time.Now, board: newBoard(time.Now), closed: make(chan struct{}),
		leader: func() *leadership { return nil }, crowd: &tally{limit: limit, reserved: reserved}}
}

// TestParkedRequestsAreBounded: beyond the limit clients are told at once to come back, what
// frees slots still has its share, and what was held is given back.
func TestParkedRequestsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := parked(4, 1)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		park := func(c wireCall) {
			wg.Go(func() { _, _ = f.send(ctx, c, true) })
			synctest.Wait()
		}
		submit := wireCall{Request: &schedule.Request{Submit: &schedule.Submit{}}}
		for range 3 {
			park(submit)
		}
		began := time.Now()
		_, err := f.send(ctx, submit, true)
		if asError(err).Code != fsm.CodeAtCapacity || asError(err).RetryAfter == 0 || time.Since(began) != 0 {
			t.Errorf("beyond the limit: %v after %v", err, time.Since(began))
		}
		park(wireCall{Request: &schedule.Request{Finished: &schedule.Finished{}}})
		if n := f.crowd.held.Load(); n != 4 {
			t.Errorf("%d held: a finish found no room", n)
		}
		if _, err := f.send(ctx, wireCall{Method: "beat"}, true); asError(err).Code != fsm.CodeAtCapacity {
			t.Errorf("beyond the reserve: %v", err)
		}
		cancel()
		wg.Wait()
		if n, r := f.crowd.held.Load(), f.crowd.refused.Load(); n != 0 || r != 2 {
			t.Errorf("%d held and %d refused at the end, want 0 and 2", n, r)
		}
	})
}

// TestAFullLinkIsNoMissingLeader: the answer says where there was no room.
func TestAFullLinkIsNoMissingLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := parked(4, 1)
		near, far := net.Pipe()
		defer func() { _, _ = near.Close(), far.Close() }()
		l := newLink("addr", near) // nobody serves it
		l.tally = &tally{}
		for range linkWaiting {
			if _, err := l.start(t.Context(), wireCall{}); err != nil {
				t.Fatal(err)
			}
		}
		f.links = &links{byAddr: map[string]*link{"addr": l}}
		f.board.set("queen-2", "addr", 2)
		_, err := f.send(t.Context(), wireCall{Request: ptr(putKey(1))}, true)
		if asError(err).Code != fsm.CodeAtCapacity || asError(err).RetryAfter == 0 {
			t.Errorf("got %v", err)
		}
		if l.tally.held.Load() != linkWaiting || l.tally.refused.Load() == 0 {
			t.Errorf("held %d, refused %d", l.tally.held.Load(), l.tally.refused.Load())
		}
	})
}

// TestProposersBoundsAreCounted, each for what it lacked.
func TestProposersBoundsAreCounted(t *testing.T) {
	p := newTestProposer(newFakeRaft(t))
	p.bounds.Queue, p.bounds.Reserved, p.bounds.QueueBytes = 4, 1, 16<<10
	p.queue = newQueue(p.bounds)
	submit := func(size int) {
		p.submit(&ask{request: bodyOf(size), reply: func(result) {}})
	}
	submit(10 << 10)
	submit(2 << 10) // no room for its bytes
	submit(1)
	submit(1)
	submit(1) // nor for one more request
	if n, b := p.metrics.asks.refused.Load(), p.metrics.askBytes.refused.Load(); n != 1 || b != 1 {
		t.Errorf("refused %d for their number and %d for their bytes, want 1 and 1", n, b)
	}
	if n, b := p.metrics.asks.now.Load(), p.metrics.askBytes.now.Load(); n != 3 || b < 10<<10 {
		t.Errorf("%d requests of %d bytes wait", n, b)
	}
	over, end := context.WithCancel(t.Context())
	end()
	_ = p.run(over)
	if n := p.metrics.asks.now.Load(); n != 0 {
		t.Errorf("%d wait when leadership is over", n)
	}
}

// TestBoundsAreShown: each has its limit, what is used and what was refused.
func TestBoundsAreShown(t *testing.T) {
	reg := prometheus.NewRegistry()
	cfg := Default()
	cfg.Name, cfg.DataDir, cfg.HTTPURL, cfg.Plan, cfg.Registerer = "queen-1", t.TempDir(), "http://127.0.0.1:1", schedule.Plan, reg
	q, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	w := q.Watch(fsm.Row{Table: fsm.TableJob})
	if n := series(t, reg, "rbee_watches"); len(n) != 1 || n[0] != 1 {
		t.Errorf("watches: %v", n)
	}
	w.Close()
	w.Close()
	if n := series(t, reg, "rbee_watches"); n[0] != 0 {
		t.Errorf("watches after the end: %v", n)
	}
	limits := series(t, reg, "rbee_bound_limit")
	if len(limits) != len(q.metrics.bounds(q)) || len(series(t, reg, "rbee_bound_used")) != len(limits) {
		t.Errorf("limits %v of %d bounds", limits, len(q.metrics.bounds(q)))
	}
	for _, l := range limits {
		if l <= 0 {
			t.Errorf("a bound without a limit: %v", limits)
		}
	}
}

// series are the values of a gauge's series.
func series(t *testing.T, reg *prometheus.Registry, name string) (values []float64) {
	t.Helper()
	all, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		if f.GetName() == name {
			for _, m := range f.GetMetric() {
				values = append(values, m.GetGauge().GetValue())
			}
		}
	}
	return values
}
