package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	"golang.org/x/sync/errgroup"

	"queen-rbee/fsm"
)

// node is what a running queen has open.
type node struct {
	cfg     *Config
	log     hclog.Logger
	metrics *metrics
	replica *replica
	board   *board
	duties  []Duty
	fail    func(error)
	opened  func(token string) // called once the data directory is open

	dir       *dataDir
	guard     *diskGuard
	storage   *storage
	transport *transport
	gossip    *gossip
	raftNet   *raft.NetworkTransport
	raft      *raft.Raft
	links     *links
	forward   *forwarder
	rounds    rounds // of strong reads
	reign     reign
	notify    chan bool     // raft's word on leadership
	look      chan struct{} // look at the own membership again
	join      bool          // must ask for membership

	established atomic.Pointer[leadership]
	observer    *raft.Observer
	observed    chan raft.Observation
}

// open opens everything in the order in which each needs the one before: the lock, so that
// nobody else writes; the disk; the port, whose number raft and gossip tell others; gossip;
// raft last, since it speaks at once.
func (n *node) open() (err error) {
	defer func() {
		if err != nil {
			n.close(true)
		}
	}()
	if n.dir, err = openDataDir(n.cfg); err != nil {
		return err
	}
	n.opened(n.dir.token)
	n.guard = newDiskGuard(n.cfg.Timings.DiskStall, n.cfg.Clock, n.fail)
	if n.storage, err = openStorage(n.cfg.DataDir, n.dir.cluster() != "", n.cfg.Segment, n.guard, n.log); err != nil {
		return err
	}
	n.cfg.Faults.disk(n.storage)
	if n.transport, err = listen(n.cfg, n.dir.token, n.hello, n.log.Named("transport")); err != nil {
		return err
	}
	n.transport.formerly, n.transport.outlived = n.dir.formerly, n.yield
	if n.gossip, err = openGossip(n.cfg, n.dir.token, n.log.Named("gossip")); err != nil {
		return err
	}
	n.links = newLinks(n.transport)
	n.links.tally = &n.metrics.linked
	n.forward.links, n.forward.leader = n.links, n.established.Load
	return n.openRaft()
}

// hello is how this queen presents itself to others: by its directory's cluster while it has
// applied nothing yet.
func (n *node) hello() hello {
	id := cmp.Or(n.replica.view().Meta().ClusterID, n.dir.cluster())
	return hello{name: n.cfg.Name, cluster: id}
}

// yield ends a queen that a recovered cluster has left behind. It could still find a majority
// of the past, and both would lead the same hives.
func (n *node) yield(to hello) {
	n.fail(startError(errOutlived, "%s", outlived(n.cfg.Name, n.hello().cluster, to.cluster)))
}

func (n *node) openRaft() error {
	has, err := raft.HasExistingState(n.storage.logs, n.storage.stable, n.storage.snapshots)
	if err != nil {
		return damaged(n.cfg.DataDir, err)
	}
	if err := n.wayIn(has); err != nil {
		return err
	}
	n.raftNet = raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream: streams{n.transport}, MaxPool: 3, MaxRPCsInFlight: inFlight, Timeout: 10 * time.Second, Logger: n.log.Named("raft-net"),
	})
	c := n.raftConfig()
	if !has && n.cfg.Bootstrap {
		first := raft.Configuration{Servers: []raft.Server{{ID: c.LocalID, Address: raft.ServerAddress(n.transport.addr)}}}
		if err := raft.BootstrapCluster(c, n.storage.logs, n.storage.stable, n.storage.snapshots, n.raftNet, first); err != nil {
			return damaged(n.cfg.DataDir, err)
		}
	}
	if n.raft, err = n.newRaft(c); err != nil {
		if n.replica.broken != nil { // it says more
			return n.replica.broken
		}
		return damaged(n.cfg.DataDir, err)
	}
	n.observed = make(chan raft.Observation, 64)
	n.observer = raft.NewObserver(n.observed, false, func(o *raft.Observation) bool {
		_, ok := o.Data.(raft.LeaderObservation)
		return ok
	})
	n.raft.RegisterObserver(n.observer)
	return nil
}

// newRaft starts raft, which panics on some of what it may find on the disk.
func (n *node) newRaft(c *raft.Config) (r *raft.Raft, err error) {
	defer func() {
		if p := recover(); p != nil {
			r, err = nil, fmt.Errorf("%v", p)
		}
	}()
	logs, err := remembered(n.storage.logs)
	if err != nil {
		return nil, err
	}
	return raft.NewRaft(c, n.replica, logs, n.storage.stable, n.storage.snapshots, n.cfg.Faults.net(n.raftNet))
}

// wayIn decides how this queen becomes a member, by what its disk has.
func (n *node) wayIn(hasState bool) error {
	switch d := n.dir; {
	case hasState:
		return nil
	case d.cluster() != "":
		return startError(nil, "the log of queen %s in %s is gone although it was a member of cluster %s: put it back, or remove this queen from the cluster, empty the directory and join again", d.id.Name, d.path, d.cluster())
	case n.cfg.Bootstrap && len(n.cfg.Join) > 0:
		return startError(nil, "--bootstrap starts a new cluster and --join enters one: give only one of them to a queen with an empty data directory")
	case !n.cfg.Bootstrap && len(n.cfg.Join) == 0:
		return startError(nil, "queen %s never became a member: give --join ADDR of any queen again", d.id.Name)
	}
	n.join = !n.cfg.Bootstrap
	return nil
}

// maxAppend is how many entries one call of raft's carries to a queen that is behind.
const maxAppend = 8

// inFlight is how many of raft's calls to one follower are on their way: one, which is to have
// no pipeline. In raft v1.8.0 a pipeline whose reader has ended, for it heard of a newer term,
// holds its writer for ever when more was on its way; raft then never shuts down. With one
// batch in flight there is nothing to win by it.
const inFlight = 1

func (n *node) raftConfig() *raft.Config {
	t := n.cfg.Timings
	c := raft.DefaultConfig()
	c.LocalID = raft.ServerID(n.cfg.Name)
	c.HeartbeatTimeout, c.ElectionTimeout, c.LeaderLeaseTimeout = t.Heartbeat, t.Election, t.Lease
	c.CommitTimeout = t.Commit
	// Entries are whole batches, and one of them may be a body of 8 MiB or more: all of one
	// call must pass within the transport's 10 s. One batch in flight rarely needs more than one.
	c.MaxAppendEntries = maxAppend
	c.TrailingLogs, c.SnapshotThreshold = trailingLogs, snapshotEntries
	c.NotifyCh = n.notify
	c.NoLegacyTelemetry = true
	c.Logger = n.log.Named("raft")
	return c
}

// close closes what is open, in order: raft first, for it uses the rest; its connections
// while it stops, for it may wait on one.
func (n *node) close(abrupt bool) {
	if n.gossip != nil {
		n.gossip.close(abrupt)
	}
	var stopped raft.Future
	if n.raft != nil {
		n.raft.DeregisterObserver(n.observer)
		stopped = n.raft.Shutdown()
	} else if n.raftNet != nil {
		_ = n.raftNet.Close()
	}
	if n.links != nil {
		n.links.close()
		n.rounds.close()
	}
	if n.transport != nil {
		n.transport.close()
	}
	if stopped != nil {
		_ = stopped.Error()
	}
	if n.storage != nil {
		n.guard.over.Store(true)
		n.storage.close()
	}
	if n.dir != nil {
		n.dir.close()
	}
}

// run runs every part until ctx ends.
func (n *node) run(ctx context.Context) {
	var wg sync.WaitGroup
	part := func(name string, f func(context.Context) error) {
		wg.Go(func() {
			if err := f(ctx); err != nil && ctx.Err() == nil {
				n.fail(err)
			}
			n.log.Trace("part ended", "part", name)
		})
	}
	part("leader board", n.observe)
	part("reign", func(ctx context.Context) error { return n.reign.watch(ctx, n.notify) })
	part("leading", n.follow)
	part("snapshots", n.snapshotByBytes)
	part("gossip", func(ctx context.Context) error { return n.gossip.run(ctx, n.gossipAddrs) })
	part("membership", n.enter)
	wg.Wait()
}

// observe keeps the board in step with raft's word on who leads.
func (n *node) observe(ctx context.Context) error {
	tick := time.NewTicker(100 * time.Millisecond) // observations may be dropped
	defer tick.Stop()
	for {
		n.board.set(n.leader())
		select {
		case <-ctx.Done():
			return nil
		case <-n.observed:
		case <-tick.C:
		}
	}
}

// leader is raft's word on who leads, and in which term.
func (n *node) leader() (id, addr string, term uint64) {
	for {
		term = n.raft.CurrentTerm()
		a, i := n.raft.LeaderWithID()
		if n.raft.CurrentTerm() == term { // else the two may not belong together
			return string(i), string(a), term
		}
	}
}

// snapshotByBytes takes a snapshot when enough was logged: raft counts only entries.
func (n *node) snapshotByBytes(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-n.storage.logs.enough:
		}
		if err := n.raft.Snapshot().Error(); err != nil && !errors.Is(err, raft.ErrNothingNewToSnapshot) {
			n.log.Warn("a snapshot was not taken", "why", err)
		}
	}
}

// enter joins when it must, and makes this start known. A member that was given --join
// checks it beside that: an address that swallows packets takes its time to fail.
func (n *node) enter(ctx context.Context) error {
	if n.join {
		if err := n.joinCluster(ctx); err != nil {
			return err
		}
	}
	g, ctx := errgroup.WithContext(ctx)
	if !n.join && len(n.cfg.Join) > 0 && n.dir.cluster() != "" {
		g.Go(func() error { return n.checkJoin(ctx) })
	}
	g.Go(func() error { return n.announce(ctx) })
	return g.Wait()
}

// gossipAddrs are where the other members gossip.
func (n *node) gossipAddrs() []string {
	var addrs []string
	for q := range n.replica.view().Queens() {
		if q.ID != n.cfg.Name && q.Gossip != "" {
			addrs = append(addrs, q.Gossip)
		}
	}
	return addrs
}

// stepDown hands leadership on, so that the others need not wait for a timeout.
func (n *node) stepDown() {
	if n.raft.State() != raft.Leader || n.voters() < 2 {
		return
	}
	if err := n.raft.LeadershipTransfer().Error(); err != nil {
		n.log.Warn("leadership was not handed on", "why", err)
	}
}

// caughtUp returns once the View holds all that was committed before this start.
func (n *node) caughtUp(ctx context.Context) (*fsm.View, bool) {
	for {
		tryCtx, cancel := context.WithTimeout(ctx, 2*time.Second)
		v, err := n.strong(tryCtx)
		cancel()
		if err == nil && !v.Meta().Epoch.IsZero() {
			return v, true
		}
		if !sleep(ctx, 20*time.Millisecond) {
			return nil, false
		}
	}
}
