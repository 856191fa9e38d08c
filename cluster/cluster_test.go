package cluster_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"

	"queen-rbee/cluster"
	"queen-rbee/cluster/clustertest"
	"queen-rbee/fsm"
	"queen-rbee/schedule"
)

func TestMain(m *testing.M) { clustertest.VerifyTestMain(m) }

const model = "builtin/markov"

// submit asks for a job at a queen.
func submit(ctx context.Context, n *clustertest.Node, id string) (schedule.Answer, error) {
	return n.Queen().Do(ctx, schedule.Request{Submit: &schedule.Submit{Job: fsm.Job{
		ID: id, Tenant: "default", Model: model, API: "task", Path: "/v1/chat/completions",
		Priority: fsm.PriorityInteractive, Detached: true, OnLoss: fsm.LossFail, Body: fsm.PackBody([]byte(`{}`)),
	}}})
}

// hive registers a hive that offers the model and never does anything, so that jobs queue.
func hive(t *testing.T, n *clustertest.Node) {
	t.Helper()
	_, err := n.Queen().Do(t.Context(), schedule.Request{Register: &schedule.Register{
		ID: "hive-1", Boot: ulid.Make().String(), Mode: "network", Facts: fsm.HiveFacts{
			URL: "http://127.0.0.1:1", Version: "test", Devices: []fsm.Device{{ID: "cpu", Kind: "cpu", Total: 1 << 30}},
			Models: []fsm.EngineModel{{Engine: "builtin", Ref: model, VRAM: 1 << 20, Slots: 4}},
		},
	}})
	if err != nil {
		t.Fatal(err)
	}
}

func TestOneQueenLivesOnAfterARestart(t *testing.T) {
	t.Parallel()
	c := clustertest.New(t, 1, nil)
	n := c.Leader()
	hive(t, n)
	id := ulid.Make().String()
	a, err := submit(t.Context(), n, id)
	if err != nil || a.Job != id {
		t.Fatalf("submit: %+v, %v", a, err)
	}
	was := n.Queen().View().Meta()
	n.Stop()
	n.Restart()
	c.Settled()
	v := n.Queen().View()
	if _, ok := v.Job(id); !ok || v.Meta().ClusterID != was.ClusterID || v.Meta().Epoch != was.Epoch {
		t.Errorf("after the restart: job there %v, %+v; before: %+v", ok, v.Meta(), was)
	}
}

func TestThreeQueensAreOne(t *testing.T) {
	t.Parallel()
	c := clustertest.New(t, 3, nil)
	c.Settled()
	hive(t, c.Nodes()[0])
	for _, n := range c.Nodes() {
		id := ulid.Make().String()
		a, err := submit(t.Context(), n, id)
		if err != nil {
			t.Fatalf("submit at %s: %v", n.Name, err)
		}
		for _, other := range c.Nodes() {
			v, err := other.Queen().Strong(t.Context())
			if err != nil {
				t.Fatalf("strong read at %s: %v", other.Name, err)
			}
			if _, ok := v.Job(id); !ok || v.Meta().Index < a.Index {
				t.Errorf("%s does not see what %s acknowledged at %d: it is at %d", other.Name, n.Name, a.Index, v.Meta().Index)
			}
		}
	}
	c.EnsureSame()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := c.Nodes()[0].Queen().WaitIndex(ctx, 1<<40); code(err) != fsm.CodeReplicaBehind {
		t.Errorf("waiting for an index far away: %v", err)
	}
}

// TestManyStrongReadsAtOnce asks a follower for more than one connection's handlers at a time.
func TestManyStrongReadsAtOnce(t *testing.T) {
	t.Parallel()
	c := clustertest.New(t, 3, nil)
	follower := c.Followers()[0]
	var wg sync.WaitGroup
	for range 1000 {
		wg.Go(func() {
			if _, err := follower.Queen().Strong(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// farBehind kills a queen until the log no longer has what it misses, and wants it to catch up
// by a snapshot. It gives the jobs that are to be there. The log is cut by whole files, so they must be small.
func farBehind(t *testing.T, c *clustertest.Cluster, leader, behind *clustertest.Node) (ids []string) {
	t.Helper()
	behind.Kill()
	for range cluster.TrailingLogs + 500 {
		id := ulid.Make().String()
		if _, err := submit(t.Context(), leader, id); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	for _, n := range c.Up() {
		if err := n.Queen().Snapshot(); err != nil {
			t.Fatal(err)
		}
	}
	behind.Restart()
	c.Settled()
	present(t, c, ids)
	if !strings.Contains(behind.Log(), "Installed remote snapshot") {
		t.Error("the test did not reach what it is for: no snapshot was sent")
	}
	return ids
}

func TestAQueenFarBehindIsGivenASnapshot(t *testing.T) {
	t.Parallel()
	c := clustertest.New(t, 3, func(c *cluster.Config) { c.Segment = 64 << 10 })
	hive(t, c.Leader())
	leader := c.Settled()
	ids := farBehind(t, c, leader, c.Followers()[0])
	for _, n := range c.Nodes() {
		n.Kill()
	}
	for _, n := range c.Nodes() {
		n.Restart()
	}
	c.Settled()
	present(t, c, ids)
}
