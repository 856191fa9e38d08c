package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"queen-rbee/cmd/internal/e2e/rig"
)

// The first things a new user does: a cluster on his machine, a prompt, a look around, Ctrl-C.
func TestDevFromStartToCtrlC(t *testing.T) {
	c := rig.New(t, rig.Options{})
	dir := filepath.Join(c.Dir, "home")
	dev := c.Process("dev", "rbee-keeper", "dev", "--queens", "1", "--hives", "1", "--token-rate", "200", "--dir", dir)
	if err := dev.Launch(); err != nil {
		t.Fatal(err)
	}
	dev.AwaitLog(t, streamTime, "ready; Ctrl-C ends it")
	env := devEnv(t, filepath.Join(dir, "dev.env"))
	run := func(args ...string) rig.Ran {
		t.Helper()
		r := c.Run(t, "rbee-keeper", env, args...)
		if r.Code != 0 {
			t.Errorf("rbee-keeper %s ended with code %d: %s%s", strings.Join(args, " "), r.Code, r.Out, r.Err)
		}
		return r
	}
	said := run("infer", rig.Model, "--max-tokens", "12", "--seed", "7", "Once upon a time").Out
	if again := run("infer", rig.Model, "--max-tokens", "12", "--seed", "7", "Once upon a time").Out; strings.TrimSpace(said) == "" || said != again {
		t.Errorf("the same prompt and seed gave %q and %q", said, again)
	}
	if jobs := run("jobs", "list").Out; strings.Count(jobs, "complete") != 2 || strings.Count(jobs, rig.Model) != 2 {
		t.Errorf("jobs list does not show two complete jobs:\n%s", jobs)
	}
	for _, look := range [][]string{{"status"}, {"queens", "list"}, {"hives", "list"}, {"workers", "list"}, {"models", "list"}} {
		out := run(look...).Out
		if strings.TrimSpace(out) == "" {
			t.Errorf("%s says nothing", strings.Join(look, " "))
		}
		if js := run(append(look, "-o", "json")...).Out; !strings.HasPrefix(strings.TrimSpace(js), "{") && !strings.HasPrefix(strings.TrimSpace(js), "[") {
			t.Errorf("%s -o json is no JSON: %s", strings.Join(look, " "), js)
		}
	}
	if n := len(c.Marked()); n < 4 {
		t.Errorf("%d processes carry the mark, want keeper, queen, hive and worker: the count below would prove nothing", n)
	}
	// A terminal sends it to the whole group, of which only dev may be one: what it runs is to
	// end in order.
	for _, pid := range c.Marked() {
		if group, err := syscall.Getpgid(pid); err == nil && group == dev.Pid() && pid != dev.Pid() {
			t.Errorf("process %d would get dev's Ctrl-C", pid)
		}
	}
	if err := syscall.Kill(-dev.Pid(), syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if code := dev.AwaitExit(t, streamTime); code != 0 {
		t.Errorf("dev ended with code %d after Ctrl-C, want 0", code)
	}
	if left := c.Marked(); len(left) > 0 {
		t.Errorf("processes %v live on", left)
	}
	if t.Failed() {
		t.Log(dev.Log())
	}
}

// devEnv reads the file that dev writes for its clients.
func devEnv(t *testing.T, path string) (env []string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		if strings.HasPrefix(line, "RBEE_") {
			env = append(env, strings.TrimSpace(line))
		}
	}
	if len(env) < 3 {
		t.Fatalf("%s holds %q", path, data)
	}
	return env
}
