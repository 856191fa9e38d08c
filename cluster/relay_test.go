package cluster_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"

	"queen-rbee/cluster"
	"queen-rbee/cluster/clustertest"
	"queen-rbee/fsm"
)

// seen waits until a queen sees a relay as a member without a vote.
func seen(t *testing.T, at, relay *clustertest.Node) {
	t.Helper()
	clustertest.Eventually(t, func() error {
		for _, p := range at.Queen().Status().Peers {
			if p.ID == relay.Name {
				if p.Role != fsm.RoleRelay || p.Voter || p.Presence != cluster.Alive {
					return fmt.Errorf("%s sees %+v", at.Name, p)
				}
				return nil
			}
		}
		return fmt.Errorf("%s does not see %s", at.Name, relay.Name)
	})
}

// TestARelayServesAndNeverVotes has one relay beside two voters: it takes requests and reads,
// may die, and counts for nothing when a voter is gone.
func TestARelayServesAndNeverVotes(t *testing.T) {
	t.Parallel()
	c := clustertest.New(t, 2, nil)
	hive(t, c.Settled())
	relay := c.AddRelay()
	leader := c.Settled()
	for _, n := range c.Nodes() {
		seen(t, n, relay)
	}
	id := ulid.Make().String()
	if _, err := submit(t.Context(), relay, id); err != nil {
		t.Fatalf("submit at the relay: %v", err)
	}
	if v, err := relay.Queen().Strong(t.Context()); err != nil {
		t.Fatalf("strong read at the relay: %v", err)
	} else if _, ok := v.Job(id); !ok {
		t.Error("the relay does not see what it has just acknowledged")
	}
	if err := leader.Queen().Transfer(t.Context(), relay.Name); code(err) != fsm.CodeConflict {
		t.Errorf("handing leadership to a relay: %v", err)
	}
	relay.Kill()
	ids := []string{id, ulid.Make().String()}
	if _, err := submit(t.Context(), leader, ids[1]); err != nil {
		t.Fatalf("submit with a dead relay: %v", err)
	}
	relay.Restart() // with no --role: the data directory knows
	c.Settled()
	present(t, c, ids)

	for _, n := range c.Nodes() { // one voter of two is no majority, whatever relays there are
		if n != leader && n != relay {
			n.Kill()
		}
	}
	clustertest.Eventually(t, func() error {
		if got := relay.Queen().Status().Leader; got != "" {
			return fmt.Errorf("the relay knows a leader: %s", got)
		}
		return nil
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := submit(ctx, relay, ulid.Make().String()); err == nil {
		t.Error("a job was accepted by one voter of two and a relay")
	}
	if _, ok := relay.Queen().View().Job(id); !ok {
		t.Error("the relay does not serve local reads")
	}
}

// TestARelayConfirmsNoLeader cuts a leader off from the other voter, together with a relay.
// raft alone would take the relay's heartbeats for a majority until the lease is over.
func TestARelayConfirmsNoLeader(t *testing.T) {
	t.Parallel()
	c := clustertest.New(t, 2, func(c *cluster.Config) {
		c.Timings.Heartbeat, c.Timings.Election, c.Timings.Lease = 2*time.Second, 2*time.Second, 2*time.Second
	})
	relay := c.AddRelay()
	leader := c.Settled()
	for _, n := range c.Nodes() {
		if n != leader && n != relay {
			for _, on := range []*clustertest.Node{leader, relay} {
				c.Cut(n.Name, on.Name)
				c.Cut(on.Name, n.Name)
			}
		}
	}
	for _, n := range []*clustertest.Node{leader, relay} {
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		if _, err := n.Queen().Strong(ctx); err == nil {
			t.Errorf("%s answered a strong read without a majority of the voters", n.Name)
		}
		cancel()
	}
	c.Heal()
	c.Settled()
	if _, err := relay.Queen().Strong(t.Context()); err != nil {
		t.Errorf("strong read after the heal: %v", err)
	}
}

func TestARelayFarBehindIsGivenASnapshot(t *testing.T) {
	t.Parallel()
	c := clustertest.New(t, 1, func(c *cluster.Config) { c.Segment = 64 << 10 })
	leader := c.Leader()
	hive(t, leader)
	relay := c.AddRelay()
	farBehind(t, c, leader, relay)
	seen(t, leader, relay)
}

// TestARoleDoesNotChange asks for another role at a restart, and with a data directory that
// has forgotten the one it had.
func TestARoleDoesNotChange(t *testing.T) {
	t.Parallel()
	c := clustertest.New(t, 2, nil)
	relay := c.AddRelay()
	c.Settled()
	voter := c.Followers()[0]
	if voter == relay {
		voter = c.Followers()[1]
	}
	for n, other := range map[*clustertest.Node]fsm.Role{voter: fsm.RoleRelay, relay: fsm.RoleVoter} {
		n.Stop()
		n.Config.Boot, n.Config.Bootstrap, n.Config.Join, n.Config.Role = "", false, nil, other
		if got := refused(t, n); !strings.Contains(got, "join again with --role "+other.String()) {
			t.Errorf("%q does not say what to do", got)
		}
		n.Config.Role = 0
		n.Restart()
		c.Settled()
	}
	_, err := c.Leader().Queen().Join(t.Context(), cluster.JoinRequest{ID: relay.Name, Boot: relay.Queen().Status().Boot, Role: fsm.RoleVoter,
		HTTP: relay.Config.HTTPURL, Raft: relay.Queen().Status().RaftAddr, Gossip: relay.Queen().Status().GossipAddr, Level: fsm.CurrentLevel})
	if code(err) != fsm.CodeConflict || !strings.Contains(err.Error(), "is a relay") {
		t.Errorf("a relay that says it votes: %v", err)
	}
}

// TestARelayIsRemovedAndJoinsAgain leaves only relays behind that nobody needs for a quorum.
func TestARelayIsRemovedAndJoinsAgain(t *testing.T) {
	t.Parallel()
	c := clustertest.New(t, 1, nil)
	relay := c.AddRelay()
	leader := c.Settled()
	if _, err := relay.Queen().Remove(t.Context(), relay.Name); err != nil && code(err) != fsm.CodeUnknownOutcome {
		t.Fatalf("remove: %v", err)
	}
	if err := relay.Wait(); err == nil || !strings.Contains(err.Error(), "removed") {
		t.Errorf("the removed relay ended with: %v", err)
	}
	clustertest.Eventually(t, func() error {
		if n := len(leader.Queen().Status().Peers); n != 1 {
			return fmt.Errorf("%d members", n)
		}
		return nil
	})
	relay.Config.DataDir, relay.Config.Join, relay.Config.Boot, relay.Config.Role = t.TempDir(), []string{leader.Config.HTTPURL}, "", fsm.RoleRelay
	relay.Start()
	seen(t, leader, relay)
	if _, err := leader.Queen().Remove(t.Context(), leader.Name); code(err) != fsm.CodeConflict {
		t.Errorf("removing the only voter beside a relay: %v", err)
	}
}
