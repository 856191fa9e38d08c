package clustertest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"queen-rbee/cluster"
	"queen-rbee/fsm"
)

// Token is the cluster token of every test cluster.
const Token = "rbee-token-for-tests-only"

// Patience bounds every wait. Machines that run tests are slow and noisy.
const Patience = 60 * time.Second

// Cluster is a number of queens in one process.
type Cluster struct {
	t         testing.TB
	fabric    *fabric
	configure func(*cluster.Config)
	prepare   func(*cluster.Queen)

	mu    sync.Mutex
	nodes []*Node
	made  []*Node // with those that are not of the cluster
}

// New starts n queens and waits until all of them vote and are ready. configure changes
// each one's configuration; it may be nil.
func New(t testing.TB, n int, configure func(*cluster.Config)) *Cluster {
	t.Helper()
	return NewPrepared(t, n, configure, nil)
}

// NewPrepared is New with a function that prepares each queen before it runs, at each of its
// starts: to register duties and methods.
func NewPrepared(t testing.TB, n int, configure func(*cluster.Config), prepare func(*cluster.Queen)) *Cluster {
	t.Helper()
	c := &Cluster{t: t, fabric: newFabric(), configure: configure, prepare: prepare}
	t.Cleanup(c.close)
	for range n {
		c.Add()
	}
	c.Settled()
	return c
}

// Nodes are all queens, stopped ones too, in the order they were added.
func (c *Cluster) Nodes() []*Node {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.nodes)
}

// Node finds a queen by name.
func (c *Cluster) Node(name string) *Node {
	for _, n := range c.Nodes() {
		if n.Name == name {
			return n
		}
	}
	c.t.Fatalf("no node %q", name)
	return nil
}

// Add starts one more queen; the first one bootstraps, the others join it.
func (c *Cluster) Add() *Node {
	c.t.Helper()
	return c.enter(c.NewNode(fmt.Sprintf("queen-%d", len(c.Nodes())+1)))
}

// AddRelay starts one more queen, which joins as a relay.
func (c *Cluster) AddRelay() *Node {
	c.t.Helper()
	n := c.NewNode(fmt.Sprintf("relay-%d", len(c.Nodes())+1))
	n.Config.Role = fsm.RoleRelay
	return c.enter(n)
}

// enter starts a queen as one of Nodes and waits until it is ready.
func (c *Cluster) enter(n *Node) *Node {
	c.t.Helper()
	others := c.Nodes()
	if len(others) == 0 {
		n.Config.Bootstrap = true
	} else {
		for _, other := range others {
			n.Config.Join = append(n.Config.Join, other.Config.HTTPURL)
		}
	}
	n.Start()
	c.mu.Lock()
	c.nodes = append(c.nodes, n) // only now: whoever goes through Nodes asks their queens
	c.mu.Unlock()
	c.Eventually(func() error { return n.ready() })
	return n
}

// Up are the queens that run.
func (c *Cluster) Up() []*Node {
	var up []*Node
	for _, n := range c.Nodes() {
		if n.Running() {
			up = append(up, n)
		}
	}
	return up
}

// Settled waits until all running queens but relays vote, are ready and agree on the leader, whom it returns.
func (c *Cluster) Settled() *Node {
	c.t.Helper()
	var leader *Node
	c.Eventually(func() error {
		leader = nil
		for _, n := range c.Up() {
			if err := n.ready(); err != nil {
				return err
			}
			s := n.Queen().Status()
			if s.Established {
				leader = n
			}
			for _, p := range s.Peers {
				if !p.Voter && p.Role != fsm.RoleRelay {
					return fmt.Errorf("%s has no vote in the eyes of %s", p.ID, n.Name)
				}
			}
		}
		if leader == nil {
			return fmt.Errorf("no leader is established")
		}
		for _, n := range c.Up() {
			if got := n.Queen().Status().Leader; got != leader.Name {
				return fmt.Errorf("%s takes %q for the leader, not %s", n.Name, got, leader.Name)
			}
		}
		return nil
	})
	return leader
}

// Leader waits for an established leader among the running queens other than those named.
func (c *Cluster) Leader(except ...string) *Node {
	c.t.Helper()
	var leader *Node
	c.Eventually(func() error {
		for _, n := range c.Up() {
			if n.Queen().Status().Established && !slices.Contains(except, n.Name) {
				leader = n
				return nil
			}
		}
		return fmt.Errorf("no leader beside %v", except)
	})
	return leader
}

// Followers are the running queens beside the leader.
func (c *Cluster) Followers() []*Node {
	leader := c.Settled()
	var out []*Node
	for _, n := range c.Up() {
		if n != leader {
			out = append(out, n)
		}
	}
	return out
}

// Isolate cuts a queen off from all others, in both directions.
func (c *Cluster) Isolate(name string) {
	for _, n := range c.Nodes() {
		if n.Name != name {
			c.Cut(n.Name, name)
			c.Cut(name, n.Name)
		}
	}
}

// Cut cuts one direction of one link.
func (c *Cluster) Cut(from, to string) { c.Shape(from, to, Link{Cut: true}) }

// Shape makes one direction of one link what is given, until Heal.
func (c *Cluster) Shape(from, to string, l Link) {
	c.fabric.set(func(links map[[2]string]Link) { links[[2]string{from, to}] = l })
}

// ShapeAll makes every link between the queens of now what is given, until Heal.
func (c *Cluster) ShapeAll(l Link) {
	for _, from := range c.Nodes() {
		for _, to := range c.Nodes() {
			if from != to {
				c.Shape(from.Name, to.Name, l)
			}
		}
	}
}

// Mail makes raft's messages fare as is given, until Heal.
func (c *Cluster) Mail(m Mail) { c.fabric.setMail(m) }

// Heal mends every link, and the mail.
func (c *Cluster) Heal() {
	c.fabric.setMail(Mail{})
	c.fabric.set(func(links map[[2]string]Link) { clear(links) })
}

// EnsureSame waits until all running queens are at one index and fails unless their states
// hash the same, there and at every index before it that two of them remember.
func (c *Cluster) EnsureSame() {
	c.t.Helper()
	c.Eventually(func() error {
		var index uint64
		for _, n := range c.Up() {
			index = max(index, n.Queen().View().Meta().Index)
		}
		sums := map[fsm.Sum][]string{}
		for _, n := range c.Up() {
			sum, ok := n.Queen().HashAt(index)
			if v := n.Queen().View(); !ok && v.Meta().Index == index {
				sum, ok = v.Hash(), true
			}
			if !ok {
				return fmt.Errorf("%s has not been at index %d", n.Name, index)
			}
			sums[sum] = append(sums[sum], n.Name)
		}
		if len(sums) > 1 {
			c.t.Fatalf("states differ at index %d: %v", index, sums)
		}
		c.sameBefore(index)
		return nil
	})
}

// sameBefore fails unless all hashes remembered of the indexes before one are the same.
func (c *Cluster) sameBefore(index uint64) {
	c.t.Helper()
	for i := index - 1; i > 0 && i+remembered > index; i-- {
		first, name := fsm.Sum{}, ""
		for _, n := range c.Up() {
			switch sum, ok := n.Queen().HashAt(i); {
			case !ok:
			case name == "":
				first, name = sum, n.Name
			case sum != first:
				c.t.Fatalf("%s and %s differed at index %d", name, n.Name, i)
			}
		}
	}
}

// remembered is how many hashes a queen keeps.
const remembered = 1024

// Eventually asks again and again until there is no error, at most Patience.
func (c *Cluster) Eventually(f func() error) {
	c.t.Helper()
	Eventually(c.t, f)
}

// Eventually asks again and again until there is no error, at most Patience.
func Eventually(t testing.TB, f func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		err := f()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("after %v: %v", Patience, err)
		}
	}
}

func (c *Cluster) close() {
	for _, n := range c.made {
		n.kill()
	}
	for _, n := range c.made {
		n.close()
	}
}
