package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"queen-rbee/cmd/internal/e2e/rig"
)

// A client that goes away frees its slot when the grace is over, and not before: one that
// comes back in time goes on. A cancelled job's run ends inside the engine.
func TestLeavingAndCancellingFreeTheSlot(t *testing.T) {
	ref := rig.NewReference(t)
	c := rig.Start(t, rig.Options{Hives: 1, Slots: 2, TokenRate: 20})
	engine := c.AwaitWorkers(t, c.Hives[0], 1)[0]

	t.Run("a client that goes is given up after the grace", func(t *testing.T) {
		s := begin(t, c, "400ms")
		c.Await(t, engine, 1)
		s.cancel()
		s.wait.Wait()
		c.Await(t, engine, 0)
		j, err := c.AwaitJob(t.Context(), s.streams[0].ID(), streamTime, "ended", rig.Job.Ended)
		if err != nil || j.State != "cancelled" {
			t.Fatalf("%+v, %v; want cancelled", j, err)
		}
		c.CheckEnds(t, streamTime, s.ids(), "cancelled")
	})
	t.Run("a client that comes back in time goes on", func(t *testing.T) {
		s := begin(t, c, "5s")
		s.cancel()
		s.wait.Wait()
		again := start(t, c, ref, 1, func(_ int, r *rig.Stream) {
			r.Task, r.JobID, r.Queens = s.streams[0].Task, s.streams[0].ID(), from(c.Queens, 1)
		})
		again.end()
		c.CheckEnds(t, streamTime, again.ids(), "complete")
	})
	t.Run("a queued job without a client is given up", func(t *testing.T) {
		busy := start(t, c, ref, 2, func(i int, s *rig.Stream) { s.Task, s.Queens = task(50+i, 80), from(c.Queens, i) })
		busy.all(1)
		s := &rig.Stream{C: c, Task: task(60, 5), Key: t.Name(), Queens: from(c.Queens, 2), Grace: "300ms", Stay: true}
		ctx, cancel := context.WithCancel(t.Context())
		over := make(chan error, 1)
		go func() { over <- s.Run(ctx) }()
		rig.Await(t, streamTime, "a queued job", func(context.Context) error {
			if s.ID() == "" {
				return errors.New("it has no id yet")
			}
			return nil
		})
		cancel()
		<-over
		if _, err := c.AwaitJob(t.Context(), s.ID(), streamTime, "cancelled", func(j rig.Job) bool { return j.State == "cancelled" }); err != nil {
			t.Error(err)
		}
		busy.end()
	})
	t.Run("cancelling reaches the engine", func(t *testing.T) {
		s := start(t, c, ref, 1, func(_ int, s *rig.Stream) { s.Task, s.Queens = task(70, 4000), from(c.Queens, 0) })
		s.all(3)
		c.Await(t, engine, 1)
		r, err := c.Call(t.Context(), http.MethodDelete, c.Queens[1].URL+"/v2/jobs/"+s.streams[0].ID(), nil)
		if err != nil || r.Status != http.StatusOK && r.Status != http.StatusAccepted {
			t.Fatalf("DELETE: %+v, %v", r, err)
		}
		c.Await(t, engine, 0)
		s.wait.Wait()
		if err := s.errs[0]; err != nil {
			t.Fatal(err)
		}
		if end := s.streams[0].End(); end.Event != "error" {
			t.Errorf("the stream ended with %s %s, want error cancelled", end.Event, end.Data)
		}
		c.CheckEnds(t, streamTime, s.ids(), "cancelled")
	})
	t.Run("the slots are all there", func(t *testing.T) {
		s := start(t, c, ref, 2, func(i int, s *rig.Stream) { s.Task, s.Queens = task(80+i, 20), from(c.Queens, i) })
		s.end()
	})
}

// begin starts one long stream with a grace, of which some has come.
func begin(t *testing.T, c *rig.Cluster, grace string) *crowd {
	t.Helper()
	w := start(t, c, nil, 1, func(_ int, s *rig.Stream) {
		s.Task, s.Queens, s.Grace, s.Stay = task(int(grace[0]), 60), from(c.Queens, 0), grace, true
	})
	w.all(2)
	return w
}

// Two hives with one id: the newer wins, the other ends and says why. The jobs of a hive's
// earlier agent are retried or fail openly, and its workers go on under the next.
func TestHiveStartedAgainAndTwice(t *testing.T) {
	ref := rig.NewReference(t)
	c := rig.Start(t, rig.Options{Slots: 8, TokenRate: 20})
	hive := c.Hives[0]

	t.Run("agent killed and started again", func(t *testing.T) {
		w := start(t, c, ref, 8, func(i int, s *rig.Stream) {
			s.Task, s.Queens = task(i, 100), from(c.Queens, i)
			if i%2 == 0 {
				s.Task.OnWorkerLoss = "restart"
			} else {
				s.Task.Hive = hive.Name
			}
		})
		w.all(3)
		old := c.AwaitWorkers(t, hive, 1)[0]
		hive.Kill(t)
		if left := c.WorkersOf(hive); len(left) != 1 || left[0].Pid != old.Pid {
			t.Fatalf("workers %v outlived the agent, want %v", left, old)
		}
		hive.Restart(t)
		w.wait.Wait()
		same(t, c, hive, old)
		var complete, failed []string
		for i, s := range w.streams {
			if w.errs[i] != nil {
				t.Errorf("client %d: %v", i, w.errs[i])
				continue
			}
			if s.End().Event == "error" && s.Task.OnWorkerLoss == "" && s.Attempt() == 1 {
				failed = append(failed, s.JobID)
				continue
			}
			complete = append(complete, s.JobID)
			if err := c.CheckStream(s, ref.Text(t, s.Task)); err != nil {
				t.Errorf("client %d: %v", i, err)
			}
		}
		t.Logf("%d complete, %d failed", len(complete), len(failed))
		if len(complete) == 0 || len(failed) == 0 {
			t.Error("both kinds of jobs should have run on the hive")
		}
		c.CheckEnds(t, streamTime, complete, "complete")
		c.CheckEnds(t, streamTime, failed, "failed")
	})
	t.Run("a second agent with the same id", func(t *testing.T) {
		c.AwaitHive(t, hive.Name, "online")
		before, err := c.HiveRow(t.Context(), hive.Name)
		if err != nil {
			t.Fatal(err)
		}
		twin := c.Hive(t, hive.Name, "hive-1-twin", c.Queens)
		if err := twin.Launch(); err != nil {
			t.Fatal(err)
		}
		if code := hive.AwaitExit(t, streamTime); code != 1 {
			t.Errorf("the older agent ended with code %d, want 1", code)
		}
		says(t, hive, hive.Name, "newer")
		c.Hives[0] = twin
		rig.Await(t, streamTime, "the newer agent being registered", func(ctx context.Context) error {
			now, err := c.HiveRow(ctx, hive.Name)
			if err == nil && (now.Incarnation <= before.Incarnation || now.Status != "online") {
				err = fmt.Errorf("%+v after %+v", now, before)
			}
			return err
		})
		if left := c.WorkersOf(hive); len(left) > 0 {
			t.Errorf("the older agent left workers %v behind", left)
		}
		if !rig.Pause(t.Context(), 2*c.Options.HiveHeartbeat) || !twin.Alive() {
			t.Error("the newer agent has ended, too")
		}
		w := start(t, c, ref, 4, func(i int, s *rig.Stream) {
			s.Task, s.Queens = task(100+i, 10), from(c.Queens, i)
			s.Task.Hive = hive.Name
		})
		w.end()
		c.CheckEnds(t, 2*time.Second+streamTime, w.ids(), "complete")
	})
}
