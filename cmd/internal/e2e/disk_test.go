package e2e

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"queen-rbee/cmd/internal/e2e/rig"
)

// The leader's disk hangs for good: its writes wait in the kernel, where not even SIGKILL
// reaches them, while its heartbeats would go on. It stops by itself, another leads, clients of
// the others notice nothing, and it is back when its disk is.
func TestALeaderWhoseDiskHangsIsReplaced(t *testing.T) {
	t.Parallel()
	volume := rig.RequireVolume(t, "hanging", 64)
	ref := rig.NewReference(t)
	c := rig.Start(t, rig.Options{Slots: 8, TokenRate: 20, Made: func(p *rig.Process) {
		if p.Name == "queen-3" {
			p.Args = append(p.Args, "--data-dir", filepath.Join(volume.Dir, "data"), "--log-segment", "65536", "--disk-stall", "5s")
		}
	}})
	sick := c.Queens[2]
	lead(t, c, sick, true)
	w := start(t, c, ref, 4, func(i int, s *rig.Stream) {
		s.Task, s.Queens = task(i, 100), from(c.Queens[:2], i)
	})
	w.all(5)
	if err := volume.Hang(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = volume.Mend() }) // before the cluster ends: nobody ends whose write hangs
	queued := submit(t, c, "queued", 4, func(i int) rig.Task { return task(500+i, 2) })
	sick.AwaitLog(t, streamTime, "has hung for 5s: this queen stops")
	rig.Await(t, streamTime, "another leader", func(ctx context.Context) error {
		cl, err := c.ClusterAt(ctx, c.Queens[0])
		if err == nil && (cl.Leader == "" || cl.Leader == sick.Name) {
			err = errors.New("there is none")
		}
		return err
	})
	w.end()
	if err := volume.Mend(); err != nil {
		t.Fatal(err)
	}
	if code := sick.AwaitExit(t, streamTime); code <= 0 {
		t.Errorf("it ended with code %d", code)
	}
	if said := sick.Log(); strings.Contains(said, "panic:") {
		t.Errorf("it did not stop in order:\n%s", sick.Tail(40))
	}
	sick.Restart(t)
	c.AwaitLeader(t, sick)
	all := append(w.ids(), queued...)
	c.CheckEnds(t, streamTime, all, "complete")
	onlyThese(t, c, all)
}
