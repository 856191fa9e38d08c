package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"queen-rbee/hives"
	"queen-rbee/hives/agent/agenttest"
)

// smallDisk gives the next agent of a directory a data directory of a few MiB, in a mount
// namespace that ends with it.
func smallDisk(t *testing.T, dir string) {
	t.Helper()
	data := filepath.Join(dir, "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	within = []string{"unshare", "--mount", "sh", "-c", `mount -t tmpfs -o size=4m none "$0" && exec "$@"`, data}
	t.Cleanup(func() { within = nil })
	if out, err := exec.Command(within[0], append(within[1:], "true")...).CombinedOutput(); err != nil {
		if strings.Contains(os.Getenv("RBEE_REQUIRE"), "mount") {
			t.Fatalf("RBEE_REQUIRE names mount, but: %v: %s", err, out)
		}
		t.Skipf("a file system of its own cannot be mounted here: %v: %s", err, out)
	}
}

// fill takes what is left of a disk.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	for page := make([]byte, 4<<10); err == nil; {
		_, err = f.Write(page)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
}

func TestAFullDiskFailsRunsAndNotTheAgent(t *testing.T) {
	q := agenttest.New(t)
	dir := t.TempDir()
	smallDisk(t, dir)
	p := hive(t, q, dir, "--tokens-per-second", "50")
	spawn(t, q)
	seenThere := filepath.Join("/proc", fmt.Sprint(p.cmd.Process.Pid), "root", dir, "data")
	filler := filepath.Join(seenThere, "filler")

	cut := assign(t, q, "j1", 100_000)
	seen, _ := read(t, q, cut, 5)
	fill(t, filler)
	hb := q.Await(t, "the end of the run in mid-stream", func(hb *hives.Heartbeat) bool { return agenttest.Ended(hb, "j1") != nil })
	end := agenttest.Ended(&hb, "j1")
	if end.Outcome != hives.Failed || end.Error == nil || end.Error.Code != "storage_failed" || end.Events < 5 {
		t.Fatalf("%+v %v", end, end.Error)
	}
	text, again := read(t, q, cut, 1<<62)
	if !strings.HasPrefix(text, seen) || strings.Count(text, "\nid: ") != int(end.Events) || again.Error.Code != "storage_failed" {
		t.Fatalf("%d records are told, this can be read:\n%s", end.Events, text)
	}
	if _, end := read(t, q, assign(t, q, "j2", 3), 1<<62); end.Outcome != hives.Failed || end.Error.Code != "storage_failed" || end.Events != 0 {
		t.Fatalf("a run without a log ended %+v %v", end, end.Error)
	}

	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	last := assign(t, q, "j3", 3)
	if text, end := read(t, q, last, 1<<62); end.Outcome != hives.Complete {
		t.Fatalf("with room again: %+v %v\n%s", end, end.Error, text)
	}
	agenttest.Eventually(t, "the state file being up to date again", func() bool {
		data, err := os.ReadFile(filepath.Join(seenThere, "agent.json"))
		var s struct{ Index uint64 }
		return err == nil && json.Unmarshal(data, &s) == nil && s.Index >= last.AssignedIndex
	})
	p.stop()
}
