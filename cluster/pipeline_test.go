package cluster_test

import (
	"testing"

	"queen-rbee/cluster/clustertest"
)

// TestADeposedLeaderEnds cuts the leader off with much on its way to the others and more to
// send, lets another lead and heals, again and again: raft must not be left waiting for itself.
func TestADeposedLeaderEnds(t *testing.T) {
	t.Parallel()
	c := clustertest.New(t, 3, nil)
	for range 3 {
		old := c.Settled()
		c.Isolate(old.Name)
		_ = old.Queen().Append(8, 100) // as many as it takes before it sees that it is alone
		c.Leader(old.Name)
		c.Heal()
	}
	c.Settled()
	for _, n := range c.Nodes() {
		n.Stop()
	}
}
