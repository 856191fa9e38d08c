package cluster

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"
	autopilot "github.com/hashicorp/raft-autopilot"

	"queen-rbee/fsm"
	"queen-rbee/schedule"
)

const (
	pilotEvery = time.Second // between looks at all members
	// quickVoters is how many voters there are before autopilot has a say in who gets a vote.
	// With one or two no death is survived, so waiting for proof of health gains nothing.
	quickVoters = 3
)

// Types of members, as autopilot calls them: only voters count when it weighs a removal.
const (
	typeVoter   autopilot.NodeType = autopilot.NodeVoter
	typeLearner autopilot.NodeType = "learner"
	typeRelay   autopilot.NodeType = "relay"
)

// pilot tells raft-autopilot what is known of the members and which rules hold here: a learner
// votes once it has been healthy for a while, and a voter that is dead for long is removed
// where enough are left. Relays are none of its business, dead or alive. The methods are
// called from autopilot's two goroutines.
type pilot struct {
	n      *node
	ctx    context.Context // of the leadership
	since  time.Time       // it began
	remove chan raft.ServerID

	mu    sync.Mutex
	heard map[raft.ServerID]time.Time // last answer
	round time.Time                   // when the newest round of questions had ended
}

// steer is the duty that runs autopilot; what it wants removed is removed here.
func (n *node) steer(ctx context.Context) error {
	if !n.cfg.Autopilot {
		<-ctx.Done()
		return nil
	}
	p := &pilot{n: n, ctx: ctx, since: n.cfg.Clock(), remove: make(chan raft.ServerID, 1), heard: map[raft.ServerID]time.Time{}}
	a := autopilot.New(n.raft, p, autopilot.WithPromoter(p), autopilot.WithLogger(n.log),
		autopilot.WithUpdateInterval(pilotEvery), autopilot.WithReconcileInterval(pilotEvery))
	a.Start(ctx)
	defer func() {
		<-a.Stop()
		n.metrics.tolerance.Set(0)
		n.metrics.unhealthy.Set(0)
	}()
	for {
		select {
		case <-ctx.Done():
			return nil
		case id := <-p.remove:
			n.bury(ctx, id)
		}
	}
}

// bury removes a dead voter, unless something has changed since that was decided.
func (n *node) bury(ctx context.Context, id raft.ServerID) {
	s, ok := n.server(string(id))
	l := n.established.Load()
	if !ok || l == nil || s.Suffrage != raft.Voter || n.voters()-1 < n.cfg.MinVoters {
		return
	}
	if err := n.unseat(ctx, s); err != nil {
		n.log.Warn("a dead voter was not removed", "id", id, "why", err)
		return
	}
	n.metrics.buried.Inc()
	n.log.Warn("removed a voter that was dead for long; to bring it back, empty its data directory and join again", "id", id, "after", n.cfg.Timings.Dead)
	l.propose(ctx, schedule.Request{Forget: &schedule.Forget{ID: string(id)}})
}

func (n *node) voters() int {
	voters := 0
	for _, s := range n.servers() {
		if s.Suffrage == raft.Voter {
			voters++
		}
	}
	return voters
}

// AutopilotConfig implements autopilot.ApplicationIntegration.
func (p *pilot) AutopilotConfig() *autopilot.Config {
	t := p.n.cfg.Timings
	return &autopilot.Config{
		CleanupDeadServers: t.Dead > 0, MinQuorum: uint(p.n.cfg.MinVoters),
		LastContactThreshold: t.Contact, MaxTrailingLogs: promoteWithin, ServerStabilizationTime: t.Stable,
	}
}

// NotifyState implements autopilot.ApplicationIntegration.
func (p *pilot) NotifyState(s *autopilot.State) {
	unhealthy := 0
	for _, srv := range s.Servers {
		if !srv.Health.Healthy {
			unhealthy++
		}
	}
	p.n.metrics.rounds.Inc()
	p.n.metrics.tolerance.Set(float64(s.FailureTolerance))
	p.n.metrics.unhealthy.Set(float64(unhealthy))
}

// FetchServerStats implements autopilot.ApplicationIntegration. Its own patience counts, not
// the caller's, which is meant for members that are known to be dead.
func (p *pilot) FetchServerStats(_ context.Context, servers map[raft.ServerID]*autopilot.Server) map[raft.ServerID]*autopilot.ServerStats {
	stats := map[raft.ServerID]*autopilot.ServerStats{}
	var ids []raft.ServerID
	var addrs []string
	for id, s := range servers {
		if s.IsLeader {
			stats[id] = p.n.report().stats()
			continue
		}
		ids, addrs = append(ids, id), append(addrs, string(s.Address))
	}
	reports := p.n.askAll(p.ctx, addrs)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.round = p.n.cfg.Clock()
	for i, r := range reports {
		if r == nil || r.ID != string(ids[i]) {
			continue
		}
		p.heard[ids[i]] = p.round
		if row, ok := p.n.replica.view().Queen(r.ID); ok && row.Boot == r.Boot {
			stats[ids[i]] = r.stats()
		}
	}
	return stats
}

// stats is a queen's word on its log.
func (r *report) stats() *autopilot.ServerStats {
	return &autopilot.ServerStats{LastContact: time.Duration(r.Contact) * time.Millisecond, LastTerm: r.LastTerm, LastIndex: r.LastIndex}
}

// KnownServers implements autopilot.ApplicationIntegration. A member without a row is not
// known, and is left alone.
func (p *pilot) KnownServers() map[raft.ServerID]*autopilot.Server {
	known := map[raft.ServerID]*autopilot.Server{}
	v := p.n.replica.view()
	for _, s := range p.n.servers() {
		row, ok := v.Queen(string(s.ID))
		if !ok {
			continue
		}
		srv := &autopilot.Server{ID: s.ID, Name: row.ID, Address: s.Address, Version: row.Version,
			IsLeader: row.ID == p.n.cfg.Name, NodeType: typeLearner, NodeStatus: p.status(s.ID)}
		switch {
		case s.Suffrage == raft.Voter:
			srv.NodeType = typeVoter
		case row.Role == fsm.RoleRelay:
			srv.NodeType = typeRelay
		}
		known[s.ID] = srv
	}
	return known
}

func (p *pilot) status(id raft.ServerID) autopilot.NodeStatus {
	if string(id) == p.n.cfg.Name {
		return autopilot.NodeAlive
	}
	p.mu.Lock()
	heard, ok := p.heard[id]
	answered := ok && !heard.Before(p.round)
	p.mu.Unlock()
	if !ok {
		heard = p.since
	}
	return judge(answered, p.n.cfg.Clock().Sub(heard), p.n.cfg.Timings.Dead, p.n.gossip.presence(string(id)))
}

// judge tells how a member is: failed only if it has answered nothing for so long and gossip
// has not seen it either. Silence for a while is neither life nor death.
func judge(answered bool, silent, dead time.Duration, presence string) autopilot.NodeStatus {
	switch {
	case answered:
		return autopilot.NodeAlive
	case dead > 0 && silent >= dead && presence != Alive:
		return autopilot.NodeFailed
	}
	return autopilot.NodeUnknown
}

// RemoveFailedServer implements autopilot.ApplicationIntegration. What finds no room is asked
// for again in the next round.
func (p *pilot) RemoveFailedServer(s *autopilot.Server) {
	select {
	case p.remove <- s.ID:
	default:
	}
}

// GetServerExt implements autopilot.Promoter.
func (*pilot) GetServerExt(*autopilot.Config, *autopilot.ServerState) any { return nil }

// GetStateExt implements autopilot.Promoter.
func (*pilot) GetStateExt(*autopilot.Config, *autopilot.State) any { return nil }

// GetNodeTypes implements autopilot.Promoter: KnownServers has said it.
func (*pilot) GetNodeTypes(*autopilot.Config, *autopilot.State) map[raft.ServerID]autopilot.NodeType {
	return nil
}

// IsPotentialVoter implements autopilot.Promoter: a learner replaces nobody before it votes.
func (*pilot) IsPotentialVoter(t autopilot.NodeType) bool { return t == typeVoter }

// CalculatePromotionsAndDemotions implements autopilot.Promoter. Nobody is demoted.
func (p *pilot) CalculatePromotionsAndDemotions(c *autopilot.Config, s *autopilot.State) autopilot.RaftChanges {
	var changes autopilot.RaftChanges
	if len(s.Voters) < quickVoters {
		return changes
	}
	for id, srv := range s.Servers {
		if srv.State == autopilot.RaftNonVoter && srv.Server.NodeType == typeLearner && srv.Health.IsStable(time.Now(), c.ServerStabilizationTime) {
			changes.Promotions = append(changes.Promotions, id)
		}
	}
	slices.Sort(changes.Promotions)
	return changes
}

// FilterFailedServerRemovals implements autopilot.Promoter: voters that are dead for long, and
// nobody else. Who is not known is not dead, and a dead relay or learner does no harm.
func (*pilot) FilterFailedServerRemovals(_ *autopilot.Config, _ *autopilot.State, failed *autopilot.FailedServers) *autopilot.FailedServers {
	var dead autopilot.FailedServers
	for _, s := range failed.FailedVoters {
		if s.NodeStatus == autopilot.NodeFailed {
			dead.FailedVoters = append(dead.FailedVoters, s)
		}
	}
	return &dead
}
