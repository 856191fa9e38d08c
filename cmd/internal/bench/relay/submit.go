package relay

import (
	"context"
	"time"

	"queen-rbee/cmd/internal/bench"
	"queen-rbee/cmd/internal/bench/relay/order"
)

// submitConns are the connections that submit jobs, half of them at each follower.
const submitConns = 256

// submits counts the jobs that followers accept over HTTP. They queue: the only slot is held by
// an engine that hangs, so that what is measured is accepting.
func submits() bench.Family {
	const (
		name = "accepted jobs/s over HTTP at followers, 256 connections"
		cost = "CPU per job accepted over HTTP at followers: all three queens"
	)
	rows := []bench.Spec{{Name: name, Unit: "jobs/s"}, {Name: cost, Unit: "us"}}
	return bench.Family{Name: "accepted over HTTP", Rows: rows, Run: func(ctx context.Context, r *bench.Rounds) error {
		b, err := start(ctx, r.Dir, options{queens: 3, slots: 1, worker: []string{"--fault-hang-after", "0"}})
		if err != nil {
			return err
		}
		defer b.close()
		leader, err := b.leader(ctx)
		if err != nil {
			return err
		}
		var pids []int
		var followers []order.Request
		for _, name := range b.names()[:3] {
			pids = append(pids, b.pid(name))
			if name == leader {
				continue
			}
			task := map[string]any{"model": model, "prompt": prompt, "max_tokens": 16, "detach": true}
			one := b.request(addrOf(b.cluster.QueenURL(name)), "POST", "/v2/tasks", b.cluster.Key(), task)
			followers = append(followers, repeated(submitConns/2, one)...)
		}
		return r.Each(ctx, func(int) error {
			l, err := b.startLoad(ctx, order.Order{Kind: order.Submit, Requests: followers})
			if err != nil {
				return err
			}
			defer l.stop()
			s, err := window(ctx, r.Span(6*time.Second), account{load: l, pids: pids})
			if err != nil {
				return err
			}
			r.Put(name, bench.Figure(s[0].perSecond()), bench.None)
			r.Put(cost, bench.Figure(s[0].perToken()), bench.None)
			return nil
		})
	}}
}
