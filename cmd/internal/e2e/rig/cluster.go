package rig

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"queen-rbee/cmd/rbee-keeper/client"
)

// Model is the one the built-in engine serves.
const Model = "builtin/markov"

// Options of a cluster. The zero value of a field is what the comment says.
type Options struct {
	Queens    int     // 3
	Hives     int     // 2
	Slots     int     // 4 per worker
	TokenRate float64 // tokens per second of each run; 0: as fast as it goes

	HiveTimeout   time.Duration // 3 s
	HiveHeartbeat time.Duration // 200 ms
	Grace         time.Duration // 10 s

	QueenArgs, HiveArgs, WorkerArgs []string

	Cold  bool                                 // start no workers; the first job does
	Proxy bool                                 // queens reach each hive through a Proxy (Cluster.Proxies)
	Place func(process string) (ns, ip string) // network namespaces; nil: none, 127.0.0.1
	Dial  DialFunc                             // how the test reaches processes; nil: as anybody
	Made  func(*Process)                       // called with each queen and hive before its first start
}

func (o *Options) defaults() {
	or := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	or(&o.HiveTimeout, 3*time.Second)
	or(&o.HiveHeartbeat, 200*time.Millisecond)
	or(&o.Grace, 10*time.Second)
	for _, n := range []struct {
		v *int
		d int
	}{{&o.Queens, 3}, {&o.Hives, 2}, {&o.Slots, 4}} {
		if *n.v == 0 {
			*n.v = n.d
		}
	}
	if o.Place == nil {
		o.Place = func(string) (string, string) { return "", "127.0.0.1" }
	}
}

// Cluster is queens and hives under test.
type Cluster struct {
	Options Options
	Dir     string
	Queens  []*Process
	Hives   []*Process
	Proxies []*Proxy // before the hives, with Options.Proxy

	Key, Token, HiveToken string

	http   *http.Client
	extras []*Process
}

// Start brings a cluster up, ready to serve, and ends it with the test.
func Start(t testing.TB, o Options) *Cluster {
	t.Helper()
	needProc(t)
	o.defaults()
	c := New(t, o)
	c.startQueens(t)
	c.startHives(t)
	if !o.Cold {
		c.Warm(t)
	}
	return c
}

// New is a cluster without processes.
func New(t testing.TB, o Options) *Cluster {
	t.Helper()
	o.defaults()
	dir, err := os.MkdirTemp(root, "cluster-")
	if err != nil {
		t.Fatal(err)
	}
	var secret [12]byte
	_, _ = rand.Read(secret[:]) // never fails
	c := &Cluster{Options: o, Dir: dir, Token: fmt.Sprintf("rbee-e2e-%x", secret), http: httpClient(o.Dial)}
	t.Cleanup(func() { c.end(t) })
	return c
}

func needProc(t testing.TB) {
	t.Helper()
	if _, err := os.Stat("/proc/self/environ"); err != nil {
		t.Skip("this system has no /proc: processes left behind could not be found and ended")
	}
}

// Process makes one more program of this cluster; it is not started.
func (c *Cluster) Process(name, bin string, args ...string) *Process {
	p := &Process{Name: name, Bin: Bin(bin), Args: args, Dir: filepath.Join(c.Dir, name), cluster: c.Dir}
	c.extras = append(c.extras, p)
	return p
}

// Queen makes a queen that will join, or found, the cluster. It is not started.
func (c *Cluster) Queen(t testing.TB, name string, args ...string) *Process {
	t.Helper()
	ns, ip := c.Options.Place(name)
	addr := func() string { return onHost(Addr(t), ip) }
	web := addr()
	o := c.Options
	p := c.Process(name, "queen-rbee", "serve", "--name", name, "--data-dir", filepath.Join(c.Dir, name, "data"),
		"--http-addr", web, "--raft-addr", addr(), "--gossip-addr", addr(), "--token", c.Token, "--log-level", "debug", "--disk-stall", "30s", // one disk for all, with other work
		"--autopilot-stable", "500ms", "--autopilot-contact", "5s", // it has little to do beside what is tested
		"--hive-timeout", o.HiveTimeout.String(), "--hive-heartbeat", o.HiveHeartbeat.String(), "--grace", o.Grace.String())
	p.Args = append(append(p.Args, o.QueenArgs...), args...)
	p.URL, p.Net = "http://"+web, ns
	return p
}

func onHost(addr, ip string) string { return ip + addr[strings.LastIndex(addr, ":"):] }

// startQueens starts the first alone, because the others join it.
func (c *Cluster) startQueens(t testing.TB) {
	t.Helper()
	for i := range c.Options.Queens {
		way := []string{"--bootstrap"}
		if i > 0 {
			way = []string{"--join", strings.TrimPrefix(c.Queens[0].URL, "http://")}
		}
		q := c.Queen(t, fmt.Sprintf("queen-%d", i+1), way...)
		c.Queens = append(c.Queens, q)
		c.made(q)
		if err := q.Launch(); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			c.AwaitLeader(t, q)
			key, err := os.ReadFile(filepath.Join(q.DataDir(), "admin.key"))
			if err != nil {
				t.Fatal(err)
			}
			c.Key = strings.TrimSpace(string(key))
		}
	}
	c.AwaitMembers(t, c.Queens...)
	var tokens client.JoinTokens
	if _, err := c.GetAny(t.Context(), "/v2/cluster/token", &tokens); err != nil {
		t.Fatalf("hive token: %v", err)
	}
	c.HiveToken = tokens.HiveToken
}

// Hive makes a hive; it is not started. queens it knows are given by Args later or now.
func (c *Cluster) Hive(t testing.TB, id, name string, queens []*Process, args ...string) *Process {
	t.Helper()
	ns, ip := c.Options.Place(name)
	addr := onHost(Addr(t), ip)
	p := c.Process(name, "rbee-hive", "serve", "--id", id, "--addr", addr, "--data-dir", filepath.Join(c.Dir, name, "data"),
		"--config", c.hiveConfig(t, name), "--token", c.HiveToken, "--log-level", "debug", "--offline-after", c.Options.HiveTimeout.String())
	for _, q := range queens {
		p.Args = append(p.Args, "--queen", q.URL)
	}
	p.Args = append(append(p.Args, c.Options.HiveArgs...), args...)
	p.URL, p.Net = "http://"+addr, ns
	return p
}

func (c *Cluster) hiveConfig(t testing.TB, name string) string {
	t.Helper()
	var args []string
	if c.Options.TokenRate > 0 {
		args = append(args, `"--tokens-per-second"`, fmt.Sprintf(`"%g"`, c.Options.TokenRate))
	}
	for _, a := range c.Options.WorkerArgs {
		args = append(args, fmt.Sprintf("%q", a))
	}
	dir := filepath.Join(c.Dir, name)
	path := filepath.Join(dir, "hive.yaml")
	text := fmt.Sprintf("engines:\n  builtin: {binary: %q, slots: %d, args: [%s]}\n", Bin("rbee-worker"), c.Options.Slots, strings.Join(args, ", "))
	if err := errors.Join(os.MkdirAll(dir, 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
		t.Fatal(err)
	}
	return path
}

func (c *Cluster) startHives(t testing.TB) {
	t.Helper()
	for i := range c.Options.Hives {
		name := fmt.Sprintf("hive-%d", i+1)
		h := c.Hive(t, name, name, c.Queens)
		if c.Options.Proxy {
			p := NewProxy(t, strings.TrimPrefix(h.URL, "http://"))
			c.Proxies = append(c.Proxies, p)
			h.Args = append(h.Args, "--advertise-url", p.URL)
		}
		c.Hives = append(c.Hives, h)
		c.made(h)
		if err := h.Launch(); err != nil {
			t.Fatal(err)
		}
	}
	for _, h := range c.Hives {
		c.AwaitHive(t, h.Name, "online")
	}
}

func (c *Cluster) made(p *Process) {
	if c.Options.Made != nil {
		c.Options.Made(p)
	}
}

// Warm waits until each hive has a worker that is ready and idle, and starts one where there is none.
func (c *Cluster) Warm(t testing.TB) {
	t.Helper()
	for _, h := range c.Hives {
		Await(t, readyTime, "an idle worker on "+h.Name, func(ctx context.Context) error {
			var list struct{ Items []client.Worker }
			if _, err := c.GetAny(ctx, "/v2/workers?limit=1000&consistency=strong", &list); err != nil {
				return err
			}
			coming := false
			for _, w := range list.Items {
				if w.Hive == h.Name && w.State == "idle" {
					return nil
				}
				coming = coming || w.Hive == h.Name && w.State != "stopped" && w.State != "failed"
			}
			if coming {
				return fmt.Errorf("workers: %+v", list.Items)
			}
			_, err := c.PostAny(ctx, "/v2/workers/spawn?wait=20s", client.Spawn{Model: Model, Hive: h.Name}, nil)
			return errors.Join(err, errors.New("its worker was just started"))
		})
	}
}

// end stops everything and judges the logs.
func (c *Cluster) end(t testing.TB) {
	for _, p := range c.extras {
		if p.Alive() {
			_ = p.signal(syscall.SIGCONT)
		}
		p.finish()
	}
	for _, pid := range marked(markCluster, c.Dir) {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	err := Poll(context.Background(), exitTime, func(context.Context) error {
		if left := marked(markCluster, c.Dir); len(left) > 0 {
			return fmt.Errorf("processes %v live on", left)
		}
		return nil
	})
	if err != nil {
		t.Errorf("the end of the cluster: %v", err)
	}
	c.http.CloseIdleConnections()
	for _, p := range c.extras {
		if trace := stackTrace(p.Log()); trace != "" {
			t.Errorf("%s left a stack trace:\n%s", p.Name, trace)
		}
	}
	if t.Failed() {
		c.keepLogs(t)
	}
	if err := os.RemoveAll(c.Dir); err != nil {
		t.Logf("cleaning up: %v", err)
	}
}

// keepLogs shows the tails, and keeps the whole in RBEE_E2E_LOGS if that names a directory.
func (c *Cluster) keepLogs(t testing.TB) {
	for _, p := range c.extras {
		t.Logf("the end of %s's log:\n%s", p.Name, p.tail(25))
	}
	dir := os.Getenv("RBEE_E2E_LOGS")
	if dir == "" {
		return
	}
	to := filepath.Join(dir, strings.ReplaceAll(t.Name(), "/", "-"), filepath.Base(c.Dir))
	if err := os.CopyFS(to, os.DirFS(c.Dir)); err != nil {
		t.Logf("keeping the logs: %v", err)
	}
	t.Logf("all data and logs are in %s", to)
}

// stackTrace finds what a Go program says when it breaks.
func stackTrace(log string) string {
	for _, sign := range []string{"panic: ", "\ngoroutine ", "fatal error: ", "WARNING: DATA RACE"} {
		if i := strings.Index(log, sign); i >= 0 {
			return log[max(0, i-400):min(len(log), i+3000)]
		}
	}
	return ""
}
