package cluster_test

import (
	"testing"
	"time"

	"github.com/oklog/ulid/v2"

	"queen-rbee/cluster"
	"queen-rbee/cluster/clustertest"
)

// TestUncleanLeaderChangeAndRestart has a leader, cut off, log entries that are never committed,
// and the next leader overwrite them; then the old one must start from what it has, twice.
// raft-wal 0.4.0 loses the file whose end was cut off: hence the version in go.mod.
func TestUncleanLeaderChangeAndRestart(t *testing.T) {
	t.Parallel()
	c := clustertest.New(t, 3, func(c *cluster.Config) {
		c.Segment = 64 << 10
		// Time enough to log much before the leader notices that it is alone.
		c.Timings.Heartbeat, c.Timings.Election, c.Timings.Lease = time.Second, time.Second, time.Second
	})
	hive(t, c.Leader())
	var acked []string
	ack := func(n *clustertest.Node) {
		t.Helper()
		id := ulid.Make().String()
		if _, err := submit(t.Context(), n, id); err != nil {
			t.Fatal(err)
		}
		acked = append(acked, id)
	}
	for _, suffix := range []struct {
		name          string
		entries, size int
	}{
		{"within a file", 3, 100},
		{"over several files", 24, 16 << 10},
	} {
		t.Run(suffix.name, func(t *testing.T) {
			old := c.Settled()
			for range 5 {
				ack(old)
			}
			for c.Isolate(old.Name); old.Queen().Append(suffix.entries, suffix.size) != nil; c.Isolate(old.Name) {
				t.Log("it was not quick enough: another one is to try")
				c.Heal()
				old = c.Settled()
			}
			next := c.Leader(old.Name)
			for range 5 {
				ack(next)
			}
			c.Heal()
			c.Settled()
			c.EnsureSame()
			for range 2 {
				old.Kill()
				old.Restart()
				c.Settled()
				present(t, c, acked)
			}
		})
	}
}
