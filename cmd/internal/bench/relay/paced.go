package relay

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sync/errgroup"

	"queen-rbee/cmd/internal/bench"
	"queen-rbee/cmd/internal/bench/relay/order"
)

// Streams at the speed at which people are answered.
const (
	pacedStreams = 200
	pacedRate    = 25 // tokens per second of each
)

// proxies are the baselines, and which of them the goal is about.
var proxies = []string{"nginx", "haproxy"}

// pacedQueen measures a queen beside proxies that read the same runs of the same hive, all at
// the same time.
func pacedQueen() bench.Family {
	name := func(proxy string) string {
		return "CPU per token relayed, 200 paced streams: queen alone, against " + proxy
	}
	rows := []bench.Spec{
		{Name: name("nginx"), Unit: "us", Against: "nginx, proxy_buffering off, on the same hive at the same time", Goal: bench.AtMost(1)},
		{Name: name("haproxy"), Unit: "us", Against: "haproxy on the same hive at the same time"},
	}
	return bench.Family{Name: "paced streams, queen alone", Rows: rows, Run: func(ctx context.Context, r *bench.Rounds) error {
		b, err := start(ctx, r.Dir, options{queens: 1, slots: pacedStreams, rate: pacedRate})
		if err != nil {
			return err
		}
		defer b.close()
		s, err := b.runsUnderRelays(ctx, r, pacedStreams, name)
		if err != nil {
			return err
		}
		defer s.stop()
		return r.Each(ctx, func(int) error {
			spent, err := window(ctx, r.Span(6*time.Second), s.accounts...)
			if err != nil {
				return err
			}
			for i, p := range s.proxies {
				r.Put(name(p), bench.Figure(spent[0].perToken()), bench.Figure(spent[i+1].perToken()))
			}
			if len(s.proxies) == 0 {
				r.Put(name("nginx"), bench.Figure(spent[0].perToken()), bench.None)
			}
			return nil
		})
	}}
}

// relays are a queen (first) and what proxies there are, with their clients.
type relays struct {
	proxies  []string
	accounts []account
	stops    []func()
}

func (s *relays) stop() {
	for _, f := range s.stops {
		f()
	}
}

// runsUnderRelays starts runs that need no client and has each relay read all of them.
func (b *rig) runsUnderRelays(ctx context.Context, r *bench.Rounds, n int, row func(proxy string) string) (_ *relays, err error) {
	s := &relays{}
	defer func() {
		if err != nil {
			s.stop()
		}
	}()
	queen, quiet, err := b.quietQueen(ctx)
	if err != nil {
		return nil, err
	}
	jobs, err := b.runs(ctx, n)
	if err != nil {
		return nil, err
	}
	var reads []order.Request
	for _, j := range jobs {
		reads = append(reads, b.read(addrOf(b.cluster.QueenURLs()[0]), j))
	}
	if err := s.add(ctx, b, reads, []int{queen}, quiet); err != nil {
		return nil, err
	}
	tokens, err := b.api.Tokens(ctx)
	if err != nil {
		return nil, err
	}
	for _, name := range proxies {
		p, err := b.startProxy(ctx, name, addrOf(b.cluster.HiveURLs()[0]))
		if missing, ok := errors.AsType[errNoProxy](err); ok {
			r.Note(row(name), "%v", missing)
			continue
		}
		if err != nil {
			return nil, err
		}
		s.stops = append(s.stops, p.stop)
		var reads []order.Request
		for _, j := range jobs {
			reads = append(reads, b.hiveRead(p.addr, tokens.HiveToken, j))
		}
		pids, err := p.pids()
		if err != nil {
			return nil, err
		}
		if err := s.add(ctx, b, reads, pids, 0); err != nil {
			return nil, err
		}
		s.proxies = append(s.proxies, name)
	}
	return s, nil
}

// add starts clients of one more relay.
func (s *relays) add(ctx context.Context, b *rig, reads []order.Request, pids []int, quiet float64) error {
	l, err := b.startLoad(ctx, order.Order{Kind: order.Stream, Requests: reads})
	if err != nil {
		return err
	}
	s.stops = append(s.stops, l.stop)
	s.accounts = append(s.accounts, account{load: l, pids: pids, idle: quiet})
	return nil
}

// quietQueen is the first queen's process, and what it uses of a core while nothing happens.
func (b *rig) quietQueen(ctx context.Context) (pid int, share float64, err error) {
	pid = b.pid("queen-1")
	share, err = idle(ctx, 2*time.Second, []int{pid})
	return pid, share, err
}

// atOnce is how many requests prepare a measurement at a time.
const atOnce = 32

// runs starts n runs that need no client.
func (b *rig) runs(ctx context.Context, n int) ([]job, error) {
	tokens, err := b.api.Tokens(ctx)
	if err != nil {
		return nil, err
	}
	jobs := make([]job, n)
	begun, ctx := errgroup.WithContext(ctx)
	begun.SetLimit(atOnce)
	for i := range jobs {
		begun.Go(func() (err error) {
			jobs[i], err = b.run(ctx, tokens.HiveToken)
			return err
		})
	}
	return jobs, begun.Wait()
}
