package cluster

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"queen-rbee/schedule"
)

// serving is a server that callers reach over pipes, and its leader in term 7.
type serving struct {
	*server
	t  *testing.T
	wg sync.WaitGroup
}

func newServing(t *testing.T) *serving {
	p := newTestProposer(newFakeRaft(t))
	ctx, cancel := context.WithCancel(t.Context())
	l := &leadership{ctx: ctx, term: 7, proposer: p}
	s := &serving{t: t, server: &server{ctx: ctx, leader: func() *leadership { return l },
		methods: map[string]LeaderHandler{"who": func(context.Context, []byte) ([]byte, error) { return []byte("me"), nil }},
		peer:    map[string]peerHandler{"look": func(context.Context, []byte) ([]byte, error) { return []byte("any"), nil }},
	}}
	s.wg.Go(func() { _ = p.run(ctx) })
	t.Cleanup(func() {
		cancel()
		s.wg.Wait()
	})
	return s
}

// connect is a queen's connection.
func (s *serving) connect(name string) net.Conn {
	near, far := net.Pipe()
	s.wg.Go(func() { s.serve(far, hello{name: name}) })
	s.t.Cleanup(func() { _ = near.Close() })
	return near
}

// link is a queen's link.
func (s *serving) link(name string) *link {
	l := newLink("pipe", s.connect(name))
	s.wg.Go(l.run)
	s.t.Cleanup(l.close)
	return l
}

func TestACallOfAnotherLeadershipIsRefused(t *testing.T) {
	s := newServing(t)
	l := s.link("queen-1")
	tick := &schedule.Request{Tick: &schedule.Tick{}}
	for _, c := range []wireCall{{Request: tick}, {Method: "who"}} {
		for term, want := range map[uint64]fate{0: refused, 6: refused, 7: answered, 8: refused} {
			c.Term = term
			if _, got := l.call(t.Context(), c); got != want {
				t.Errorf("%+v in term 7: fate %d, want %d", c, got, want)
			}
		}
	}
	if r, f := l.call(t.Context(), wireCall{Method: "look"}); f != answered || string(r.Body) != "any" {
		t.Errorf("a call that any queen answers: %+v, %d", r, f)
	}
}

func TestANewConnectionEndsTheOneBefore(t *testing.T) {
	s := newServing(t)
	first, other := s.link("queen-1"), s.link("queen-2")
	for _, l := range []*link{first, other} { // each is served before the next one comes
		if _, f := l.call(t.Context(), wireCall{Method: "look"}); f != answered {
			t.Fatalf("fate %d", f)
		}
	}
	second := s.link("queen-1")
	if _, f := second.call(t.Context(), wireCall{Method: "look"}); f != answered {
		t.Errorf("on the new connection: fate %d", f)
	}
	select {
	case <-first.gone:
	case <-time.After(10 * time.Second):
		t.Error("the old connection is still served")
	}
	if _, f := other.call(t.Context(), wireCall{Method: "look"}); f != answered {
		t.Errorf("another queen's connection: fate %d", f)
	}
}
