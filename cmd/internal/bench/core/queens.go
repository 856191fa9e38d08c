package core

import (
	"context"
	"fmt"
	"os"
	"testing"

	"queen-rbee/cluster"
	"queen-rbee/cluster/clustertest"
	"queen-rbee/cmd/internal/bench"
)

// stage stands in for the test that a test cluster wants: it makes directories below one and
// turns fatal failures into an error.
type stage struct {
	testing.TB // nil: what is not defined here is not called
	dir        string
	dirs       int
	cleanups   []func()
	failed     bool
}

// fatal is what a failed stage panics with.
type fatal struct{ why string }

// Helper implements testing.TB.
func (s *stage) Helper() {}

// Cleanup implements testing.TB.
func (s *stage) Cleanup(f func()) { s.cleanups = append(s.cleanups, f) }

// Failed implements testing.TB.
func (s *stage) Failed() bool { return s.failed }

// Logf implements testing.TB: logs of queens are not kept.
func (s *stage) Logf(string, ...any) {}

// Fatalf implements testing.TB. It is called on the family's own goroutine.
func (s *stage) Fatalf(format string, args ...any) {
	s.failed = true
	panic(fatal{fmt.Sprintf(format, args...)})
}

// TempDir implements testing.TB.
func (s *stage) TempDir() string {
	dir := fmt.Sprintf("%s/queen-%d", s.dir, s.dirs)
	s.dirs++
	if err := os.MkdirAll(dir, 0o700); err != nil {
		s.Fatalf("%v", err)
	}
	return dir
}

// timings are what is measured: the product's own. A test measures nothing and takes slower
// ones, under which a busy machine elects nobody anew.
var timings = cluster.LAN

// withQueens runs f with n queens that vote and are settled, as they are shipped: the
// default timings, a preallocated log, TCP without anything in between. configure may change
// that. They have ended when it returns.
func withQueens(r *bench.Rounds, n int, configure func(*cluster.Config), f func(*clustertest.Cluster) error) (err error) {
	dir, err := os.MkdirTemp(r.Dir, "queens-")
	if err != nil {
		return err
	}
	s := &stage{dir: dir}
	defer func() {
		if p := recover(); p != nil {
			why, ok := p.(fatal)
			if !ok {
				panic(p)
			}
			err = fmt.Errorf("the queens failed: %s", why.why)
		}
		for i := len(s.cleanups) - 1; i >= 0; i-- {
			s.cleanups[i]()
		}
		_ = os.RemoveAll(dir)
	}()
	c := clustertest.New(s, n, func(cfg *cluster.Config) {
		cfg.Timings, cfg.Segment, cfg.Network, cfg.Logger = timings(), 0, nil, nil
		cfg.Timings.DiskStall = 0 // three queens on one disk: when it stalls, none would be left
		if configure != nil {
			configure(cfg)
		}
	})
	return f(c)
}

// besideDisk has queens with a hive whose model is offered, and measures one after the other
// what pair gives: something of theirs and something of a disk of its own.
func besideDisk(ctx context.Context, r *bench.Rounds, row string, configure func(*cluster.Config),
	pair func(*clustertest.Cluster, *bench.Disk) (value, baseline func() (bench.Figure, error))) error {
	return withQueens(r, 3, configure, func(c *clustertest.Cluster) error {
		disk, err := bench.OpenDisk(r.Dir)
		if err != nil {
			return err
		}
		defer disk.Close()
		if err := offer(ctx, leaderOf(c), false); err != nil {
			return err
		}
		value, baseline := pair(c, disk)
		return r.Each(ctx, func(n int) error {
			v, b, err := bench.Pair(n, value, baseline)
			r.Put(row, v, b)
			return err
		})
	})
}

// leaderOf is the queen that leads now.
func leaderOf(c *clustertest.Cluster) *cluster.Queen { return c.Settled().Queen() }
