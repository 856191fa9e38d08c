package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"queen-rbee/cmd/internal/e2e/rig"
)

// Clients stream through a relay while the leader dies, which they do not notice; then the
// relay dies, and they go on at the voters.
func TestRelayKilledClientsResumeElsewhere(t *testing.T) {
	ref := rig.NewReference(t)
	c := rig.Start(t, rig.Options{Slots: 12, TokenRate: 20})
	relay := c.Queen(t, "relay-1", "--join", c.Queens[0].URL, "--role", "relay")
	if err := relay.Launch(); err != nil {
		t.Fatal(err)
	}
	c.AwaitLeader(t, relay)
	awaitRole(t, c, c.Queens[0], relay.Name, "relay")
	if listed := keeper(t, c, "queens", "list"); listed.Code != 0 || strings.Count(listed.Out, "voter") != 3 {
		t.Errorf("queens list: %+v", listed)
	}
	leader, followers := c.Leader(t)
	c.Queens = append(c.Queens, relay)
	w := start(t, c, ref, 12, func(i int, s *rig.Stream) {
		s.Task, s.Queens = task(i, 120), append([]string{relay.URL}, rig.URLs(followers)...)
	})
	w.all(10)
	leader.Kill(t)
	w.all(50)
	queued := submit(t, c, "queued", 20, func(i int) rig.Task { return task(500+i, 2) })
	relay.Kill(t)
	w.end()
	for i, s := range w.streams {
		if s.Connections != 2 || s.Served[0] != relay.Name || s.Attempt() != 1 {
			t.Errorf("client %d was served by %v, attempt %d; want the relay and then another, and one attempt", i, s.Served, s.Attempt())
		}
	}
	leader.Restart(t)
	relay.Restart(t) // its data directory knows that it is one
	c.AwaitLeader(t, relay)
	awaitRole(t, c, relay, relay.Name, "relay")
	all := append(w.ids(), queued...)
	c.CheckEnds(t, streamTime, all, "complete")
	onlyThese(t, c, all)
}

// awaitRole waits until a queen sees another, alive, in its role and with the vote it should have.
func awaitRole(t *testing.T, c *rig.Cluster, at *rig.Process, name, role string) {
	t.Helper()
	rig.Await(t, streamTime, name+" as "+role, func(ctx context.Context) error {
		cl, err := c.ClusterAt(ctx, at)
		if err != nil {
			return err
		}
		for _, m := range cl.Queens {
			if m.ID == name && m.Role == role && m.Status == "alive" && m.Votes == (role == "voter") {
				return nil
			}
		}
		return fmt.Errorf("it sees %+v", cl.Queens)
	})
}
