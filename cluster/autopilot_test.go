package cluster_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"queen-rbee/cluster"
	"queen-rbee/cluster/clustertest"
)

// TestADeadVoterIsRemovedOnceItIsReplaced kills one voter of three and a relay. Nobody is
// removed before a fourth queen votes; then the dead voter is, and the relay is not. Come back
// with its old data the dead one is told what to do.
func TestADeadVoterIsRemovedOnceItIsReplaced(t *testing.T) {
	t.Parallel()
	c := clustertest.New(t, 3, func(c *cluster.Config) { c.Timings.Dead = time.Second })
	relay := c.AddRelay()
	leader := c.Settled()
	var dead *clustertest.Node
	for _, n := range c.Nodes() {
		if n != leader && n != relay {
			dead = n
		}
	}
	dead.Kill()
	relay.Kill()
	clustertest.Eventually(t, func() error { // autopilot has seen the death, and decided
		if l := c.Leader(); !strings.Contains(l.Log(), "will not remove server node") {
			return fmt.Errorf("%s has not refused to remove it", l.Name)
		}
		return nil
	})
	if n := len(c.Leader().Queen().Status().Peers); n != 4 {
		t.Fatalf("%d members are left, want all 4: nobody was replaced", n)
	}
	c.Add()
	clustertest.Eventually(t, func() error {
		voters := 0
		for _, p := range c.Leader().Queen().Status().Peers {
			if p.ID == dead.Name {
				return fmt.Errorf("the dead one is a member: %+v", p)
			}
			if p.Voter {
				voters++
			}
		}
		if voters != 3 {
			return fmt.Errorf("%d voters", voters)
		}
		return nil
	})
	dead.Config.Boot, dead.Config.Bootstrap, dead.Config.Join = "", false, nil
	if got := refused(t, dead); !strings.Contains(got, "was removed") || !strings.Contains(got, "join again") {
		t.Errorf("%q does not say what to do", got)
	}
	relay.Restart() // it still is one
	c.Settled()
	seen(t, c.Leader(), relay)
	dead.Config.DataDir, dead.Config.Join = t.TempDir(), []string{c.Leader().Config.HTTPURL}
	dead.Start()
	c.Settled()
	c.EnsureSame()
}

// metric is the value of a queen's gauge or counter.
func metric(t *testing.T, n *clustertest.Node, name string) float64 {
	t.Helper()
	all, err := n.Config.Registerer.(*prometheus.Registry).Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		if f.GetName() == name {
			m := f.GetMetric()[0]
			return m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	t.Fatalf("there is no metric %s", name)
	return 0
}

// TestANewVoterIsProvenFirst has three voters and a fourth queen that is not healthy for long
// enough yet. Where autopilot is off, or too few vote, it votes once it has caught up.
func TestANewVoterIsProvenFirst(t *testing.T) {
	t.Parallel()
	c := clustertest.New(t, 3, func(c *cluster.Config) {
		c.Timings.Stable, c.Registerer = time.Hour, prometheus.NewRegistry()
	})
	leader := c.Settled()
	fourth := c.Add()
	votes := func(at *clustertest.Node) bool {
		for _, p := range at.Queen().Status().Peers {
			if p.ID == fourth.Name {
				return p.Voter
			}
		}
		return false
	}
	rounds := metric(t, leader, "rbee_autopilot_rounds_total")
	clustertest.Eventually(t, func() error { // it has been healthy for some rounds
		if l := c.Leader(); l != leader || metric(t, l, "rbee_queens_unhealthy") != 0 {
			leader = l
			rounds = metric(t, leader, "rbee_autopilot_rounds_total")
			return fmt.Errorf("%s has found members unhealthy, or has just come to lead", l.Name)
		}
		if n := metric(t, leader, "rbee_autopilot_rounds_total"); n < rounds+5 {
			return fmt.Errorf("autopilot has looked %v times, %v when it joined", n, rounds)
		}
		return nil
	})
	if n := metric(t, leader, "rbee_failure_tolerance"); n != 1 {
		t.Errorf("%v voters of three may fail, want 1", n)
	}
	if votes(leader) {
		t.Error("the fourth votes at once")
	}
	for _, n := range c.Nodes() { // with two voters left there is no waiting
		if n != leader && n != fourth {
			if _, err := leader.Queen().Remove(t.Context(), n.Name); err != nil {
				t.Fatal(err)
			}
			break
		}
	}
	clustertest.Eventually(t, func() error {
		if !votes(leader) {
			return fmt.Errorf("%s does not vote", fourth.Name)
		}
		return nil
	})
}
