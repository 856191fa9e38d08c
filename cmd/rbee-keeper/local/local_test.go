package local

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// fakes is a directory with the fake binaries.
func fakes(t *testing.T) func(string) (string, error) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, name := range []string{"queen-rbee", "rbee-hive"} {
		if err := os.Symlink(self, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return func(name string) (string, error) { return filepath.Join(dir, name), nil }
}

// said collects what Say is told.
type said struct {
	mu  sync.Mutex
	all []string
}

func (s *said) say(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, text)
}

func (s *said) has(text string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Contains(strings.Join(s.all, "\n"), text)
}

func newLocal(t *testing.T, change func(*Config)) (*Cluster, *said) {
	t.Helper()
	s := &said{}
	cfg := Config{Dir: filepath.Join(t.TempDir(), "d"), Queens: 2, Hives: 1, Slots: 3, TokenRate: 25, Find: fakes(t), Say: s.say}
	if change != nil {
		change(&cfg)
	}
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(c.Dir(), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Stop()
		for _, pid := range descendants(c.Dir()) {
			t.Errorf("pid %d was left behind", pid)
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	})
	return c, s
}

func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-deadline:
			t.Fatalf("never: %s", what)
		case <-tick.C:
		}
	}
}

func read(t *testing.T, path ...string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestLife(t *testing.T) {
	t.Setenv("RBEE_TOKEN", "must not be inherited")
	c, s := newLocal(t, nil)
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	env := read(t, c.Dir(), "dev.env")
	for _, want := range []string{"RBEE_QUEENS=" + strings.Join(c.QueenURLs(), ",") + "\n", "RBEE_API_KEY=the-key\n", "RBEE_HIVES=" + c.HiveURLs()[0] + "\n", "\nexport "} {
		if !strings.Contains(env, want) {
			t.Errorf("dev.env lacks %q:\n%s", want, env)
		}
	}
	if y := read(t, c.Dir(), "hive-1", "hive.yaml"); !strings.Contains(y, `builtin: {slots: 3, args: ["--tokens-per-second", "25"]}`) {
		t.Error(y)
	}
	if len(descendants(c.Dir())) != 3 || !strings.Contains(read(t, c.Dir(), "queen-2", "log"), "queen-2 serves") {
		t.Errorf("processes %v", descendants(c.Dir()))
	}
	if _, err := New(c.cfg); err != nil {
		t.Fatal(err)
	}
	second, _ := New(c.cfg)
	if err := second.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "is in use: queen-1 runs there") {
		t.Errorf("a second dev in the same directory: %v", err)
	}

	// Killed from outside, started again from another terminal, found, and ended with the rest.
	ctx, cancel := context.WithCancel(t.Context())
	watched := make(chan struct{})
	go func() { c.Watch(ctx); close(watched) }()
	old := readPid(c.queens[1])
	if err := syscall.Kill(old, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	until(t, "the death is told", func() bool { return s.has("queen-2 (pid") && s.has("killed by SIGKILL") })
	if _, err := Restart(t.Context(), c.Dir(), "queen-1"); err == nil || !strings.Contains(err.Error(), "runs already") {
		t.Errorf("a second queen-1: %v", err)
	}
	if _, err := Restart(t.Context(), c.Dir(), "queen-9"); err == nil || !strings.Contains(err.Error(), "there are queen-1, queen-2, hive-1") {
		t.Errorf("an unknown queen: %v", err)
	}
	pid, err := Restart(t.Context(), c.Dir(), "queen-2")
	if err != nil || pid == old || readPid(c.queens[1]) != pid {
		t.Fatalf("pid %d, %v", pid, err)
	}
	until(t, "it is back", func() bool { return s.has("queen-2 is back") })
	cancel()
	<-watched
	if err := c.Stop(); err != nil {
		t.Error(err)
	}
	if left := descendants(c.Dir()); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}

	// The same directory goes on at the same ports.
	again, _ := New(c.cfg)
	defer func() { _ = again.Stop() }()
	if err := again.Start(t.Context()); err != nil || again.QueenURLs()[1] != c.QueenURLs()[1] || again.HiveURLs()[0] != c.HiveURLs()[0] {
		t.Errorf("again: %v, %v", err, again.QueenURLs())
	}
	other, _ := New(Config{Dir: c.Dir(), Queens: 1, Slots: 1, TokenRate: 1, Find: c.cfg.Find})
	_ = again.Stop()
	if err := other.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "holds a cluster of 2 queens, 0 relays and 1 hives") {
		t.Errorf("another size: %v", err)
	}
}

func TestRelays(t *testing.T) {
	c, s := newLocal(t, func(cfg *Config) { cfg.Relays, cfg.Hives = 2, 0 })
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if v, r, q := c.VoterURLs(), c.RelayURLs(), c.QueenURLs(); len(v) != 2 || len(r) != 2 || !slices.Equal(slices.Concat(v, r), q) {
		t.Fatalf("voters %v, relays %v, queens %v", v, r, q)
	}
	if env := read(t, c.Dir(), "dev.env"); !strings.Contains(env, "RBEE_QUEENS="+strings.Join(c.QueenURLs(), ",")+"\n") {
		t.Errorf("clients are not told of the relays:\n%s", env)
	}
	if !s.has("2 queens are up") || !s.has("2 relays are up") {
		t.Errorf("said %v", s.all)
	}
	if err := c.Kill(t.Context(), "relay-1"); err != nil {
		t.Fatal(err)
	}
	if _, err := Restart(t.Context(), c.Dir(), "relay-1"); err != nil {
		t.Fatal(err)
	}
	if role := read(t, c.Dir(), "relay-1", "data", "member.json"); !strings.Contains(role, `"relay"`) {
		t.Errorf("it came back as %s", role)
	}
	if err := c.Stop(); err != nil {
		t.Fatal(err)
	}

	again, _ := New(c.cfg)
	defer func() { _ = again.Stop() }()
	if err := again.Start(t.Context()); err != nil || !slices.Equal(again.RelayURLs(), c.RelayURLs()) {
		t.Errorf("again: %v, %v", err, again.RelayURLs())
	}
	_ = again.Stop()
	fewer := c.cfg
	fewer.Relays = 1
	other, _ := New(fewer)
	if err := other.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "holds a cluster of 2 queens, 2 relays and 0 hives") {
		t.Errorf("another size: %v", err)
	}
}

func TestKillAndAgain(t *testing.T) {
	c, _ := newLocal(t, nil)
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := c.Again(t.Context(), "queen-1"); err == nil || !strings.Contains(err.Error(), "runs already") {
		t.Errorf("got %v", err)
	}
	for _, name := range []string{"queen-1", "hive-1"} {
		if err := c.Kill(t.Context(), name); err != nil {
			t.Fatal(err)
		}
		if err := c.Kill(t.Context(), name); err == nil {
			t.Error("killed twice")
		}
		if err := c.Again(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFailedStart(t *testing.T) {
	for _, name := range []string{"queen-1", "queen-2", "hive-1"} {
		t.Run(name, func(t *testing.T) {
			c, _ := newLocal(t, nil)
			if err := os.WriteFile(filepath.Join(c.Dir(), faultCrash), []byte(name), 0o600); err != nil {
				t.Fatal(err)
			}
			err := c.Start(t.Context())
			if err == nil || !strings.Contains(err.Error(), name+" ended while starting (exit status 1); its log says:\ncannot go on: made to crash") {
				t.Errorf("got %v", err)
			}
			if err := c.Stop(); err != nil {
				t.Error(err)
			}
			if left := descendants(c.Dir()); len(left) != 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

func TestStartIsCancelled(t *testing.T) {
	c, _ := newLocal(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Start(ctx); err == nil {
		t.Error("started")
	}
}

func TestOrphansAreEnded(t *testing.T) {
	c, _ := newLocal(t, nil)
	if err := os.WriteFile(filepath.Join(c.Dir(), faultOrphaned), []byte("hive-1"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := c.Kill(t.Context(), "hive-1"); err != nil {
		t.Fatal(err)
	}
	if n := len(descendants(c.Dir())); n != 3 {
		t.Fatalf("%d processes, want 2 queens and the orphan", n)
	}
	if err := c.Stop(); err != nil {
		t.Error(err)
	}
	if left := descendants(c.Dir()); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestTheDeafAreKilled(t *testing.T) {
	c, _ := newLocal(t, func(cfg *Config) { cfg.Queens, cfg.Hives = 1, 0 })
	c.stopTime = 50 * time.Millisecond
	if err := os.WriteFile(filepath.Join(c.Dir(), faultDeaf), []byte("queen-1"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := c.Stop(); err == nil || !strings.Contains(err.Error(), "queen-1 (pid ") || !strings.Contains(err.Error(), "was killed") {
		t.Errorf("got %v", err)
	}
	if left := descendants(c.Dir()); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestConfigValidate(t *testing.T) {
	good := Config{Dir: "x", Queens: 3, Hives: 2, Slots: 8, TokenRate: 50}
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*Config){
		"queens:": func(c *Config) { c.Queens = 10 }, "relays:": func(c *Config) { c.Relays = 10 }, "hives:": func(c *Config) { c.Hives = -1 }, "slots:": func(c *Config) { c.Slots = 0 },
		"token-rate:": func(c *Config) { c.TokenRate = 0 }, "base-port:": func(c *Config) { c.BasePort = 65530 }, "dir:": func(c *Config) { c.Dir = "" },
	} {
		c := good
		change(&c)
		if err := c.Validate(); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s got %v", want, err)
		}
	}
	missing := good
	missing.HiveConfig = "/nowhere/hive.yaml"
	if _, err := New(missing); err == nil || !strings.Contains(err.Error(), "hive-config") {
		t.Errorf("got %v", err)
	}
}

func TestPorts(t *testing.T) {
	ports, err := pickPorts(0, 12)
	if err != nil || len(ports) != 12 {
		t.Fatal(ports, err)
	}
	seen := map[int]bool{}
	for _, p := range ports {
		if seen[p] {
			t.Errorf("port %d twice", p)
		}
		seen[p] = true
	}
	if got, err := pickPorts(ports[0], 1); err != nil || got[0] != ports[0] {
		t.Error(got, err)
	}
}

func TestForeignPidIsLeftAlone(t *testing.T) {
	if runs(os.Getpid(), "/no/such/cluster") || runs(1, "/") || runs(0, "/") {
		t.Error("a process that is none of ours counts as one")
	}
	if tail("/nowhere", 3) == "" || tail(os.DevNull, 3) != "(its log is empty)" {
		t.Error("tail of nothing")
	}
}
