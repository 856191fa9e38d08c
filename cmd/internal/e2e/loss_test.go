package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"queen-rbee/cmd/internal/e2e/rig"
)

// Workers and hives die under runs: before the first token nobody notices, after it the
// client gets what it asked for. At one token a second there is time to kill before the first.
func TestWorkerAndHiveLoss(t *testing.T) {
	ref := rig.NewReference(t)
	c := rig.Start(t, rig.Options{Slots: 4, TokenRate: 1})

	t.Run("worker killed before the first token", func(t *testing.T) {
		c.Warm(t)
		w := start(t, c, ref, 4, func(i int, s *rig.Stream) { s.Task, s.Queens = task(i, 2), from(c.Queens, i) })
		hive := running(t, c, w)
		killWorkers(t, c, hive)
		invisible(t, c, w, hive)
	})
	t.Run("hive killed before the first token", func(t *testing.T) {
		c.Warm(t)
		w := start(t, c, ref, 4, func(i int, s *rig.Stream) { s.Task, s.Queens = task(10+i, 2), from(c.Queens, i) })
		hive := running(t, c, w)
		hive.Kill(t)
		killWorkers(t, c, hive) // the machine is gone, not only the agent
		invisible(t, c, w, hive)
		hive.Restart(t)
		c.AwaitHive(t, hive.Name, "online")
	})
	t.Run("worker killed in mid-stream, error by default", func(t *testing.T) {
		c.Warm(t)
		hive := c.Hives[0]
		w := start(t, c, ref, 2, func(i int, s *rig.Stream) {
			s.Task, s.Queens = task(20+i, 4), from(c.Queens, i)
			s.Task.Hive = hive.Name
		})
		w.all(2)
		killWorkers(t, c, hive)
		w.wait.Wait()
		for i, s := range w.streams {
			if w.errs[i] != nil {
				t.Error(w.errs[i])
				continue
			}
			if end := s.End(); end.Event != "error" || !strings.Contains(end.Data, `"worker_failed"`) {
				t.Errorf("the stream ended with %s %s, want error worker_failed", end.Event, end.Data)
			}
			if whole := ref.Text(t, s.Task); !strings.HasPrefix(whole, s.Text()) {
				t.Errorf("text %q is no beginning of %q", s.Text(), whole)
			}
		}
		c.CheckEnds(t, streamTime, w.ids(), "failed")
	})
	t.Run("worker killed in mid-stream, restart", func(t *testing.T) {
		c.Warm(t)
		w := start(t, c, ref, 4, func(i int, s *rig.Stream) {
			s.Task, s.Queens = task(30+i, 4), from(c.Queens, i)
			s.Task.OnWorkerLoss = "restart"
		})
		w.all(2)
		hive := running(t, c, w)
		killWorkers(t, c, hive)
		w.end()
		lost := 0
		for _, s := range w.streams {
			if s.Restarts() > 0 {
				lost++
			}
			if s.Restarts() > 1 || s.Restarts() == 1 && !s.Has("retry") {
				t.Errorf("job %s: %d restarts", s.JobID, s.Restarts())
			}
		}
		if lost == 0 {
			t.Error("no client was told of a retry")
		}
		c.CheckEnds(t, streamTime, w.ids(), "complete")
		reread(t, c, ref, w.ids(), func(i int) rig.Task { return w.streams[i].Task })
	})
}

// running waits until every job of the crowd runs, and gives a hive with at least one.
func running(t *testing.T, c *rig.Cluster, w *crowd) *rig.Process {
	t.Helper()
	var on string
	for _, s := range w.streams {
		rig.Await(t, streamTime, "a job", func(context.Context) error {
			if s.ID() == "" {
				return fmt.Errorf("it has no id yet")
			}
			return nil
		})
		j, err := c.AwaitJob(t.Context(), s.ID(), streamTime, "running", func(j rig.Job) bool { return j.State == "running" })
		if err != nil {
			t.Fatal(err)
		}
		on = j.Hive
	}
	for _, h := range c.Hives {
		if h.Name == on {
			return h
		}
	}
	t.Fatalf("no hive is called %q", on)
	return nil
}

func killWorkers(t *testing.T, c *rig.Cluster, hive *rig.Process) {
	t.Helper()
	for _, w := range c.WorkersOf(hive) {
		w.Kill(t)
	}
}

// invisible checks that nobody saw the loss of a hive's runs, of which there were some.
func invisible(t *testing.T, c *rig.Cluster, w *crowd, hive *rig.Process) {
	t.Helper()
	w.end()
	retried := 0
	for _, s := range w.streams {
		if s.Restarts() > 0 {
			t.Errorf("job %s took text back: its worker died too late for this test", s.JobID)
		}
		if s.Attempt() > 1 {
			retried++
			j, err := c.JobNow(t.Context(), s.JobID)
			if err != nil {
				t.Fatal(err)
			}
			if j.Hive == hive.Name {
				t.Errorf("job %s was tried again on %s, although another hive could serve: %+v", s.JobID, hive.Name, j.History)
			}
		}
	}
	if retried == 0 {
		t.Error("no job was retried: the worker died too late for this test")
	}
	c.CheckEnds(t, streamTime, w.ids(), "complete")
}

// A queen accepts, stops before it reaches the hive, and wakes when the job has long ended
// elsewhere. Its doorbell arrives then. Nothing starts.
func TestStoppedQueenStartsNothingOld(t *testing.T) {
	ref := rig.NewReference(t)
	c := rig.Start(t, rig.Options{Slots: 2, TokenRate: 10, Proxy: true})
	_, followers := c.Leader(t)
	entry, other := followers[0], followers[1]
	holds := []*rig.Hold{c.Proxies[0].Hold(), c.Proxies[1].Hold()}

	first := start(t, c, ref, 1, func(_ int, s *rig.Stream) {
		s.Task, s.Queens, s.Stay = task(1, 10), []string{entry.URL}, true
	})
	id := onlyJob(t, c, other)
	j, err := c.AwaitJob(t.Context(), id, streamTime, "running", func(j rig.Job) bool { return j.State == "running" })
	if err != nil {
		t.Fatal(err)
	}
	hive := c.Hives[0]
	if j.Hive == c.Hives[1].Name {
		hive = c.Hives[1]
	}
	rig.Await(t, streamTime, "the doorbell being held", func(context.Context) error {
		if c.Proxies[0].Held()+c.Proxies[1].Held() == 0 {
			return fmt.Errorf("no connection is held")
		}
		return nil
	})
	entry.Freeze(t)
	hive.Kill(t)
	killWorkers(t, c, hive)
	for _, h := range holds {
		h.Bypass() // for everybody else; what the stopped queen sent stays on its way
	}

	second := start(t, c, ref, 1, func(_ int, s *rig.Stream) {
		s.Task, s.Queens, s.JobID = task(1, 10), []string{other.URL}, id
	})
	second.end()
	if second.streams[0].Attempt() < 2 {
		t.Errorf("the job ended with attempt %d, want a later one on the other hive", second.streams[0].Attempt())
	}
	ended, err := c.JobNow(t.Context(), id)
	if err != nil || ended.State != "complete" || ended.Hive == hive.Name {
		t.Fatalf("the job did not end elsewhere: %+v, %v", ended, err)
	}
	hive.Restart(t)
	c.AwaitHive(t, hive.Name, "online")
	c.Warm(t)
	logs := rig.RunLogs(t, hive, id)
	row := rows(t, c)[id]

	for _, h := range holds {
		h.Release()
	}
	quiet(t, c, hive)
	entry.Thaw(t)
	quiet(t, c, hive)
	first.end() // the client of the stopped queen gets the one text and the one end, too
	if now := rig.RunLogs(t, hive, id); len(now) != len(logs) {
		t.Errorf("run logs on %s were %v and are %v", hive.Name, logs, now)
	}
	if now := rows(t, c)[id]; string(now) != string(row) {
		t.Errorf("the ended job was %s and is %s", row, now)
	}
	c.AwaitLeader(t, entry)
	c.CheckEnds(t, streamTime, []string{id}, "complete")
	onlyThese(t, c, []string{id})
}

// onlyJob waits for the one job of the cluster, as a queen sees it.
func onlyJob(t *testing.T, c *rig.Cluster, q *rig.Process) (id string) {
	t.Helper()
	rig.Await(t, streamTime, "the job", func(ctx context.Context) error {
		list, err := c.List(ctx, q.URL, 0)
		if err != nil {
			return err
		}
		for id = range list {
			return nil
		}
		return fmt.Errorf("%s knows no job", q.Name)
	})
	return id
}

// quiet proves for a while that no engine of a hive runs anything.
func quiet(t *testing.T, c *rig.Cluster, hive *rig.Process) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	for rig.Pause(ctx, 20*time.Millisecond) {
		for _, w := range c.WorkersOf(hive) {
			if n, err := c.Busy(t.Context(), w); err != nil || n > 0 {
				t.Fatalf("an engine of %s runs %d requests (%v) although the job has ended", hive.Name, n, err)
			}
		}
	}
}
