package cluster_test

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"queen-rbee/cluster"
	"queen-rbee/cluster/clustertest"
)

// stalled is how long a write of a queen that is to hang may hang. The others' may for ever,
// for the disks of machines that run tests do stall.
const stalled = 2 * time.Second

// lead makes a queen the leader.
func lead(t *testing.T, c *clustertest.Cluster, to *clustertest.Node) {
	t.Helper()
	clustertest.Eventually(t, func() error {
		if got := c.Settled(); got != to {
			return errors.Join(fmt.Errorf("%s leads", got.Name), got.Queen().Transfer(t.Context(), to.Name))
		}
		return nil
	})
}

// TestFaultDisk gives one queen a sick disk, a follower and then the leader. It stops and says
// why, or stays and is slow; the cluster goes on, loses nothing, and takes it back when mended.
func TestFaultDisk(t *testing.T) {
	t.Parallel()
	c := clustertest.New(t, 3, quick)
	hive(t, c.Leader())
	book := keepBooks(t, c, 4)
	book.more(t, 10)
	for _, row := range []struct {
		fault string
		sick  func(*clustertest.Disk)
		want  string // of the message with which it stops; empty: it stays
		again bool   // it is started once before it is mended
	}{
		{"slow, 200 ms each write", func(d *clustertest.Disk) { d.Slow(200 * time.Millisecond) }, "", false},
		{"full for one write", func(d *clustertest.Disk) { d.Fail(syscall.ENOSPC, 1) }, "writing the log failed: no space left on device", false},
		{"full", func(d *clustertest.Disk) { d.Fail(syscall.ENOSPC, 1<<30) }, "writing the log failed: no space left on device", true},
		{"read-only", func(d *clustertest.Disk) { d.Fail(syscall.EROFS, 1<<30) }, "writing the log failed: read-only file system", false},
		{"hanging", (*clustertest.Disk).Hang, "has hung for 2s", false},
	} {
		for _, leads := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, leader %v", row.fault, leads), func(t *testing.T) {
				n := c.Followers()[0]
				if strings.Contains(row.want, "hung") {
					n.Stop()
					n.Config.Timings.DiskStall = stalled
					n.Restart()
					c.Settled()
				}
				if leads {
					lead(t, c, n)
				}
				row.sick(n.Disk)
				if row.want == "" {
					book.more(t, 10)
				} else {
					stopped(t, n, row.want)
					if row.again {
						n.Freed()
						n.Restart()
						stopped(t, n, row.want)
					}
					book.more(t, 30)
				}
				n.Disk.Mend()
				if row.want != "" {
					n.Freed()
					n.Config.Timings.DiskStall = 0
					n.Restart()
				}
				c.Settled()
				if !n.Running() {
					t.Errorf("%s has ended", n.Name)
				}
				book.more(t, 10)
			})
		}
	}
	book.close(t)
}

// stopped waits for the end of a queen with a sick disk and what it says.
func stopped(t *testing.T, n *clustertest.Node, want string) {
	t.Helper()
	err := n.Wait()
	n.Kill() // it has ended; this keeps its addresses for the next start
	var start *cluster.StartError
	if !errors.As(err, &start) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "mend its disk and start it again") {
		t.Errorf("%s ended with: %v", n.Name, err)
	}
}

// TestFaultDiskWhileTheVoteIsStored has a disk hang just when its queen is asked for its vote.
func TestFaultDiskWhileTheVoteIsStored(t *testing.T) {
	t.Parallel()
	c := clustertest.New(t, 3, nil)
	hive(t, c.Leader())
	n := c.Followers()[0]
	n.Stop()
	n.Config.Timings.DiskStall = stalled
	n.Restart()
	leader := c.Nodes()[0]
	if leader == n {
		leader = c.Nodes()[1]
	}
	lead(t, c, leader)
	n.Disk.Hang()
	leader.Kill() // two are left: nobody is elected without it
	stopped(t, n, "has hung for 2s")
	n.Disk.Mend()
	n.Freed()
	n.Config.Timings.DiskStall = 0
	n.Restart()
	leader.Restart()
	c.Settled()
	c.EnsureSame()
}

// TestFaultDiskFullForASnapshot fails a snapshot alone: the queen goes on without it.
func TestFaultDiskFullForASnapshot(t *testing.T) {
	t.Parallel()
	c := clustertest.New(t, 1, nil)
	n := c.Leader()
	hive(t, n)
	n.Disk.Fail(syscall.ENOSPC, 1)
	if err := n.Queen().Snapshot(); err == nil || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("a snapshot on a full disk: %v", err)
	}
	if err := n.Queen().Snapshot(); err != nil {
		t.Errorf("the next one: %v", err)
	}
	n.Kill()
	n.Restart()
	c.Settled()
	if _, ok := n.Queen().View().Hive("hive-1"); !ok {
		t.Error("it has lost its state")
	}
}
