package cluster_test

import (
	"crypto/rand"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/oklog/ulid/v2"
	"golang.org/x/sys/unix"

	"queen-rbee/cluster"
	"queen-rbee/cluster/clustertest"
	"queen-rbee/fsm"
	"queen-rbee/schedule"
)

// TestFaultDiskReallyFull has a follower on a file system of 2 MiB, until nothing fits in any more.
func TestFaultDiskReallyFull(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=2m"); err != nil {
		if strings.Contains(os.Getenv("RBEE_REQUIRE"), "mount") {
			t.Fatalf("RBEE_REQUIRE names mount, but: %v", err)
		}
		t.Skipf("mounting a small file system needs root: %v", err)
	}
	t.Cleanup(func() { // after the queens, which are made later
		if err := unix.Unmount(dir, 0); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	c := clustertest.New(t, 3, func(cfg *cluster.Config) {
		cfg.Segment = 64 << 10
		if cfg.Name == "queen-3" {
			cfg.DataDir = dir
		}
	})
	small, roomy := c.Node("queen-3"), c.Node("queen-1")
	lead(t, c, roomy)
	hive(t, roomy)
	var acked []string
	for small.Running() {
		body := make([]byte, 64<<10)
		_, _ = rand.Read(body) // never fails; it cannot be compressed
		id := ulid.Make().String()
		_, err := roomy.Queen().Do(t.Context(), schedule.Request{Submit: &schedule.Submit{Job: fsm.Job{
			ID: id, Tenant: "default", Model: model, API: "task", Path: "/v1/chat/completions",
			Priority: fsm.PriorityInteractive, Detached: true, OnLoss: fsm.LossFail, Body: fsm.PackBody(body),
		}}})
		if err != nil {
			t.Fatal(err)
		}
		acked = append(acked, id)
		if len(acked) > 200 {
			t.Fatal("2 MiB took more than 12 MiB")
		}
		if _, err := small.Queen().WaitIndex(t.Context(), roomy.Queen().View().Meta().Index); err != nil && small.Running() {
			clustertest.Eventually(t, func() error { // it is about to end, or only behind
				if small.Running() && small.Queen().View().Meta().Index < roomy.Queen().View().Meta().Index {
					return errors.New("it neither follows nor ends")
				}
				return nil
			})
		}
	}
	stopped(t, small, "writing the log failed: ")
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_REMOUNT, "size=64m"); err != nil {
		t.Fatal(err)
	}
	small.Freed()
	small.Restart()
	c.Settled()
	present(t, c, acked)
}
