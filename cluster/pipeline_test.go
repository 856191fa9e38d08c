package cluster_test

import (
	"testing"

	"queen-rbee/cluster/clustertest"
)

// TestADeposedLeaderEnds cuts the leader off with much on its way to the others and more to
// send, lets another lead and heals, again and again: raft must not be left waiting for itself.
func TestADeposedLeaderEnds(t *testing.T) {
	c := clustertest.New(t, 3, nil)
	for range 3 {
		old := c.Settled()
		c.Isolate(old.Name)
		if err := old.Queen().Append(8, 100); err != nil {
			t.Fatalf("the leader did not log what it cannot commit: %v", err)
		}
		c.Leader(old.Name)
		c.Heal()
	}
	c.Settled()
	for _, n := range c.Nodes() {
		n.Stop()
	}
}
