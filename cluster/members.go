package cluster

import (
	"context"
	"slices"
	"time"

	"github.com/hashicorp/raft"

	"queen-rbee/fsm"
	"queen-rbee/schedule"
)

const (
	promoteEvery  = 250 * time.Millisecond
	promoteWithin = 250              // entries a learner may be behind when it gets its vote
	rowPatience   = 10 * time.Second // for a member to have a row
)

// members is the duty that gives learners their vote once they have caught up, and forgets
// rows of queens that raft no longer has.
func (n *node) members(ctx context.Context) error {
	rowless := map[string]int{} // rounds for which a member has had no row
	for sleep(ctx, promoteEvery) {
		l := n.established.Load()
		// The rows first: whoever is seated meanwhile is among the servers, and not forgotten.
		rows := slices.Collect(n.replica.view().Queens())
		servers := n.servers()
		if l == nil || len(servers) == 0 {
			continue
		}
		n.promote(ctx, servers)
		n.warnRowless(rowless, servers)
		for _, q := range rows {
			_, was := find(servers, q.ID)
			servers := n.servers() // promoting took its time: it may have been seated anew
			if _, is := find(servers, q.ID); !was && !is && len(servers) > 0 {
				l.propose(ctx, schedule.Request{Forget: &schedule.Forget{ID: q.ID}})
			}
		}
	}
	return nil
}

// warnRowless tells once of a member that has not made itself known for a while: without a
// row nobody knows its addresses, and it gets no vote. It announces itself from time to time.
func (n *node) warnRowless(rounds map[string]int, servers []raft.Server) {
	for _, s := range servers {
		id := string(s.ID)
		if _, ok := n.replica.view().Queen(id); ok {
			delete(rounds, id)
			continue
		}
		if rounds[id]++; rounds[id] == int(rowPatience/promoteEvery) {
			n.log.Warn("a member has not made itself known: does it run, and is it reached?", "id", id, "raft", s.Address)
		}
	}
}

// promote gives learners their vote as soon as they have caught up, while there are few voters
// or autopilot is off; else that is autopilot's.
func (n *node) promote(ctx context.Context, servers []raft.Server) {
	if n.cfg.Autopilot && n.voters() >= quickVoters {
		return
	}
	var learners []raft.Server
	var addrs []string
	for _, s := range servers {
		row, ok := n.replica.view().Queen(string(s.ID))
		if s.Suffrage != raft.Voter && ok && row.Role == fsm.RoleVoter {
			learners, addrs = append(learners, s), append(addrs, string(s.Address))
		}
	}
	for i, r := range n.askAll(ctx, addrs) {
		s := learners[i]
		row, ok := n.replica.view().Queen(string(s.ID))
		if r == nil || !ok || r.Boot != row.Boot || r.LogIndex+promoteWithin < n.raft.LastIndex() {
			continue
		}
		if n.cfg.Autopilot && n.voters() >= quickVoters {
			return
		}
		n.log.Info("a learner has caught up and votes from now on", "id", s.ID)
		if err := n.raft.AddVoter(s.ID, s.Address, 0, changeTimeout).Error(); err != nil {
			n.log.Warn("a learner did not get its vote", "id", s.ID, "why", err)
		}
	}
}
