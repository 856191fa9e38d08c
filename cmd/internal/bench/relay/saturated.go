package relay

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sync/errgroup"

	"queen-rbee/cmd/internal/bench"
	"queen-rbee/cmd/internal/bench/relay/order"
)

// saturatedStreams run as fast as the machine lets them.
const saturatedStreams = 64

// saturated compares what arrives through a queen and through nginx of the same runs, one after
// the other: engine, hive, relay and clients share the machine, and who relays for less leaves
// more of it to the others.
func saturated() bench.Family {
	const (
		speed = "tokens/s at saturation, 64 streams: queen, against nginx"
		cost  = "CPU per token relayed at saturation, 64 streams: queen, against nginx"
	)
	against := "nginx, proxy_buffering off, on the same hive, taken in turn"
	rows := []bench.Spec{
		{Name: speed, Unit: "tokens/s", Against: against, Goal: bench.AtLeast(1)},
		{Name: cost, Unit: "us", Against: against},
	}
	return bench.Family{Name: "saturated streams", Rows: rows, Run: func(ctx context.Context, r *bench.Rounds) error {
		b, err := start(ctx, r.Dir, options{queens: 1, slots: 2 * saturatedStreams})
		if err != nil {
			return err
		}
		defer b.close()
		queen, quiet, err := b.quietQueen(ctx)
		if err != nil {
			return err
		}
		tokens, err := b.api.Tokens(ctx)
		if err != nil {
			return err
		}
		through := func(pids []int, quiet float64, read func(job) order.Request) (spent, error) {
			return b.readFresh(ctx, r, account{pids: pids, idle: quiet}, read)
		}
		byQueen := func() (spent, error) {
			return through([]int{queen}, quiet, func(j job) order.Request { return b.read(addrOf(b.cluster.QueenURLs()[0]), j) })
		}
		nginx, pids, err := b.nginxAtHive(ctx, r, speed)
		if err != nil {
			return err
		}
		if nginx == nil {
			return r.Each(ctx, func(int) error {
				s, err := byQueen()
				r.Put(speed, bench.Figure(s.perSecond()), bench.None)
				r.Put(cost, bench.Figure(s.perToken()), bench.None)
				return err
			})
		}
		defer nginx.stop()
		return r.Each(ctx, func(n int) error {
			var q, p spent
			_, _, err := bench.Pair(n, func() (f bench.Figure, err error) {
				q, err = byQueen()
				return f, err
			}, func() (f bench.Figure, err error) {
				p, err = through(pids, 0, func(j job) order.Request { return b.hiveRead(nginx.addr, tokens.HiveToken, j) })
				return f, err
			})
			if err != nil {
				return err
			}
			r.Put(speed, bench.Figure(q.perSecond()), bench.Figure(p.perSecond()))
			r.Put(cost, bench.Figure(q.perToken()), bench.Figure(p.perToken()))
			return nil
		})
	}}
}

// readFresh starts runs, has them read through a relay and watches that.
func (b *rig) readFresh(ctx context.Context, r *bench.Rounds, a account, read func(job) order.Request) (s spent, err error) {
	err = b.freshRuns(ctx, saturatedStreams, func(jobs []job) error {
		var reads []order.Request
		for _, j := range jobs {
			reads = append(reads, read(j))
		}
		if a.load, err = b.startLoad(ctx, order.Order{Kind: order.Stream, Requests: reads}); err != nil {
			return err
		}
		defer a.load.stop()
		// The runs are ahead: what they have said already comes at once, and is not what is measured.
		if err := pause(ctx, r.Span(4*time.Second)); err != nil {
			return err
		}
		all, err := window(ctx, r.Span(5*time.Second), a)
		if err == nil {
			s = all[0]
		}
		return err
	})
	return s, err
}

// freshRuns starts runs, and ends them when f is done with them.
func (b *rig) freshRuns(ctx context.Context, n int, f func([]job) error) error {
	jobs, err := b.runs(ctx, n)
	if err == nil {
		err = f(jobs)
	}
	var ends errgroup.Group
	ends.SetLimit(atOnce)
	for _, j := range jobs {
		if j.id != "" {
			ends.Go(func() error { _, err := b.api.Cancel(ctx, j.id); return err })
		}
	}
	return errors.Join(err, ends.Wait())
}
