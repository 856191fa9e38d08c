package core

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	wal "github.com/hashicorp/raft-wal"

	"queen-rbee/cluster"
	"queen-rbee/cmd/internal/bench"
)

// bareRaft is three nodes of nothing but raft with the same log, timings and transport as
// queens: what one commit of an empty entry takes there is what no queen can go below.
type bareRaft struct {
	nodes  []*raft.Raft
	closes []func() error
}

func openBare(dir string) (b *bareRaft, err error) {
	b = &bareRaft{}
	defer func() {
		if err != nil {
			b.close()
		}
	}()
	var first raft.Configuration
	var starts []func() error
	for i := range 3 {
		id := raft.ServerID(fmt.Sprintf("bare-%d", i))
		trans, err := raft.NewTCPTransport("127.0.0.1:0", nil, 3, 10*time.Second, io.Discard)
		if err != nil {
			return b, err
		}
		b.closes = append(b.closes, trans.Close)
		first.Servers = append(first.Servers, raft.Server{ID: id, Address: trans.LocalAddr()})
		starts = append(starts, func() error { return b.start(filepath.Join(dir, string(id)), id, trans, first) })
	}
	for _, start := range starts {
		if err := start(); err != nil {
			return b, err
		}
	}
	return b, nil
}

func (b *bareRaft) start(dir string, id raft.ServerID, trans *raft.NetworkTransport, first raft.Configuration) error {
	if err := os.MkdirAll(filepath.Join(dir, "wal"), 0o700); err != nil {
		return err
	}
	logs, err := wal.Open(filepath.Join(dir, "wal"))
	if err != nil {
		return err
	}
	b.closes = append(b.closes, logs.Close)
	stable, err := raftboltdb.NewBoltStore(filepath.Join(dir, "stable.db"))
	if err != nil {
		return err
	}
	b.closes = append(b.closes, stable.Close)
	t := cluster.LAN()
	c := raft.DefaultConfig()
	c.LocalID, c.Logger, c.NoLegacyTelemetry = id, hclog.NewNullLogger(), true
	c.HeartbeatTimeout, c.ElectionTimeout, c.LeaderLeaseTimeout, c.CommitTimeout = t.Heartbeat, t.Election, t.Lease, t.Commit
	snaps := raft.NewDiscardSnapshotStore()
	if err := raft.BootstrapCluster(c, logs, stable, snaps, trans, first); err != nil {
		return err
	}
	node, err := raft.NewRaft(c, nothing{}, logs, stable, snaps, trans)
	if err != nil {
		return err
	}
	b.nodes = append(b.nodes, node)
	return nil
}

func (b *bareRaft) close() {
	for _, n := range b.nodes {
		_ = n.Shutdown().Error()
	}
	for i := len(b.closes) - 1; i >= 0; i-- {
		_ = b.closes[i]()
	}
}

// empty commits empty entries for a time, with a pause between them, and tells the median in ms.
func (b *bareRaft) empty(ctx context.Context, span, pause time.Duration) (bench.Figure, error) {
	return medianOf(ctx, span, pause, func(ctx context.Context) (time.Duration, error) {
		for ctx.Err() == nil {
			leader, err := b.leader(ctx)
			if err != nil {
				return 0, err
			}
			at := time.Now()
			if err := leader.Apply(nil, 0).Error(); err == nil {
				return time.Since(at), nil
			}
			// Leadership was lost: that one is not counted, as no queen's submitter would see it.
		}
		return 0, ctx.Err()
	})
}

// leader waits for one that leads.
func (b *bareRaft) leader(ctx context.Context) (*raft.Raft, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		for _, n := range b.nodes {
			if n.State() == raft.Leader {
				return n, nil
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, errors.New("bare raft found no leader")
		}
	}
}

// nothing is a state machine without a state.
type nothing struct{}

// Apply implements raft.FSM.
func (nothing) Apply(*raft.Log) any { return nil }

// Snapshot implements raft.FSM.
func (nothing) Snapshot() (raft.FSMSnapshot, error) { return nothing{}, nil }

// Restore implements raft.FSM.
func (nothing) Restore(in io.ReadCloser) error { return in.Close() }

// Persist implements raft.FSMSnapshot.
func (nothing) Persist(sink raft.SnapshotSink) error { return sink.Close() }

// Release implements raft.FSMSnapshot.
func (nothing) Release() {}
