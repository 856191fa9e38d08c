package core

import (
	"context"
	"errors"
	"time"

	"queen-rbee/cluster"
	"queen-rbee/cluster/clustertest"
	"queen-rbee/cmd/internal/bench"
)

const (
	rowIdleLeader   = "submit to assigned at the leader, idle, p50"
	rowIdleFollower = "submit to assigned at a follower, idle, p50"
	rowHalfLeader   = "submit to assigned at the leader, half load, p50"
	rowHalfFollower = "submit to assigned at a follower, half load, p50"
)

// latency submits jobs that find a free slot, so that the answer tells where they run, first
// alone and then beside half of the load that the queens can take.
func latency() bench.Family {
	spec := func(name string, goal float64) bench.Spec {
		return bench.Spec{Name: name, Unit: "ms", Against: "one commit of an empty entry by raft alone, p50", Goal: bench.AtMost(goal)}
	}
	return bench.Family{
		Name: "submit to assigned",
		Rows: []bench.Spec{spec(rowIdleLeader, 1.3), spec(rowIdleFollower, 1.6), spec(rowHalfLeader, 2.5), spec(rowHalfFollower, 2.5)},
		Run: func(ctx context.Context, r *bench.Rounds) error {
			bare, err := openBare(r.Dir)
			if err != nil {
				return err
			}
			defer bare.close()
			return withQueens(r, 3, roomy, func(c *clustertest.Cluster) error {
				if err := offer(ctx, leaderOf(c), true); err != nil {
					return err
				}
				return r.Each(ctx, (&submitting{c: c, r: r, bare: bare}).round(ctx))
			})
		},
	}
}

// between is the pause between two submissions, as between two commits of raft alone: what
// is idle is asleep. A finish, which waits 2 ms for company, is over by then.
const between = 5 * time.Millisecond

// submitting is the family being measured.
type submitting struct {
	c    *clustertest.Cluster
	r    *bench.Rounds
	bare *bareRaft
	jobs jobs
}

func (s *submitting) round(ctx context.Context) func(int) error {
	return func(n int) error {
		leader, follower := leaderOf(s.c), s.c.Followers()[0].Queen()
		span := s.r.Span(700 * time.Millisecond)
		var idle [2]bench.Figure
		_, empty, err := bench.Pair(n, func() (v bench.Figure, err error) {
			if idle[0], err = s.latency(ctx, leader, span); err == nil {
				idle[1], err = s.latency(ctx, follower, span)
			}
			return 0, err
		}, func() (bench.Figure, error) { return s.bare.empty(ctx, span, between) })
		if err != nil {
			return err
		}
		s.r.Put(rowIdleLeader, idle[0], empty)
		s.r.Put(rowIdleFollower, idle[1], empty)
		half, err := s.half(ctx, leader, follower, span)
		s.r.Put(rowHalfLeader, half[0], empty)
		s.r.Put(rowHalfFollower, half[1], empty)
		return err
	}
}

func (s *submitting) latency(ctx context.Context, q *cluster.Queen, span time.Duration) (bench.Figure, error) {
	return medianOf(ctx, span, between, func(ctx context.Context) (time.Duration, error) { return s.jobs.assigned(ctx, q) })
}

// half finds out how many jobs a second can be run through, has half as many run through all
// queens, and measures beside them.
func (s *submitting) half(ctx context.Context, leader, follower *cluster.Queen, span time.Duration) (ps [2]bench.Figure, err error) {
	const many = 128
	one := func(ctx context.Context) error {
		_, err := s.jobs.assigned(ctx, leader)
		return err
	}
	full, err := crowd(ctx, many, span, one)
	if err != nil {
		return ps, err
	}
	loaded, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- pace(loaded, many, float64(full)/2, one) }()
	if ps[0], err = s.latency(ctx, leader, span); err == nil {
		ps[1], err = s.latency(ctx, follower, span)
	}
	stop()
	return ps, errors.Join(err, <-done)
}
