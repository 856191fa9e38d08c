package cluster_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"github.com/oklog/ulid/v2"

	"queen-rbee/cluster"
	"queen-rbee/cluster/clustertest"
	"queen-rbee/fsm"
	"queen-rbee/schedule"
)

func TestJoinAndRemoveUnderLoad(t *testing.T) {
	t.Parallel()
	c := clustertest.New(t, 3, nil)
	hive(t, c.Leader())
	l := startLoad(t, c, 4)
	l.more(t, 20)
	fourth := c.Add()
	c.Settled()
	l.more(t, 20)
	at, err := c.Nodes()[1].Queen().Remove(t.Context(), fourth.Name)
	if err != nil {
		t.Fatalf("remove: %v", err)
	}
	if v, err := c.Nodes()[1].Queen().WaitIndex(t.Context(), at); err != nil || at == 0 {
		t.Errorf("removed at index %d: %v", at, err)
	} else if _, ok := v.Queen(fourth.Name); ok {
		t.Errorf("its row is still there at index %d, at which it was removed", v.Meta().Index)
	}
	if err := fourth.Wait(); err == nil || !strings.Contains(err.Error(), "removed") {
		t.Errorf("the removed queen ended with: %v", err)
	}
	c.Settled()
	for _, n := range c.Up() {
		if _, ok := n.Queen().View().Queen(fourth.Name); ok {
			clustertest.Eventually(t, func() error {
				if _, ok := n.Queen().View().Queen(fourth.Name); ok {
					return errors.New("its row is still there")
				}
				return nil
			})
		}
	}
	present(t, c, l.stop(t))
	if _, err := c.Nodes()[0].Queen().Remove(t.Context(), "nobody"); code(err) != fsm.CodeNotFound {
		t.Errorf("removing nobody: %v", err)
	}
}

// TestJoiningBesideASilentLearner has the members' duty wait for a learner that never answers,
// at each of its rounds, while another queen is seated.
func TestJoiningBesideASilentLearner(t *testing.T) {
	t.Parallel()
	c := clustertest.New(t, 1, nil)
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	leader := c.Leader()
	addr := silent.Addr().String()
	if _, err := leader.Queen().Join(t.Context(), cluster.JoinRequest{ID: "silent", Boot: "b", Role: fsm.RoleVoter, HTTP: "http://" + addr, Raft: addr, Gossip: addr, Level: fsm.CurrentLevel}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		roundBegins(t, silent)
		n := c.Add()
		clustertest.Eventually(t, func() error {
			for _, p := range leader.Queen().Status().Peers {
				if p.ID == n.Name && p.Voter && p.Boot == n.Queen().Status().Boot {
					return nil
				}
			}
			return fmt.Errorf("%s has no vote or no row", n.Name)
		})
	}
}

// TestASnapshotOfAnotherBuildIsRefusedAtTheStart has a snapshot whose checksum is right and
// whose content is not ours, and an older one behind which the log no longer reaches.
func TestASnapshotOfAnotherBuildIsRefusedAtTheStart(t *testing.T) {
	t.Parallel()
	c := clustertest.New(t, 1, func(c *cluster.Config) { c.Segment = 64 << 10 })
	n := c.Leader()
	hive(t, n)
	if err := n.Queen().Snapshot(); err != nil {
		t.Fatal(err)
	}
	for range cluster.TrailingLogs + 500 {
		if _, err := submit(t.Context(), n, ulid.Make().String()); err != nil {
			t.Fatal(err)
		}
	}
	if err := n.Queen().Snapshot(); err != nil {
		t.Fatal(err)
	}
	n.Stop()
	store, err := raft.NewFileSnapshotStore(n.Config.DataDir, 9, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	all, err := store.List()
	if err != nil || len(all) != 2 {
		t.Fatalf("%d snapshots, %v", len(all), err)
	}
	newest := all[0]
	_, trans := raft.NewInmemTransport("")
	if err := os.RemoveAll(filepath.Join(n.Config.DataDir, "snapshots", newest.ID)); err != nil {
		t.Fatal(err)
	}
	sink, err := store.Create(newest.Version, newest.Index, newest.Term, newest.Configuration, newest.ConfigurationIndex, trans)
	if err == nil {
		_, err = sink.Write([]byte("a later format"))
	}
	if err == nil {
		err = sink.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	n.Config.Boot, n.Config.Bootstrap = "", false
	if got := refused(t, n); !strings.Contains(got, "a snapshot in "+n.Config.DataDir) {
		t.Errorf("%q does not say what is wrong", got)
	}
}

// roundBegins waits until the leader asks a learner that listens here and never answers.
func roundBegins(t *testing.T, silent net.Listener) {
	t.Helper()
	for head := make([]byte, 6); ; {
		conn, err := silent.Accept()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		if _, err := io.ReadFull(conn, head); err == nil && head[5] == 'C' { // a call, not raft
			return
		}
	}
}

func TestALostRowIsMadeAnew(t *testing.T) {
	t.Parallel()
	c := clustertest.New(t, 2, nil)
	leader := c.Settled()
	for _, n := range c.Nodes() {
		if _, err := leader.Queen().Do(t.Context(), schedule.Request{Forget: &schedule.Forget{ID: n.Name}}); err != nil {
			t.Fatal(err)
		}
	}
	clustertest.Eventually(t, func() error {
		for _, n := range c.Nodes() {
			if row, ok := leader.Queen().View().Queen(n.Name); !ok || row.Raft != n.Queen().Status().RaftAddr {
				return fmt.Errorf("%s has no row", n.Name)
			}
		}
		return nil
	})
}

// TestRemoveTheLeader asks a follower for it, and the leader itself, which then may end before
// it has heard that it is done.
func TestRemoveTheLeader(t *testing.T) {
	t.Parallel()
	for _, itself := range []bool{false, true} {
		t.Run(fmt.Sprintf("asked itself %v", itself), func(t *testing.T) {
			c := clustertest.New(t, 3, nil)
			leader := c.Settled()
			other := c.Followers()[0]
			asked := other
			if itself {
				asked = leader
			}
			if _, err := asked.Queen().Remove(t.Context(), leader.Name); err != nil && !(itself && code(err) == fsm.CodeUnknownOutcome) {
				t.Fatalf("remove: %v", err)
			}
			if err := leader.Wait(); err == nil {
				t.Error("the removed leader ended without saying why")
			}
			if next := c.Settled(); next == leader {
				t.Error("the removed queen leads")
			}
			if members := len(other.Queen().Status().Peers); members != 2 {
				t.Errorf("%d members are left, want 2", members)
			}
			hive(t, other)
			c.EnsureSame()
		})
	}
}

func TestRemoveRefusesToLoseTheQuorum(t *testing.T) {
	t.Parallel()
	c := clustertest.New(t, 3, nil)
	leader := c.Settled()
	others := c.Followers()
	others[0].Kill()
	_, err := leader.Queen().Remove(t.Context(), others[1].Name)
	if code(err) != fsm.CodeConflict || !strings.Contains(err.Error(), "answer") {
		t.Errorf("removing a living voter while another is dead: %v", err)
	}
	if _, err := leader.Queen().Remove(t.Context(), others[0].Name); err != nil {
		t.Errorf("removing the dead one: %v", err)
	}
	c.Settled()
	one := clustertest.New(t, 1, nil)
	only := one.Leader()
	if _, err := only.Queen().Remove(t.Context(), only.Name); code(err) != fsm.CodeConflict {
		t.Errorf("removing the last one: %v", err)
	}
}

func TestTransfer(t *testing.T) {
	t.Parallel()
	c := clustertest.New(t, 3, nil)
	c.Settled()
	to := c.Followers()[0]
	if err := c.Followers()[1].Queen().Transfer(t.Context(), to.Name); err != nil {
		t.Fatalf("transfer: %v", err)
	}
	clustertest.Eventually(t, func() error {
		if got := c.Leader(); got != to {
			return fmt.Errorf("%s leads", got.Name)
		}
		return nil
	})
	if err := to.Queen().Transfer(t.Context(), "nobody"); code(err) != fsm.CodeNotFound {
		t.Errorf("transfer to nobody: %v", err)
	}
}

func TestPresence(t *testing.T) {
	t.Parallel()
	c := clustertest.New(t, 3, nil)
	leader := c.Settled()
	others := c.Followers()
	sees := func(name, want string) {
		t.Helper()
		clustertest.Eventually(t, func() error {
			for _, p := range leader.Queen().Status().Peers {
				if p.ID == name && p.Presence != want {
					return fmt.Errorf("%s is seen %s, not %s", name, p.Presence, want)
				}
			}
			return nil
		})
	}
	sees(others[0].Name, cluster.Alive)
	sees(others[1].Name, cluster.Alive)
	others[0].Stop()
	sees(others[0].Name, cluster.Left)
	others[0].Restart()
	sees(others[0].Name, cluster.Alive)
	others[1].Kill()
	sees(others[1].Name, cluster.Dead)
	if !leader.Running() {
		t.Error("the leader has ended")
	}
}

// refused runs a queen that must not start, and returns its one sentence.
func refused(t *testing.T, n *clustertest.Node) string {
	t.Helper()
	n.Start()
	err := n.Wait()
	var start *cluster.StartError
	if !errors.As(err, &start) {
		t.Fatalf("Run returned %v, want a StartError", err)
	}
	if strings.ContainsAny(err.Error(), "\n\t") {
		t.Errorf("not one sentence: %q", err)
	}
	return err.Error()
}

func TestRefusedStarts(t *testing.T) {
	t.Parallel()
	c := clustertest.New(t, 1, nil)
	first := c.Leader()
	other := clustertest.New(t, 1, func(cfg *cluster.Config) { cfg.Token = "rbee-token-of-another-cluster" })
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	used := func(n *clustertest.Node) { // a data directory of a member of c
		for _, f := range []string{"identity.json", "cluster.token"} {
			data, err := os.ReadFile(filepath.Join(first.Config.DataDir, f))
			if err == nil {
				err = os.WriteFile(filepath.Join(n.Config.DataDir, f), data, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, tc := range map[string]struct {
		prepare func(n *clustertest.Node)
		want    string
	}{
		"no way in":    {func(*clustertest.Node) {}, "--bootstrap"},
		"both ways in": {func(n *clustertest.Node) { n.Config.Bootstrap, n.Config.Join = true, []string{"127.0.0.1:1"} }, "only one"},
		"wrong token": {func(n *clustertest.Node) {
			n.Config.Token, n.Config.Join = "rbee-this-is-not-the-token", []string{first.Config.HTTPURL}
		}, "cluster token"},
		"no token":    {func(n *clustertest.Node) { n.Config.Token, n.Config.Join = "", []string{first.Config.HTTPURL} }, "give --token"},
		"unreachable": {func(n *clustertest.Node) { n.Config.Join, n.Config.Park = []string{"127.0.0.1:1"}, time.Second }, "127.0.0.1:1"},
		"name taken": {func(n *clustertest.Node) {
			n.Config.Name, n.Config.Join = first.Name, []string{first.Config.HTTPURL}
		}, "another --name"},
		"raft port in use":   {func(n *clustertest.Node) { n.Config.Bootstrap, n.Config.RaftAddr = true, taken.Addr().String() }, "--raft-addr"},
		"gossip port in use": {func(n *clustertest.Node) { n.Config.Bootstrap, n.Config.GossipAddr = true, taken.Addr().String() }, "--gossip-addr"},
		"directory in use":   {func(n *clustertest.Node) { n.Config.Name, n.Config.DataDir = first.Name, first.Config.DataDir }, "in use by another queen"},
		"another name":       {func(n *clustertest.Node) { used(n); n.Config.Name = "somebody-else" }, "--name " + first.Name},
		"another token": {func(n *clustertest.Node) {
			used(n)
			n.Config.Name, n.Config.Token = first.Name, "rbee-this-is-not-the-token"
		}, "--token"},
		"log gone": {func(n *clustertest.Node) { used(n); n.Config.Name = first.Name }, "is gone"},
		"damaged identity": {func(n *clustertest.Node) {
			n.Config.Bootstrap = true
			_ = os.WriteFile(filepath.Join(n.Config.DataDir, "identity.json"), []byte(`{"na`), 0o600)
		}, "identity.json is damaged"},
		"damaged votes": {func(n *clustertest.Node) {
			n.Config.Bootstrap = true
			_ = os.WriteFile(filepath.Join(n.Config.DataDir, "stable.db"), []byte(strings.Repeat("garbage", 4096)), 0o600)
		}, "stable.db"},
		"a file for a directory": {func(n *clustertest.Node) {
			n.Config.DataDir = filepath.Join(n.Config.DataDir, "file")
			_ = os.WriteFile(n.Config.DataDir, nil, 0o600)
		}, "cannot be made"},
	} {
		t.Run(name, func(t *testing.T) {
			n := c.NewNode("new-queen")
			tc.prepare(n)
			if got := refused(t, n); !strings.Contains(got, tc.want) {
				t.Errorf("%q does not say %q", got, tc.want)
			}
		})
	}
	t.Run("directory of another cluster", func(t *testing.T) {
		n := other.Leader()
		n.Stop()
		n.Config.Join, n.Config.Boot = []string{first.Config.HTTPURL}, ""
		if got := refused(t, n); !strings.Contains(got, "token") && !strings.Contains(got, "another --data-dir") {
			t.Errorf("%q does not say whose it is", got)
		}
	})
}

func TestDirectoryOfAnotherClusterWithTheSameToken(t *testing.T) {
	t.Parallel()
	c, other := clustertest.New(t, 1, nil), clustertest.New(t, 1, nil)
	n := other.Leader()
	n.Stop()
	n.Config.Join, n.Config.Boot = []string{c.Leader().Config.HTTPURL}, ""
	if got := refused(t, n); !strings.Contains(got, "another --data-dir") {
		t.Errorf("%q does not say what to do", got)
	}
}

func TestWrongTokenIsLoggedOnBothSides(t *testing.T) {
	t.Parallel()
	c := clustertest.New(t, 1, nil)
	first := c.Leader()
	// A member whose token file was changed by hand: it needs no join, so only raft meets it.
	second := c.Add()
	c.Settled()
	second.Stop()
	second.Config.Token = ""
	path := filepath.Join(second.Config.DataDir, "cluster.token")
	if err := os.WriteFile(path, []byte("rbee-this-is-not-the-token\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	second.Restart()
	clustertest.Eventually(t, func() error {
		for _, n := range []*clustertest.Node{first, second} {
			if !strings.Contains(n.Log(), "it has another cluster token") {
				return fmt.Errorf("%s does not log it", n.Name)
			}
		}
		return nil
	})
}

func TestRestartWithTheSameFlagsIsHarmless(t *testing.T) {
	t.Parallel()
	c := clustertest.New(t, 2, nil)
	c.Settled()
	for _, n := range c.Nodes() {
		n.Stop()
	}
	for _, n := range c.Nodes() {
		n.Config.Boot = ""
		n.Start() // --bootstrap and --join as the first time
	}
	c.Settled()
	c.EnsureSame()
}

// TestAnAddressThatSwallowsPacketsHoldsNoStartUp gives a member one to join by, which it needs not.
func TestAnAddressThatSwallowsPacketsHoldsNoStartUp(t *testing.T) {
	t.Parallel()
	c := clustertest.New(t, 2, nil)
	leader := c.Settled()
	n := c.Followers()[0]
	hole, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n.Stop()
	n.Config.Boot, n.Config.Bootstrap, n.Config.Join = "", false, []string{hole.Addr().String()}
	n.Start()
	asks, err := hole.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = hole.Close(), asks.Close() }()
	clustertest.Eventually(t, func() error {
		if row, _ := leader.Queen().View().Queen(n.Name); row == nil || row.Boot != n.Queen().Status().Boot {
			return errors.New("its new start is not known")
		}
		return nil
	})
	_ = asks.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
	if _, err := io.Copy(io.Discard, asks); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("it was made known only when the address had been given up: %v", err)
	}
}

func TestAQueenComesBackUnderAnotherAddress(t *testing.T) {
	t.Parallel()
	c := clustertest.New(t, 3, nil)
	c.Settled()
	n := c.Followers()[0]
	n.Stop()
	n.Config.RaftAddr, n.Config.GossipAddr = "127.0.0.1:0", "127.0.0.1:0"
	n.Restart()
	c.Settled()
	clustertest.Eventually(t, func() error {
		row, _ := c.Leader().Queen().View().Queen(n.Name)
		if want := n.Queen().Status().RaftAddr; row == nil || row.Raft != want {
			return fmt.Errorf("its row is %+v, want address %s", row, want)
		}
		return nil
	})
	c.EnsureSame()
}
