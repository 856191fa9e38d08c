package relay

import (
	"context"
	"fmt"
	"syscall"
	"time"

	"queen-rbee/cmd/internal/bench"
	"queen-rbee/cmd/internal/bench/relay/order"
)

// idleStreams wait for an engine that has fallen silent.
const idleStreams = 10_000

// settle is how long memory is left to settle: Go collects what nobody uses after two minutes
// at the latest, and streams that wait cause no work that would make it collect earlier.
const settle = 130 * time.Second

// idleQueen measures what streams that wait cost a queen, beside nginx.
func idleQueen() bench.Family {
	const (
		memory = "memory per idle open stream: queen, against nginx"
		cpu    = "CPU of one core with 10,000 idle streams: queen, against nginx"
	)
	against := "nginx, proxy_buffering off, on the same hive"
	rows := []bench.Spec{
		{Name: memory, Unit: "KiB", Against: against, Goal: bench.ValueAtMost(24)},
		{Name: cpu, Unit: "%", Against: against},
	}
	return bench.Family{Name: "idle streams", Rows: rows, Run: func(ctx context.Context, r *bench.Rounds) error {
		b, err := start(ctx, r.Dir, options{queens: 1, slots: 1, worker: []string{"--fault-hang-after", "3"}})
		if err != nil {
			return err
		}
		defer b.close()
		n, err := idleWanted(r.Quick)
		if err != nil {
			return err
		}
		tokens, err := b.api.Tokens(ctx)
		if err != nil {
			return err
		}
		j, err := b.run(ctx, tokens.HiveToken)
		if err != nil {
			return err
		}
		r.Warm() // memory is taken once: a process that has had many streams keeps some of it
		q, err := b.idleCost(ctx, r, []int{b.pid("queen-1")}, repeated(n, b.read(addrOf(b.cluster.QueenURLs()[0]), j)))
		if err != nil {
			return fmt.Errorf("%d streams of a queen: %w", n, err)
		}
		p := idleCost{bench.None, bench.None}
		nginx, pids, err := b.nginxAtHive(ctx, r, memory)
		if err != nil {
			return err
		}
		if nginx != nil {
			defer nginx.stop()
			if p, err = b.idleCost(ctx, r, pids, repeated(n, b.hiveRead(nginx.addr, tokens.HiveToken, j))); err != nil {
				return err
			}
		}
		r.Put(memory, q.memory, p.memory)
		r.Put(cpu, q.cpu, p.cpu)
		if n < idleStreams {
			r.Note(cpu, "with %d streams: the limit of open files allows no more", n)
		}
		return nil
	}}
}

// idleWanted is how many streams this machine's limit of open files allows: the clients and the
// hive have one each, the queen has two, and keeps some for itself.
func idleWanted(quick bool) (int, error) {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return 0, err
	}
	n := min(idleStreams, int(l.Cur)*3/8-100)
	if quick {
		n = min(n, 2000)
	}
	return n, nil
}

type idleCost struct {
	memory bench.Figure // KiB for a stream
	cpu    bench.Figure // % of a core for all
}

// idleCost opens streams of a relay and looks at what it uses for them.
func (b *rig) idleCost(ctx context.Context, r *bench.Rounds, pids []int, reads []order.Request) (idleCost, error) {
	before, err := memoryOf(pids)
	if err != nil {
		return idleCost{}, err
	}
	l, err := b.startLoad(ctx, order.Order{Kind: order.Stream, Requests: reads})
	if err != nil {
		return idleCost{}, err
	}
	defer l.stop()
	if err := pause(ctx, settle); err != nil {
		return idleCost{}, err
	}
	var share float64
	err = r.Round(ctx, func() error {
		share, err = idle(ctx, r.Span(30*time.Second), pids)
		return err
	})
	if err != nil {
		return idleCost{}, err
	}
	after, err := memoryOf(pids)
	if err != nil {
		return idleCost{}, err
	}
	if _, err := l.count(); err != nil { // a stream that has ended is told here
		return idleCost{}, err
	}
	return idleCost{
		memory: bench.Figure(float64(after-before) / 1024 / float64(len(reads))),
		cpu:    bench.Figure(100 * share),
	}, nil
}
