package relay

import (
	"context"
	"errors"
	"time"

	"queen-rbee/cmd/internal/bench"
	"queen-rbee/cmd/internal/bench/relay/order"
)

// pacedWhole measures what the whole way from the engine to the client costs, queen and hive
// together, beside nginx in front of an engine of the same kind, both at the same time.
func pacedWhole() bench.Family {
	const name = "CPU per token, 200 paced streams: queen and hive, against nginx at the engine"
	rows := []bench.Spec{{Name: name, Unit: "us", Against: "nginx, proxy_buffering off, on the engine itself at the same time"}}
	return bench.Family{Name: "paced streams, whole path", Rows: rows, Run: func(ctx context.Context, r *bench.Rounds) error {
		o := options{queens: 1, slots: pacedStreams, rate: pacedRate}
		b, err := start(ctx, r.Dir, o)
		if err != nil {
			return err
		}
		defer b.close()
		s := &relays{}
		defer func() { s.stop() }()
		pids := []int{b.pid("queen-1"), b.pid("hive-1")} // the hive without its engine
		quiet, err := idle(ctx, 2*time.Second, pids)
		if err != nil {
			return err
		}
		if err := s.add(ctx, b, repeated(pacedStreams, b.chat(addrOf(b.cluster.QueenURLs()[0]))), pids, quiet); err != nil {
			return err
		}
		if err := s.addEngine(ctx, b, o, "nginx"); err != nil {
			missing, ok := errors.AsType[errNoProxy](err)
			if !ok {
				return err
			}
			r.Note(name, "%v", missing)
		}
		return r.Each(ctx, func(int) error {
			spent, err := window(ctx, r.Span(6*time.Second), s.accounts...)
			if err != nil {
				return err
			}
			baseline := bench.None
			if len(spent) > 1 {
				baseline = bench.Figure(spent[1].perToken())
			}
			r.Put(name, bench.Figure(spent[0].perToken()), baseline)
			return nil
		})
	}}
}

// addEngine starts one more engine, with a proxy in front of it and its clients.
func (s *relays) addEngine(ctx context.Context, b *rig, o options, name string) error {
	e, err := b.engine(ctx, o)
	if err != nil {
		return err
	}
	s.stops = append(s.stops, e.stop)
	p, err := b.startProxy(ctx, name, e.addr)
	if err != nil {
		return err
	}
	s.stops = append(s.stops, p.stop)
	pids, err := p.pids()
	if err != nil {
		return err
	}
	return s.add(ctx, b, repeated(o.slots, b.chat(p.addr)), pids, 0)
}

// chat asks for an OpenAI stream.
func (b *rig) chat(addr string) order.Request {
	return b.request(addr, "POST", "/v1/chat/completions", b.cluster.Key(), chat())
}

func repeated(n int, r order.Request) []order.Request {
	out := make([]order.Request, n)
	for i := range out {
		out[i] = r
	}
	return out
}
