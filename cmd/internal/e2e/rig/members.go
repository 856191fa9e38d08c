package rig

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"queen-rbee/cmd/rbee-keeper/client"
)

// readyTime is what processes get to start or to agree, on a machine with other work.
const readyTime = 30 * time.Second

// Living are the queens that run; one stopped by a signal does not.
func (c *Cluster) Living() []*Process {
	var up []*Process
	for _, q := range c.Queens {
		if q.Alive() && !q.Frozen() {
			up = append(up, q)
		}
	}
	return up
}

// URLs of processes.
func URLs(ps []*Process) []string {
	var urls []string
	for _, p := range ps {
		urls = append(urls, p.URL)
	}
	return urls
}

// API is the keeper's client of the living queens, or of those given. It is used to set
// scenes, not to judge.
func (c *Cluster) API(t testing.TB, queens ...*Process) *client.Client {
	t.Helper()
	if len(queens) == 0 {
		queens = c.Living()
	}
	api, err := client.New(client.Config{Queens: URLs(queens), APIKey: c.Key, Patience: readyTime})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(api.Close)
	return api
}

// AwaitLeader waits until a queen serves and knows a leader.
func (c *Cluster) AwaitLeader(t testing.TB, q *Process) {
	t.Helper()
	Await(t, readyTime, q.Name+" knowing a leader", func(ctx context.Context) error {
		if !q.Alive() {
			t.Fatalf("%s ended with code %d:\n%s", q.Name, q.ExitCode(), q.tail(20))
		}
		_, err := c.Get(ctx, q.URL+"/ready?leader=1", nil)
		return err
	})
}

// ClusterAt is what one queen says of the cluster.
func (c *Cluster) ClusterAt(ctx context.Context, q *Process) (client.Cluster, error) {
	var cl client.Cluster
	_, err := c.Get(ctx, q.URL+"/v2/cluster", &cl)
	return cl, err
}

// AwaitMembers waits until each of the queens sees exactly these as living voters.
func (c *Cluster) AwaitMembers(t testing.TB, queens ...*Process) {
	t.Helper()
	for _, q := range queens {
		c.AwaitLeader(t, q)
		Await(t, readyTime, q.Name+" seeing all members", func(ctx context.Context) error {
			cl, err := c.ClusterAt(ctx, q)
			if err != nil {
				return err
			}
			if len(cl.Queens) != len(queens) {
				return fmt.Errorf("it sees %+v", cl.Queens)
			}
			for _, m := range cl.Queens {
				if !m.Votes || m.Status != "alive" {
					return fmt.Errorf("it sees %+v", m)
				}
			}
			return nil
		})
	}
}

// Leader is the living queen that the living ones agree on, and Followers the others.
func (c *Cluster) Leader(t testing.TB) (leader *Process, followers []*Process) {
	t.Helper()
	Await(t, readyTime, "agreeing on a leader", func(ctx context.Context) error {
		leader, followers = nil, nil
		said := map[string]int{}
		for _, q := range c.Living() {
			cl, err := c.ClusterAt(ctx, q)
			if err != nil {
				return err
			}
			said[cl.Leader]++
		}
		for _, q := range c.Living() {
			if said[q.Name] == len(c.Living()) {
				leader = q
			} else {
				followers = append(followers, q)
			}
		}
		if leader == nil {
			return fmt.Errorf("they say %v", said)
		}
		return nil
	})
	return leader, followers
}

// HiveAt is the queens' row of a hive.
type HiveAt struct {
	ID, Status, Desired string
	Incarnation         uint64
	Workers             []string
}

// HiveRow asks for a hive with every change acknowledged so far.
func (c *Cluster) HiveRow(ctx context.Context, id string) (HiveAt, error) {
	var h HiveAt
	_, err := c.GetAny(ctx, "/v2/hives/"+id+"?consistency=strong", &h)
	return h, err
}

// AwaitHive waits for a status of a hive.
func (c *Cluster) AwaitHive(t testing.TB, id, status string) {
	t.Helper()
	Await(t, readyTime, id+" becoming "+status, func(ctx context.Context) error {
		h, err := c.HiveRow(ctx, id)
		if err == nil && h.Status != status {
			err = fmt.Errorf("it is %s", h.Status)
		}
		return err
	})
}

// Worker is an engine process of a hive.
type Worker struct {
	Pid int
	URL string
}

// WorkersOf finds the living engine processes that a hive started, over all its starts.
func (c *Cluster) WorkersOf(h *Process) []Worker {
	var ws []Worker
	for _, pid := range marked(markProcess, h.Dir) {
		args := commandLine(pid)
		if len(args) > 0 && filepath.Base(args[0]) == "rbee-worker" {
			ws = append(ws, Worker{Pid: pid, URL: "http://" + flagOf(args, "--addr")})
		}
	}
	return ws
}

// AwaitWorkers waits until a hive has so many engine processes and gives them.
func (c *Cluster) AwaitWorkers(t testing.TB, h *Process, n int) []Worker {
	t.Helper()
	var ws []Worker
	Await(t, readyTime, fmt.Sprintf("%s having %d workers", h.Name, n), func(context.Context) error {
		if ws = c.WorkersOf(h); len(ws) != n {
			return fmt.Errorf("it has %v", ws)
		}
		return nil
	})
	return ws
}

// Kill sends SIGKILL to an engine process of this cluster.
func (w Worker) Kill(t testing.TB) {
	t.Helper()
	if err := syscall.Kill(w.Pid, syscall.SIGKILL); err != nil {
		t.Fatalf("worker %d: %v", w.Pid, err)
	}
}

// Busy counts the requests inside an engine, by the engine's own word.
func (c *Cluster) Busy(ctx context.Context, w Worker) (int, error) {
	var slots []struct {
		IsProcessing bool `json:"is_processing"`
	}
	if _, err := c.Get(ctx, w.URL+"/slots", &slots); err != nil {
		return 0, err
	}
	n := 0
	for _, s := range slots {
		if s.IsProcessing {
			n++
		}
	}
	return n, nil
}

// RunLogs are the attempts of a job that a hive has a run log of, by the files on its disk.
func RunLogs(t testing.TB, h *Process, job string) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(h.DataDir(), func(path string, d os.DirEntry, err error) error {
		if err == nil && strings.Contains(d.Name(), job) {
			found = append(found, path)
		}
		return err
	})
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return found
}

// Marked are the pids of everything alive that this cluster's processes started.
func (c *Cluster) Marked() []int { return marked(markCluster, c.Dir) }
