package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"queen-rbee/cmd/internal/e2e/rig"
)

// A hive's agent is killed and started again while its engines live on: the next one goes on
// with the very same processes, and what ran in them ends, or is tried again, by the rules.
func TestHiveAgentKilledAndRestarted(t *testing.T) {
	ref := rig.NewReference(t)
	c := rig.Start(t, rig.Options{Hives: 1, Slots: 2, TokenRate: 10, Cold: true, WorkerArgs: []string{"--load-delay", "2s"}})
	hive := c.Hives[0]
	var engine rig.Worker

	t.Run("in mid-load, twice", func(t *testing.T) {
		w := start(t, c, ref, 2, func(i int, s *rig.Stream) { s.Task, s.Queens = task(i, 5), from(c.Queens, i) })
		engine = c.AwaitWorkers(t, hive, 1)[0]
		rig.Await(t, streamTime, "the engine in the hive's state file", func(context.Context) error {
			data, err := os.ReadFile(filepath.Join(hive.DataDir(), "agent.json"))
			if err == nil && !strings.Contains(string(data), fmt.Sprintf(`"pid":%d,`, engine.Pid)) {
				err = fmt.Errorf("it holds %s", data)
			}
			return err
		})
		for range 2 {
			hive.Kill(t)
			hive.Restart(t)
		}
		w.end()
		for _, s := range w.streams {
			if s.Restarts() > 0 {
				t.Errorf("job %s took text back", s.JobID)
			}
		}
		same(t, c, hive, engine)
		c.CheckEnds(t, streamTime, w.ids(), "complete")
	})
	t.Run("in mid-stream", func(t *testing.T) {
		w := start(t, c, ref, 2, func(i int, s *rig.Stream) {
			s.Task, s.Queens = task(10+i, 30), from(c.Queens, i)
			if i == 1 {
				s.Task.OnWorkerLoss = "restart"
			}
		})
		w.all(3)
		queued := submit(t, c, "queued", 2, func(i int) rig.Task { return task(20+i, 5) })
		hive.Kill(t)
		hive.Restart(t)
		w.wait.Wait()
		cut, again := w.streams[0], w.streams[1]
		if w.errs[0] != nil || w.errs[1] != nil {
			t.Fatal(w.errs)
		}
		if end := cut.End(); end.Event != "error" || !strings.Contains(end.Data, `"worker_failed"`) || !strings.HasPrefix(ref.Text(t, cut.Task), cut.Text()) {
			t.Errorf("the stream that may not be repeated ended with %s %s after %q", end.Event, end.Data, cut.Text())
		}
		if err := c.CheckStream(again, ref.Text(t, again.Task)); err != nil || again.Restarts() != 1 {
			t.Errorf("the stream that may be repeated: %v, %d restarts", err, again.Restarts())
		}
		same(t, c, hive, engine)
		c.CheckEnds(t, streamTime, []string{cut.ID()}, "failed")
		c.CheckEnds(t, streamTime, append(queued, again.ID()), "complete")
	})
	t.Run("and its engine hangs", func(t *testing.T) {
		hive.Kill(t)
		if err := syscall.Kill(engine.Pid, syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		registered := registrations(hive)
		hive.Restart(t)
		rig.Await(t, streamTime, "the hive without its engine's word", func(context.Context) error { return more(hive, registered) })
		if err := syscall.Kill(engine.Pid, syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		c.Warm(t)
		same(t, c, hive, engine)
	})
	t.Run("and its engine dies", func(t *testing.T) {
		hive.Kill(t)
		engine.Kill(t)
		hive.Restart(t)
		jobs := submit(t, c, "after", 2, func(i int) rig.Task { return task(30+i, 5) })
		c.CheckEnds(t, streamTime, jobs, "complete")
		if now := c.AwaitWorkers(t, hive, 1)[0]; now.Pid == engine.Pid {
			t.Error("the engine cannot live")
		}
	})
	t.Run("nothing is left behind", func(t *testing.T) {
		hive.Kill(t)
		registered := registrations(hive)
		hive.Restart(t)
		rig.Await(t, streamTime, "the hive again", func(context.Context) error { return more(hive, registered) })
		hive.Term(t)
		if left := c.WorkersOf(hive); len(left) > 0 {
			t.Errorf("after an orderly stop these live on: %v", left)
		}
	})
}

// registrations counts how often an agent of a hive has registered.
func registrations(hive *rig.Process) int { return strings.Count(hive.Log(), "registered: queen=") }

func more(hive *rig.Process, than int) error {
	if n := registrations(hive); n <= than {
		return fmt.Errorf("%d registrations so far", n)
	}
	return nil
}

// same proves that a hive has one engine process, the one it had before, which has let go of
// all runs that are over.
func same(t *testing.T, c *rig.Cluster, hive *rig.Process, was rig.Worker) {
	t.Helper()
	if now := c.WorkersOf(hive); len(now) != 1 || now[0] != was {
		t.Fatalf("the engine was %v, the hive has %v", was, now)
	}
	rig.Await(t, streamTime, "an idle engine", func(ctx context.Context) error {
		if n, err := c.Busy(ctx, was); err != nil || n > 0 {
			return fmt.Errorf("it runs %d requests: %w", n, err)
		}
		return nil
	})
}
