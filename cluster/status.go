package cluster

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/hashicorp/raft"

	"queen-rbee/fsm"
)

// Presence of a queen as gossip tells it.
const (
	Alive   = "alive"
	Suspect = "suspect"
	Dead    = "dead"
	Left    = "left"
)

// Status is what this queen knows of the cluster at this moment, without asking anyone.
type Status struct {
	ID           string
	Boot         string
	ClusterID    string
	Epoch        fsm.Epoch
	Leader       string // id of the known leader, empty for none
	LeaderHTTP   string // its base URL, empty when unknown
	LastContact  int64  // milliseconds since the leader was last heard of; 0 on the leader
	Term         uint64
	IsLeader     bool   // raft says so
	Established  bool   // leading, and everything before it is applied
	RaftState    string // follower, candidate, leader or shutdown
	Ready        bool
	Draining     bool   // Run's context has ended
	AppliedIndex uint64 // batch index of the View
	CommitIndex  uint64 // raft's
	RaftAddr     string // as advertised
	GossipAddr   string
	Peers        []Peer // every member, this one too, in order of id
}

// Peer is a member as this queen knows it.
type Peer struct {
	fsm.Queen
	Voter    bool // in raft's configuration as known here
	Presence string
	Leader   bool
}

// brief is Status without the peers.
func (q *Queen) brief() Status {
	m := q.View().Meta()
	s := Status{ID: q.cfg.Name, Boot: q.cfg.Boot, ClusterID: m.ClusterID, Epoch: m.Epoch, AppliedIndex: m.Index,
		RaftState: "starting", Draining: q.draining.Load()}
	select {
	case <-q.ready:
		s.Ready = true
	default:
	}
	n := q.node.Load()
	if n == nil {
		return s
	}
	at := q.board.read()
	state := n.raft.State()
	s.Leader, s.Term, s.CommitIndex = at.id, n.raft.CurrentTerm(), n.raft.CommitIndex()
	s.IsLeader, s.Established = state == raft.Leader, n.established.Load() != nil
	s.RaftState = map[raft.RaftState]string{raft.Follower: "follower", raft.Candidate: "candidate", raft.Leader: "leader", raft.Shutdown: "shutdown"}[state]
	s.RaftAddr, s.GossipAddr = n.transport.addr, n.gossip.addr
	if !s.IsLeader {
		last := at.since
		if c := n.raft.LastContact(); !c.IsZero() {
			last = c
		}
		s.LastContact = time.Since(last).Milliseconds()
	}
	return s
}

// Status is what this queen knows right now, without asking anyone.
func (q *Queen) Status() Status {
	s := q.brief()
	v := q.View()
	if row, ok := v.Queen(s.Leader); ok {
		s.LeaderHTTP = row.HTTP
	}
	n := q.node.Load()
	if n == nil {
		return s
	}
	peers := map[string]*Peer{}
	for row := range v.Queens() {
		peers[row.ID] = &Peer{Queen: *row}
	}
	for _, srv := range n.servers() {
		id := string(srv.ID)
		if peers[id] == nil {
			peers[id] = &Peer{Queen: fsm.Queen{ID: id, Raft: string(srv.Address)}}
		}
		peers[id].Voter = srv.Suffrage == raft.Voter
	}
	for id, p := range peers {
		p.Presence, p.Leader = n.gossip.presence(id), id == s.Leader
		s.Peers = append(s.Peers, *p)
	}
	slices.SortFunc(s.Peers, func(a, b Peer) int { return cmp.Compare(a.ID, b.ID) })
	return s
}

// Applied asks every member for the batch index it has applied, at most until ctx ends or
// a second; who does not answer is absent.
func (q *Queen) Applied(ctx context.Context) map[string]uint64 {
	out := map[string]uint64{q.cfg.Name: q.View().Meta().Index}
	n := q.node.Load()
	if n == nil {
		return out
	}
	for _, r := range n.askAll(ctx, n.otherAddrs()) {
		if r != nil {
			out[r.ID] = r.Applied
		}
	}
	return out
}
