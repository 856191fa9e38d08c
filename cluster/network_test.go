package cluster_test

import (
	"errors"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"

	"queen-rbee/cluster"
	"queen-rbee/cluster/clustertest"
	"queen-rbee/fsm"
)

// TestFaultNetwork has clients at every queen while the network is as the rows say. Whatever
// was acknowledged is kept, whatever was refused has left no trace, and all go on when it heals.
func TestFaultNetwork(t *testing.T) {
	t.Parallel()
	c := clustertest.New(t, 3, quick)
	hive(t, c.Leader())
	book := keepBooks(t, c, 6)
	each := func(f func(leader, other string)) func(string) {
		return func(leader string) {
			for _, n := range c.Nodes() {
				if n.Name != leader {
					f(leader, n.Name)
				}
			}
		}
	}
	all := func(l clustertest.Link) func(string) { return func(string) { c.ShapeAll(l) } }
	for _, row := range []struct {
		fault   string
		begin   func(leader string)
		acks    int  // how many requests are to be acknowledged meanwhile
		replace bool // another leader is elected
	}{
		{"leader cut off, both directions", func(leader string) { c.Isolate(leader) }, 30, true},
		{"leader cut off, nobody hears it", each(func(leader, other string) { c.Cut(leader, other) }), 30, true},
		{"leader cut off, it hears nobody", each(func(leader, other string) { c.Cut(other, leader) }), 30, true},
		{"leader on a slow link, 256 KiB a second", each(func(leader, other string) {
			c.Shape(leader, other, clustertest.Link{Rate: 256 << 10})
			c.Shape(other, leader, clustertest.Link{Rate: 256 << 10})
		}), 100, false},
		{"5 % loss", all(clustertest.Link{Loss: 0.05}), 50, false},
		{"delay of 10 to 50 ms", all(clustertest.Link{Delay: 10 * time.Millisecond, Jitter: 40 * time.Millisecond}), 30, false},
		{"connections break, calls come twice", all(clustertest.Link{Reset: 0.02, Twice: 0.3}), 500, false},
		{"raft's messages lost, late and twice", func(string) {
			c.Mail(clustertest.Mail{Loss: 0.05, Twice: 0.3, Late: 300 * time.Millisecond})
		}, 500, false},
	} {
		t.Run(row.fault, func(t *testing.T) {
			leader := c.Settled()
			row.begin(leader.Name)
			if row.replace {
				c.Leader(leader.Name)
			}
			book.more(t, row.acks)
			c.Heal()
			c.Settled()
			book.more(t, 10)
		})
	}
	book.close(t)
}

// TestFaultBridge has two queens that reach the third one but not each other. The one that does
// not reach the leader says so, disturbs nobody, and still serves what it has.
func TestFaultBridge(t *testing.T) {
	t.Parallel()
	c := clustertest.New(t, 3, func(c *cluster.Config) {
		quick(c)
		// A busy machine must not be taken for a cut link between those that have one.
		c.Timings.Heartbeat, c.Timings.Election, c.Timings.Lease = 2*time.Second, 2*time.Second, 2*time.Second
	})
	leader := c.Settled()
	hive(t, leader)
	bridge, far := c.Followers()[0], c.Followers()[1]
	known, err := submit(t.Context(), far, ulid.Make().String())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := far.Queen().WaitIndex(t.Context(), known.Index); err != nil {
		t.Fatal(err)
	}
	c.Cut(leader.Name, far.Name)
	c.Cut(far.Name, leader.Name)
	refused := ulid.Make().String()
	if _, err := submit(t.Context(), far, refused); code(err) != fsm.CodeNoLeader && code(err) != fsm.CodeUnknownOutcome {
		t.Errorf("a submit at the queen that does not reach the leader: %v", err)
	}
	clustertest.Eventually(t, func() error { // it has noticed, and cannot be elected
		if got := far.Queen().Status().Leader; got != "" {
			return errors.New("it takes " + got + " for the leader")
		}
		return nil
	})
	var acked []string
	for _, n := range []*clustertest.Node{leader, bridge} {
		id := ulid.Make().String()
		if _, err := submit(t.Context(), n, id); err != nil {
			t.Errorf("a submit at %s: %v", n.Name, err)
		}
		acked = append(acked, id)
	}
	if _, err := far.Queen().Strong(t.Context()); code(err) != fsm.CodeNoLeader {
		t.Errorf("a strong read there: %v", err)
	}
	if _, ok := far.Queen().View().Job(known.Job); !ok {
		t.Error("it does not serve what it has")
	}
	if mine, others := far.Queen().Status().Term, leader.Queen().Status().Term; mine > others {
		t.Errorf("it stood for election in term %d while the others are in term %d: it would depose their leader", mine, others)
	}
	c.Heal()
	c.Settled()
	present(t, c, append(acked, known.Job))
}
