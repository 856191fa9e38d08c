package cluster

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

// slowNet dials when told, and always in vain.
type slowNet struct {
	dials  atomic.Int32
	answer chan struct{}
}

func (*slowNet) Listen(string) (net.Listener, error) { return nil, errors.New("not here") }

func (n *slowNet) Dial(ctx context.Context, _ string) (net.Conn, error) {
	n.dials.Add(1)
	select {
	case <-n.answer:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func TestCallersShareOneDial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := &slowNet{answer: make(chan struct{})}
		p := newLinks(&transport{network: network, log: nullLog()})
		defer p.close()
		get := func(ctx context.Context, addr string) <-chan error {
			got := make(chan error, 1)
			go func() {
				_, err := p.get(ctx, addr)
				got <- err
			}()
			synctest.Wait()
			return got
		}
		ctx, cancel := context.WithCancel(t.Context())
		first, second, other := get(ctx, "a:1"), get(t.Context(), "a:1"), get(ctx, "b:1")
		if n := network.dials.Load(); n != 2 {
			t.Errorf("%d dials for two addresses", n)
		}
		cancel()
		if err := errors.Join(<-first, <-other); !errors.Is(err, context.Canceled) {
			t.Errorf("who left got %v", err)
		}
		synctest.Wait()
		if len(second) != 0 || len(p.dialing) != 1 {
			t.Errorf("%d answers to who stayed, %d dials going on; want none and one", len(second), len(p.dialing))
		}
		network.answer <- struct{}{}
		if err := <-second; !errors.Is(err, net.ErrClosed) {
			t.Errorf("who stayed got %v", err)
		}
		third := get(t.Context(), "a:1") // a failed dial is over for all
		if n := network.dials.Load(); n != 3 {
			t.Errorf("%d dials after a failed one", n)
		}
		p.close()
		if err := <-third; err == nil {
			t.Error("a link of closed links")
		}
	})
}
