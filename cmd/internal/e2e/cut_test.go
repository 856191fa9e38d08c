package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	"queen-rbee/cmd/internal/e2e/rig"
)

// A queen and a hive are cut off together, with clients on that queen: whatever the hive
// finishes there, no client is told an end that the majority does not have. The queen is the
// leader once and a follower once.
func TestCutOffQueenAndHiveInventNoEnd(t *testing.T) {
	t.Parallel()
	for _, leads := range []bool{false, true} {
		t.Run(fmt.Sprintf("queen leads %v", leads), func(t *testing.T) {
			t.Parallel()
			cutOff(t, leads)
		})
	}
}

func cutOff(t *testing.T, leads bool) {
	ref := rig.NewReference(t)
	network := rig.NewNet(t, "island", "main")
	place := func(process string) (string, string) {
		group := "main"
		if process == "queen-1" || process == "hive-1" {
			group = "island"
		}
		return network.Namespace(group), network.IP(group)
	}
	c := rig.Start(t, rig.Options{Slots: 12, TokenRate: 20, Place: place, Dial: network.Dial,
		HiveTimeout: 3 * time.Second,
		Grace:       30 * time.Second,
	})
	island := c.Queens[0]
	lead(t, c, island, leads)

	// Clients on the island: of both hives, with both wishes for the case of loss.
	w := start(t, c, ref, 16, func(i int, s *rig.Stream) {
		s.Task, s.Queens = task(i, 60), []string{island.URL}
		switch {
		case i%4 < 2:
			s.Task.OnWorkerLoss = "restart"
		case i%4 == 2:
			s.Task.Hive = "hive-1"
		}
	})
	w.all(8)
	running(t, c, w)
	on, island1 := make([]string, len(w.streams)), 0
	for i, s := range w.streams {
		j, err := c.JobNow(t.Context(), s.ID())
		if err != nil {
			t.Fatal(err)
		}
		on[i] = j.Hive
		if j.Hive == "hive-1" {
			island1++
		}
	}
	if island1 == 0 {
		t.Fatalf("no job runs on the island: %v", on)
	}
	network.Cut(t, "island")

	// The majority decides on every job, and the island's hive finishes its own.
	mainland := c.Queens[1]
	rig.Await(t, streamTime, "the majority ending every job", func(ctx context.Context) error {
		for _, s := range w.streams {
			var j rig.Job
			if _, err := c.Get(ctx, mainland.URL+"/v2/jobs/"+s.ID(), &j); err != nil {
				return err
			}
			if !j.Ended() {
				return fmt.Errorf("job %s is %s on %s", j.ID, j.State, j.Hive)
			}
		}
		return nil
	})
	w.allOf(60, func(i int) bool { return on[i] == "hive-1" }) // tokens are not held back, only what they mean
	rig.Pause(t.Context(), time.Second)
	for i, s := range w.streams {
		if s.Over() {
			t.Errorf("client %d of job %s on the island was told an end during the cut", i, s.ID())
		}
	}
	network.Heal(t, "island")
	w.wait.Wait()
	var complete, failed []string
	again := 0
	for i, s := range w.streams {
		if w.errs[i] != nil {
			t.Errorf("client %d: %v", i, w.errs[i])
			continue
		}
		j, err := c.JobNow(t.Context(), s.JobID)
		if err != nil {
			t.Fatal(err)
		}
		switch j.State {
		case "complete":
			complete = append(complete, s.JobID)
			again += s.Restarts()
			if err := c.CheckStream(s, ref.Text(t, s.Task)); err != nil {
				t.Errorf("client %d: %v", i, err)
			}
		default:
			failed = append(failed, s.JobID)
			if on[i] != "hive-1" {
				t.Errorf("client %d: job %s ran on the main side, which lost nothing, and failed: %+v %+v", i, s.JobID, j.Error, j.History)
			}
			if s.End().Event != "error" || s.Task.OnWorkerLoss == "restart" {
				t.Errorf("client %d was told %s, wished %q, and the job is %+v", i, s.End().Data, s.Task.OnWorkerLoss, j)
			}
		}
	}
	t.Logf("%d of %d jobs ran on the island; %d are complete, %d failed", island1, len(on), len(complete), len(failed))
	if len(failed) == 0 || again == 0 {
		t.Errorf("%d jobs were lost with the island and %d began again: the cut was too short", len(failed), again)
	}
	c.AwaitMembers(t, c.Queens...)
	c.CheckEnds(t, streamTime, complete, "complete")
	c.CheckEnds(t, streamTime, failed, "failed")
	onlyThese(t, c, complete, failed)
}

// lead makes a queen the leader, or another.
func lead(t *testing.T, c *rig.Cluster, q *rig.Process, leads bool) {
	t.Helper()
	leader, followers := c.Leader(t)
	if (leader == q) == leads {
		return
	}
	to := q.Name
	if !leads {
		to = followers[0].Name
	}
	if _, err := c.Call(t.Context(), "POST", leader.URL+"/v2/cluster/transfer", fmt.Appendf(nil, `{"to":%q}`, to)); err != nil {
		t.Fatal(err)
	}
	rig.Await(t, streamTime, to+" leading", func(ctx context.Context) error {
		cl, err := c.ClusterAt(ctx, q)
		if err == nil && cl.Leader != to {
			err = fmt.Errorf("%q leads", cl.Leader)
		}
		return err
	})
}
