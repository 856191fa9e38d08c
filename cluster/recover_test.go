package cluster_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/oklog/ulid/v2"

	"queen-rbee/cluster"
	"queen-rbee/cluster/clustertest"
	"queen-rbee/fsm"
)

// killAll ends all queens of a cluster as a power cut would.
func killAll(c *clustertest.Cluster) {
	for _, n := range c.Nodes() {
		n.Kill()
	}
}

// old starts a queen with the data it had, which must not come up.
func old(t *testing.T, n *clustertest.Node, join ...string) {
	t.Helper()
	n.Config.Boot, n.Config.Bootstrap, n.Config.Join = "", false, join
	if got := refused(t, n); !strings.Contains(got, "recovered without queen "+n.Name) {
		t.Errorf("%q does not say what has become of its cluster", got)
	}
}

// TestRecoverFromOneOfThree loses a majority for good: the one that is left goes on alone
// with all it had, others join it with empty directories, and the lost ones, should they come
// back with their data, find no part in it, not even together.
func TestRecoverFromOneOfThree(t *testing.T) {
	t.Parallel()
	c := clustertest.New(t, 3, nil)
	hive(t, c.Settled())
	var ids []string
	for _, n := range c.Nodes() {
		id := ulid.Make().String()
		if _, err := submit(t.Context(), n, id); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	c.EnsureSame()
	left, lost := c.Nodes()[1], []*clustertest.Node{c.Nodes()[0], c.Nodes()[2]}
	was := left.Queen().View().Meta()
	killAll(c)

	seen, err := cluster.Inspect(left.Config.DataDir, nil)
	if err != nil || seen.Queen != left.Name || seen.Cluster != was.ClusterID || len(seen.Lost) != 2 || seen.Index < was.Index || seen.LogTerm == 0 || seen.NewCluster != "" {
		t.Fatalf("inspected: %+v, %v", seen, err)
	}
	got, err := cluster.Recover(left.Config.DataDir, nil)
	if err != nil || got.NewCluster == "" || got.Jobs.Queued != len(ids) || got.LogIndex != seen.LogIndex || got.Index != seen.Index {
		t.Fatalf("recovered: %+v, %v; inspected before: %+v", got, err, seen)
	}
	left.Restart()
	leader := c.Settled()
	v := leader.Queen().View()
	if m := v.Meta(); m.ClusterID != got.NewCluster || m.Epoch == was.Epoch || m.Index <= was.Index+1000 || m.Now < was.Now {
		t.Errorf("the new cluster is %+v, the old one was %+v", m, was)
	}
	for _, id := range ids {
		if j, ok := v.Job(id); !ok || j.State != fsm.JobQueued || j.Attempt < fsm.RaisedAttempts {
			t.Errorf("job %s: there %v, %+v", id, ok, j)
		}
	}
	id := ulid.Make().String()
	if _, err := submit(t.Context(), leader, id); err != nil {
		t.Fatalf("the recovered queen takes no work: %v", err)
	}

	for _, n := range lost { // both of them at once: a majority of the past
		n.Config.Boot, n.Config.Bootstrap, n.Config.Join = "", false, nil
		n.Start()
	}
	for _, n := range lost {
		if err := n.Wait(); err == nil || !strings.Contains(err.Error(), "recovered without queen "+n.Name) {
			t.Errorf("%s ended with: %v", n.Name, err)
		}
	}
	old(t, lost[0], left.Config.HTTPURL)
	for _, n := range lost { // now under their old names, with empty directories
		n.Config.DataDir, n.Config.Boot, n.Config.Join = t.TempDir(), "", []string{left.Config.HTTPURL}
		n.Start()
		c.Settled()
	}
	present(t, c, append(ids, id))

	if err := c.Nodes()[0].Queen().Transfer(t.Context(), lost[0].Name); err != nil {
		t.Fatal(err)
	}
	c.Leader(left.Name)
	// A leader that was not recovered itself knows of the past, too.
	_, err = lost[0].Queen().Join(t.Context(), cluster.JoinRequest{ID: "queen-9", Boot: "b", ClusterID: was.ClusterID, Role: fsm.RoleVoter,
		HTTP: "http://127.0.0.1:1", Raft: "127.0.0.1:1", Gossip: "127.0.0.1:1", Level: fsm.CurrentLevel})
	if code(err) != fsm.CodeConflict || !strings.Contains(err.Error(), "recovered without") {
		t.Errorf("a queen of the past at a new leader: %v", err)
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// TestRecoverFromASnapshot has a state of which the log holds only the end, and recovers a
// relay: it has everything, and votes from then on.
func TestRecoverFromASnapshot(t *testing.T) {
	t.Parallel()
	c := clustertest.New(t, 1, nil)
	first := c.Leader()
	hive(t, first)
	relay := c.AddRelay()
	var ids []string
	for i := range 40 {
		id := ulid.Make().String()
		if _, err := submit(t.Context(), relay, id); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
		if i == 20 {
			if err := relay.Queen().Snapshot(); err != nil {
				t.Fatal(err)
			}
		}
	}
	c.EnsureSame()
	killAll(c)
	for round := range 2 { // a second time, as after an interruption
		got, err := cluster.Recover(relay.Config.DataDir, nil)
		if err != nil || got.Jobs.Queued != len(ids) || round == 0 && got.Unsettled == 0 {
			t.Fatalf("recovery %d: %+v, %v", round+1, got, err)
		}
	}
	relay.Config.Role = 0
	relay.Restart()
	c.Settled()
	if !relay.Queen().Status().Established {
		t.Error("the recovered relay does not lead")
	}
	present(t, c, ids)
	old(t, first)
	relay.Kill()
	relay.Restart()
	c.Settled()
	present(t, c, ids)
}

func TestRecoverRefuses(t *testing.T) {
	t.Parallel()
	c := clustertest.New(t, 1, func(c *cluster.Config) { c.Segment = 64 << 10 })
	n := c.Leader()
	hive(t, n)
	dir := n.Config.DataDir
	no := func(what, want string) {
		t.Helper()
		for _, f := range []func() error{
			func() error { _, err := cluster.Inspect(dir, nil); return err },
			func() error { _, err := cluster.Recover(dir, nil); return err },
		} {
			var start *cluster.StartError
			if err := f(); !errors.As(err, &start) || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %q", what, err, want)
			}
		}
	}
	no("a queen that runs", "in use by another queen")
	if err := n.Queen().Snapshot(); err != nil {
		t.Fatal(err)
	}
	n.Stop()
	states, err := filepath.Glob(filepath.Join(dir, "snapshots", "*", "state.bin"))
	if err != nil || len(states) != 1 {
		t.Fatalf("%v, %v", states, err)
	}
	whole := readFile(t, states[0])
	if err := os.WriteFile(states[0], []byte(whole[:len(whole)/2]), 0o600); err != nil {
		t.Fatal(err)
	}
	no("a snapshot that is cut off", "is not whole")
	if err := os.WriteFile(states[0], []byte(whole), 0o600); err != nil {
		t.Fatal(err)
	}
	marker := filepath.Join(dir, "recovering")
	if err := os.WriteFile(marker, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	n.Config.Boot = ""
	if got := refused(t, n); !strings.Contains(got, "queen-rbee recover --data-dir "+dir) {
		t.Errorf("a start in the middle of a recovery: %q", got)
	}
	if err := os.Remove(marker); err != nil {
		t.Fatal(err)
	}
	n.Restart()
	c.Settled()
	n.Stop()
	dir = t.TempDir()
	no("an empty directory", "is not the data directory of a queen")
}
