package e2e

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"queen-rbee/cmd/internal/e2e/rig"
)

// refuses checks that a program ends by itself, with code 1 or 2, and says what to do.
func refuses(t *testing.T, r rig.Ran, code int, words ...string) {
	t.Helper()
	text := strings.ToLower(r.Out + r.Err)
	if r.Code != code {
		t.Errorf("it ended with code %d, want %d:\n%s", r.Code, code, r.Out+r.Err)
	}
	for _, w := range words {
		if !strings.Contains(text, strings.ToLower(w)) {
			t.Errorf("it does not say %q:\n%s", w, r.Out+r.Err)
		}
	}
	if last := r.Err[strings.LastIndex(strings.TrimRight(r.Err, "\n"), "\n")+1:]; strings.Contains(last, "[INFO]") {
		t.Errorf("its last word is no reason: %s", last)
	}
}

// What is wrong on a command line, in the environment or in a file is named, with the fix.
func TestWrongSettingsAreNamed(t *testing.T) {
	t.Parallel()
	c := rig.New(t, rig.Options{})
	dir := func(name string) string { return filepath.Join(c.Dir, name) }
	file := func(name, text string) string {
		path := dir(name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	queen := func(args ...string) []string {
		return append([]string{"serve", "--name", "q", "--data-dir", dir("q"), "--bootstrap", "--http-addr", rig.Addr(t),
			"--raft-addr", rig.Addr(t), "--gossip-addr", rig.Addr(t)}, args...)
	}
	hive := func(args ...string) []string {
		return append([]string{"serve", "--id", "h", "--data-dir", dir("h"), "--addr", rig.Addr(t),
			"--queen", "http://" + rig.Addr(t), "--token", "rbeehive-0123456789"}, args...)
	}
	for _, tc := range []struct {
		name, bin string
		env, args []string
		code      int
		says      []string
	}{
		{name: "unknown command", bin: "queen-rbee", args: []string{"swarm"}, code: 2, says: []string{"swarm"}},
		{name: "unknown flag", bin: "queen-rbee", args: queen("--bees"), code: 2, says: []string{"--bees"}},
		{name: "argument", bin: "queen-rbee", args: queen("now"), code: 2, says: []string{"now"}},
		{name: "no name", bin: "queen-rbee", args: []string{"serve"}, code: 2, says: []string{"name"}},
		{name: "bad name", bin: "queen-rbee", args: queen("--name", "a b"), code: 2, says: []string{"name", "a b", "letters"}},
		{name: "not a duration", bin: "queen-rbee", args: queen("--hive-timeout", "soon"), code: 2, says: []string{"hive-timeout", "soon"}},
		{name: "heartbeat above timeout", bin: "queen-rbee", args: queen("--hive-heartbeat", "9s"), code: 2, says: []string{"hive-heartbeat", "hive-timeout"}},
		{name: "bad level", bin: "queen-rbee", args: queen("--log-level", "loud"), code: 2, says: []string{"log-level", "loud", "debug"}},
		{name: "bad address", bin: "queen-rbee", args: queen("--raft-addr", "nowhere"), code: 2, says: []string{"raft-addr", "nowhere", "host:port"}},
		{name: "everywhere without a host", bin: "queen-rbee", args: queen("--raft-addr", "0.0.0.0:0"), code: 2, says: []string{"advertise-host"}},
		{name: "short token", bin: "queen-rbee", args: queen("--token", "short"), code: 2, says: []string{"token"}},
		{name: "bad environment", bin: "queen-rbee", env: []string{"RBEE_PARK=forever"}, args: queen(), code: 2, says: []string{"RBEE_PARK", "forever"}},
		{name: "no config file", bin: "queen-rbee", args: queen("--config", dir("none.yaml")), code: 2, says: []string{"none.yaml"}},
		{name: "unknown key", bin: "queen-rbee", args: queen("--config", file("a.yaml", "grace: 5s\ngrce: 5s\n")), code: 2, says: []string{"a.yaml", "line 2", "grce"}},
		{name: "no way in", bin: "queen-rbee", args: []string{"serve", "--name", "q", "--data-dir", dir("q0"), "--http-addr", rig.Addr(t), "--raft-addr", rig.Addr(t), "--gossip-addr", rig.Addr(t)}, code: 1, says: []string{"--bootstrap", "--join"}},
		{name: "data dir is a file", bin: "queen-rbee", args: queen("--data-dir", file("plain", "x")), code: 1, says: []string{"plain"}},
		{name: "no such key file", bin: "queen-rbee", args: queen("--api-key-file", dir("nokey")), code: 2, says: []string{"api-key-file", "nokey"}},
		{name: "hive: unknown flag", bin: "rbee-hive", args: hive("--bees"), code: 2, says: []string{"--bees"}},
		{name: "hive: no queen", bin: "rbee-hive", args: []string{"serve", "--id", "h", "--data-dir", dir("h"), "--token", "rbeehive-0123456789"}, code: 2, says: []string{"queen", "http://"}},
		{name: "hive: no token", bin: "rbee-hive", args: []string{"serve", "--id", "h", "--data-dir", dir("h"), "--queen", "http://127.0.0.1:1"}, code: 2, says: []string{"token", "queens token"}},
		{name: "hive: bad id", bin: "rbee-hive", args: hive("--id", "a b"), code: 2, says: []string{"id", "a b"}},
		{name: "hive: bad environment", bin: "rbee-hive", env: []string{"RBEE_RETAIN_RUNS=ever"}, args: hive(), code: 2, says: []string{"RBEE_RETAIN_RUNS", "ever"}},
		{name: "hive: unknown key", bin: "rbee-hive", args: hive("--config", file("h.yaml", "engines:\n  builtin: {slot: 2}\n")), code: 2, says: []string{"h.yaml", "line 2", "slot"}},
		{name: "hive: no such engine", bin: "rbee-hive", args: hive("--config", file("e.yaml", "engines:\n  builtin: {binary: /nowhere/rbee-worker}\n")), code: 2, says: []string{"engines.builtin.binary", "/nowhere/rbee-worker"}},
		{name: "worker: unknown flag", bin: "rbee-worker", args: []string{"--bees"}, code: 2, says: []string{"--bees"}},
		{name: "worker: no slots", bin: "rbee-worker", args: []string{"--slots", "0"}, code: 2, says: []string{"slots"}},
		{name: "worker: no model file", bin: "rbee-worker", args: []string{"--model-path", dir("nomodel")}, code: 1, says: []string{"nomodel"}},
		{name: "keeper: unknown command", bin: "rbee-keeper", args: []string{"swarm"}, code: 2, says: []string{"swarm"}},
		{name: "keeper: bad URL", bin: "rbee-keeper", args: []string{"--queen", "ftp://x", "status"}, code: 2, says: []string{"ftp://x"}},
		{name: "keeper: bad output", bin: "rbee-keeper", args: []string{"-o", "xml", "status"}, code: 2, says: []string{"output", "xml", "json"}},
		{name: "keeper: nobody there", bin: "rbee-keeper", args: []string{"--queen", "http://" + rig.Addr(t), "--patience", "300ms", "status"}, code: 3, says: []string{"no queen reachable", "--queen"}},
	} {
		t.Run(tc.name, func(t *testing.T) { refuses(t, c.Run(t, tc.bin, tc.env, tc.args...), tc.code, tc.says...) })
	}
}

// taken listens on an address until the test ends.
func taken(t *testing.T, network string) string {
	t.Helper()
	addr := rig.Addr(t)
	if network == "udp" {
		l, err := net.ListenPacket("udp", addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() })
		return addr
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return addr
}

// A port in use, somebody else's data directory, a cluster that is not there: each start is
// refused for its reason.
func TestImpossibleStartsAreRefused(t *testing.T) {
	t.Parallel()
	c := rig.Start(t, rig.Options{Queens: 1, Hives: 1})
	other := rig.Start(t, rig.Options{Queens: 1, Hives: 1})
	first := c.Queens[0]
	try := func(t *testing.T, p *rig.Process) rig.Ran {
		t.Helper()
		return c.Run(t, filepath.Base(p.Bin), nil, p.Args...)
	}
	with := func(p *rig.Process, flag, value string) *rig.Process {
		p.Args = append(slices.Clone(p.Args), flag, value)
		return p
	}
	for _, port := range []string{"http", "raft", "gossip"} {
		t.Run(port+" port in use", func(t *testing.T) {
			addr := taken(t, "tcp")
			q := with(c.Queen(t, "busy-"+port, "--bootstrap"), "--"+port+"-addr", addr)
			r := try(t, q)
			if r.Code != 1 && r.Code != 2 {
				t.Errorf("code %d", r.Code)
			}
			refuses(t, r, r.Code, addr, "in use", port)
		})
	}
	t.Run("gossip's UDP port in use", func(t *testing.T) {
		addr := taken(t, "udp")
		r := try(t, with(c.Queen(t, "busy-udp", "--bootstrap"), "--gossip-addr", addr))
		refuses(t, r, max(r.Code, 1), addr, "in use")
	})
	t.Run("nobody at the address to join", func(t *testing.T) {
		addr := rig.Addr(t)
		refuses(t, try(t, c.Queen(t, "lonely", "--join", addr)), 1, addr, "check")
	})
	t.Run("data dir in use", func(t *testing.T) {
		q := with(c.Queen(t, first.Name, "--bootstrap"), "--data-dir", first.DataDir())
		refuses(t, try(t, q), 1, first.DataDir(), "in use")
	})
	t.Run("data dir of another queen", func(t *testing.T) {
		q := c.Queen(t, "renamed", "--bootstrap")
		copyDir(t, first.DataDir(), q.DataDir())
		refuses(t, try(t, q), 1, q.DataDir(), first.Name, "--name")
	})
	t.Run("data dir of another cluster", func(t *testing.T) {
		dir := filepath.Join(c.Dir, "copied")
		copyDir(t, first.DataDir(), dir)
		q := with(c.Queen(t, "copy", "--join", other.Queens[0].URL, "--name", first.Name), "--data-dir", dir)
		refuses(t, try(t, q), 1, "token") // with this cluster's token
		q = with(other.Queen(t, "copy", "--join", other.Queens[0].URL, "--name", first.Name), "--data-dir", dir)
		refuses(t, try(t, q), 1, "token", dir) // with the other's
		if err := os.WriteFile(filepath.Join(dir, "cluster.token"), []byte(other.Token+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		refuses(t, try(t, q), 1, "cluster", "--data-dir") // even one who helps himself
	})
	t.Run("hive: port in use", func(t *testing.T) {
		addr := taken(t, "tcp")
		refuses(t, try(t, with(c.Hive(t, "h", "busy-hive", c.Queens), "--addr", addr)), 1, addr, "in use")
	})
	t.Run("hive: data dir in use", func(t *testing.T) {
		h := c.Hives[0]
		refuses(t, try(t, with(c.Hive(t, "h", "twin-hive", c.Queens), "--data-dir", h.DataDir())), 1, h.DataDir(), "in use")
	})
	t.Run("hive: damaged state file", func(t *testing.T) {
		h := c.Hive(t, "h", "bad-hive", c.Queens)
		path := filepath.Join(h.DataDir(), "agent.json")
		if err := os.MkdirAll(h.DataDir(), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(`{"version":1,"proc`), 0o600); err != nil {
			t.Fatal(err)
		}
		refuses(t, try(t, h), 1, path, "damaged", "remove")
	})
	t.Run("hive: wrong token", func(t *testing.T) {
		h := c.Hive(t, "h", "wrong-token-hive", c.Queens)
		h.Args = append(h.Args, "--token", "rbeehive-ffffffffffffffffffff")
		if err := h.Launch(); err != nil {
			t.Fatal(err)
		}
		rig.Await(t, streamTime, "the reason", func(context.Context) error {
			if w := strings.ToLower(warnings(h) + lastLine(h)); !strings.Contains(w, "token") {
				return fmt.Errorf("it says %s", w)
			}
			return nil
		})
	})
	t.Run("worker: port in use", func(t *testing.T) {
		addr := taken(t, "tcp")
		refuses(t, c.Run(t, "rbee-worker", nil, "--addr", addr), 1, addr, "in use", "--addr")
	})
	t.Run("keeper: wrong key", func(t *testing.T) {
		r := c.Run(t, "rbee-keeper", []string{"RBEE_QUEENS=" + first.URL, "RBEE_API_KEY=nobody"}, "jobs", "list")
		refuses(t, r, 1, "unauthenticated", "--api-key")
	})
	if !first.Alive() || !other.Queens[0].Alive() {
		t.Error("a queen ended over somebody else's mistake")
	}
	c.CheckEqual(t)
}

func lastLine(p *rig.Process) string {
	log := strings.TrimRight(p.Log(), "\n")
	return log[strings.LastIndex(log, "\n")+1:]
}

func copyDir(t *testing.T, from, to string) {
	t.Helper()
	if err := os.RemoveAll(to); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

// A damaged data directory is refused by the file's name, or what is whole of it is used:
// the state of a queen that starts on it is the old one.
func TestDamagedDataIsNeverServed(t *testing.T) {
	t.Parallel()
	c := rig.Start(t, rig.Options{Queens: 1, Hives: 1})
	short := func(i int) rig.Task { return task(i, 2) }
	jobs := submit(t, c, "job", 30, short)
	c.CheckEnds(t, streamTime, jobs, "complete")
	healthy := c.Queens[0]
	healthy.Term(t)
	saved := filepath.Join(c.Dir, "saved")
	copyDir(t, healthy.DataDir(), saved)

	garble := func(at float64, n int) func([]byte) []byte {
		return func(b []byte) []byte {
			from := int(at * float64(len(b)))
			for i := from; i < min(len(b), from+n); i++ {
				b[i] ^= 0x5a
			}
			return b
		}
	}
	cut := func(part float64) func([]byte) []byte {
		return func(b []byte) []byte { return b[:int(part*float64(len(b)))] }
	}
	text := func(s string) func([]byte) []byte { return func([]byte) []byte { return []byte(s) } }
	for _, tc := range []struct {
		name, file string
		do         func([]byte) []byte
		want       served
	}{
		{name: "identity garbled", file: "identity.json", do: text("{]")},
		{name: "identity empty", file: "identity.json", do: text("")},
		{name: "token empty", file: "cluster.token", do: text("")},
		{name: "stable garbled", file: "stable.db", do: garble(0, 8192)},
		{name: "stable cut", file: "stable.db", do: cut(0.4)},
		{name: "stable empty", file: "stable.db", do: text("")},
		{name: "wal meta garbled", file: "wal/wal-meta.db", do: garble(0, 8192)},
		{name: "wal head garbled", file: "wal/*.wal", do: garble(0, 64)},
		{name: "wal empty", file: "wal/*.wal", do: text("")},
		{name: "wal entry garbled", file: "wal/*.wal", want: someOfIt, do: func(b []byte) []byte {
			return garble(0.5*float64(used(b))/float64(len(b)), 16)(b)
		}},
		{name: "wal cut short", file: "wal/*.wal", want: someOfIt, do: func(b []byte) []byte { return b[:used(b)/2] }},
		{name: "write torn after the last entry", file: "wal/*.wal", want: allOfIt, do: func(b []byte) []byte {
			end := used(b)
			end += 8 - end%8
			copy(b[end:], "\x01\x00\x00\x00\x00\x10\x00\x00this was on its way to the disk when the power failed")
			return b
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			copyDir(t, saved, healthy.DataDir())
			damage(t, healthy.DataDir(), tc.file, tc.do)
			healthy.Restart(t)
			defer func() { // whatever became of it, the next case starts from the saved data
				if healthy.Alive() {
					healthy.Kill(t)
				}
			}()
			if serves(t, c, healthy) {
				judge(t, c, jobs, tc.want)
				return
			}
			if code := healthy.ExitCode(); code != 1 && code != 2 {
				t.Errorf("it ended with code %d, want 1 or 2", code)
			}
			last := lastLine(healthy)
			if tc.want == allOfIt || !strings.Contains(last, healthy.DataDir()) {
				t.Errorf("its last word does not name what is damaged and what to do: %s", last)
			}
			t.Log(last)
		})
	}
}

// served is what a queen may serve from damaged data, if she starts at all.
type served int

const (
	nothing  served = iota
	someOfIt        // the beginning of her log, up to the damage
	allOfIt         // and she must start
)

// used is the length of a file without the zeros behind its content.
func used(b []byte) int {
	n := len(b)
	for n > 0 && b[n-1] == 0 {
		n--
	}
	return n
}

func damage(t *testing.T, dir, pattern string, do func([]byte) []byte) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(files) == 0 {
		t.Fatalf("no file %s in %s (%v)", pattern, dir, err)
	}
	path := files[len(files)-1]
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, do(data), 0o600); err != nil {
		t.Fatal(err)
	}
}

// serves waits until a queen serves with a leader, or has ended.
func serves(t *testing.T, c *rig.Cluster, q *rig.Process) (ready bool) {
	t.Helper()
	rig.Await(t, 20*time.Second, q.Name+" serving or ending", func(ctx context.Context) error {
		if !q.Alive() {
			return nil
		}
		if _, err := c.Get(ctx, q.URL+"/ready?leader=1", nil); err != nil {
			return err
		}
		ready = true
		return nil
	})
	return ready
}

// judge looks at what a queen serves from damaged data.
func judge(t *testing.T, c *rig.Cluster, jobs []string, want served) {
	t.Helper()
	there := rows(t, c)
	n := 0
	for _, id := range jobs {
		if _, ok := there[id]; ok {
			n++
		}
	}
	switch {
	case want == nothing:
		t.Errorf("it serves %d of %d jobs although it should have refused to start", n, len(jobs))
	case want == allOfIt && n < len(jobs):
		t.Errorf("it has lost %d of %d jobs", len(jobs)-n, len(jobs))
	default:
		t.Logf("it serves %d of %d jobs", n, len(jobs))
	}
}
