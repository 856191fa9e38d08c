package clustertest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	"golang.org/x/sys/unix"

	"queen-rbee/cluster"
	"queen-rbee/fsm"
	"queen-rbee/schedule"
)

// Node is one queen of a test, over all its starts.
type Node struct {
	Name   string
	Config cluster.Config // of the next start
	Disk   *Disk          // what all its starts write through
	Clock  *Clock         // of all its starts

	c    *Cluster
	http *httptest.Server
	log  *tail

	mu     sync.Mutex
	queen  *cluster.Queen
	cancel context.CancelCauseFunc
	done   chan struct{}
	err    error
}

// NewNode makes a queen that is not started and not one of Nodes.
func (c *Cluster) NewNode(name string) *Node {
	n := &Node{Name: name, Disk: &Disk{}, Clock: &Clock{}, c: c, log: &tail{}}
	c.mu.Lock()
	c.made = append(c.made, n)
	c.mu.Unlock()
	n.http = httptest.NewServer(http.HandlerFunc(n.serve))
	c.fabric.own(strings.TrimPrefix(n.http.URL, "http://"), name)
	cfg := cluster.Default()
	cfg.Name, cfg.DataDir, cfg.Token, cfg.Version = name, c.t.TempDir(), Token, "test"
	cfg.RaftAddr, cfg.GossipAddr, cfg.HTTPURL = c.reserve(), c.reserve(), n.http.URL
	cfg.Plan, cfg.Network, cfg.Clock = schedule.Plan, port{c.fabric, name}, n.Clock.Now
	cfg.Faults = cluster.Faults{Log: n.Disk.log, Votes: n.Disk.votes, Snapshots: n.Disk.snapshots,
		Net: func(t raft.Transport) raft.Transport { return newPost(t, c.fabric) }}
	cfg.Logger = hclog.New(&hclog.LoggerOptions{Name: name, Level: hclog.Debug, Output: n.log})
	cfg.Timings.Heartbeat, cfg.Timings.Election, cfg.Timings.Lease = 500*time.Millisecond, 500*time.Millisecond, 250*time.Millisecond
	cfg.Limits.HiveTimeout = time.Hour // hives of these tests say nothing after they registered
	cfg.Segment = 256 << 10
	cfg.Timings.DiskStall = 0 // disks of test machines do stall
	cfg.Timings.Contact, cfg.Timings.Stable = 10*time.Second, 0
	if c.configure != nil {
		c.configure(&cfg)
	}
	n.Config = cfg
	c.t.Cleanup(func() {
		if c.t.Failed() {
			c.t.Logf("log of %s:\n%s", name, n.log)
		}
	})
	return n
}

// Start runs the queen.
func (n *Node) Start() {
	n.c.t.Helper()
	q, err := cluster.New(n.Config)
	if err != nil {
		n.c.t.Fatalf("%s: %v", n.Name, err)
	}
	if n.c.prepare != nil {
		n.c.prepare(q)
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	done := make(chan struct{})
	n.mu.Lock()
	n.queen, n.cancel, n.done, n.err = q, cancel, done, nil
	n.mu.Unlock()
	go func() {
		defer close(done)
		err := q.Run(ctx)
		n.mu.Lock()
		n.err = err
		n.mu.Unlock()
	}()
}

// Queen is the queen of the newest start.
func (n *Node) Queen() *cluster.Queen {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.queen
}

// Running tells whether the queen was started and has not ended.
func (n *Node) Running() bool {
	n.mu.Lock()
	done := n.done
	n.mu.Unlock()
	if done == nil {
		return false
	}
	select {
	case <-done:
		return false
	default:
		return true
	}
}

// Wait waits for the queen's end and returns Run's error.
func (n *Node) Wait() error {
	n.c.t.Helper()
	select {
	case <-n.done:
	case <-time.After(Patience):
		n.c.t.Fatalf("%s did not end", n.Name)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.err
}

// Stop ends the queen in order.
func (n *Node) Stop() {
	n.c.t.Helper()
	n.keepAddrs()
	n.cancel(nil)
	if err := n.Wait(); err != nil {
		n.c.t.Fatalf("%s ended with: %v", n.Name, err)
	}
}

// Kill ends the queen as a SIGKILL would.
func (n *Node) Kill() {
	n.c.t.Helper()
	n.keepAddrs()
	n.kill()
}

func (n *Node) kill() {
	if n.cancel == nil {
		return
	}
	n.cancel(cluster.ErrAbrupt)
	select {
	case <-n.done:
	case <-time.After(Patience):
		n.c.t.Errorf("%s did not end", n.Name)
	}
}

// Restart starts the queen again on the same data directory and addresses, with neither
// --bootstrap nor --join.
func (n *Node) Restart() {
	n.c.t.Helper()
	n.Config.Boot, n.Config.Bootstrap, n.Config.Join = "", false, nil
	n.Start()
}

// Freed waits until a queen that ended of a sick disk has let go of its data directory, as
// the end of its process would make it.
func (n *Node) Freed() {
	n.c.t.Helper()
	n.c.Eventually(func() error {
		f, err := os.Open(filepath.Join(n.Config.DataDir, "lock"))
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }()
		return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	})
}

func (n *Node) keepAddrs() {
	if s := n.Queen().Status(); s.RaftAddr != "" {
		n.Config.RaftAddr, n.Config.GossipAddr = s.RaftAddr, s.GossipAddr
	}
}

func (n *Node) close() {
	n.http.CloseClientConnections()
	n.http.Close()
}

// ready tells whether the queen has caught up; its end is fatal.
func (n *Node) ready() error {
	select {
	case <-n.Queen().Ready():
		return nil
	default:
	}
	if !n.Running() {
		n.c.t.Fatalf("%s ended: %v", n.Name, n.Wait())
	}
	return fmt.Errorf("%s is not ready: %+v", n.Name, n.Queen().Status())
}

// Log is what the queen has logged lately.
func (n *Node) Log() string { return n.log.String() }

// serve is as much of the HTTP API as joining needs.
func (n *Node) serve(w http.ResponseWriter, r *http.Request) {
	fail := func(status int, code, detail string) {
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(map[string]string{"code": code, "detail": detail})
	}
	q := n.Queen()
	if q == nil || !n.Running() || r.URL.Path != cluster.JoinPath {
		fail(http.StatusServiceUnavailable, fsm.CodeNoLeader, "not here")
		return
	}
	if !q.AuthorizeQueen(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")) {
		fail(http.StatusUnauthorized, fsm.CodeUnauthenticated, "wrong token")
		return
	}
	var req cluster.JoinRequest
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<16))
	if err == nil {
		err = json.Unmarshal(body, &req)
	}
	if err != nil {
		fail(http.StatusBadRequest, fsm.CodeInvalid, err.Error())
		return
	}
	answer, err := q.Join(r.Context(), req)
	var coded *fsm.Error
	switch {
	case errors.As(err, &coded):
		fail(http.StatusConflict, coded.Code, coded.Message)
	case err != nil:
		fail(http.StatusInternalServerError, fsm.CodeInternal, err.Error())
	default:
		_ = json.NewEncoder(w).Encode(answer)
	}
}

// tail keeps the end of a log.
type tail struct {
	mu sync.Mutex
	b  bytes.Buffer
}

const keepLog = 64 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.b.Len() > 2*keepLog {
		kept := append([]byte(nil), t.b.Bytes()[t.b.Len()-keepLog:]...)
		t.b.Reset()
		t.b.Write(kept)
	}
	return t.b.Write(p)
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.b.String()
}
