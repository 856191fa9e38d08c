package e2e

import (
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	"queen-rbee/cmd/internal/e2e/rig"
)

// The leader dies while streams run, jobs wait and more are being submitted.
func TestLeaderKilledUnderLoad(t *testing.T) {
	ref := rig.NewReference(t)
	c := rig.Start(t, rig.Options{Slots: 25, TokenRate: 20})
	w := start(t, c, ref, 50, func(i int, s *rig.Stream) {
		s.Task, s.Queens = task(i, 100), from(c.Queens, i)
	})
	w.all(1) // every slot is taken
	short := func(i int) rig.Task { return task(1000+i, 3) }
	waiting := submit(t, c, "waiting", long(500, 5000), short)

	leader, _ := c.Leader(t)
	more := func(i int) rig.Task { return task(10000+i, 3) }
	var late []string
	var wait sync.WaitGroup
	begun := time.Now()
	wait.Go(func() { late = submitAll(t, c, 60, more) })
	for _, s := range w.streams {
		if s.Over() {
			t.Error("a stream has ended before the leader dies: the test is too light")
			break
		}
	}
	leader.Kill(t)
	wait.Wait()
	t.Logf("60 submissions around the death of %s took %s", leader.Name, time.Since(begun))

	w.end()
	all := append(append(w.ids(), waiting...), late...)
	c.CheckEnds(t, streamTime, all, "complete")
	leader.Restart(t)
	c.AwaitLeader(t, leader)
	c.CheckEnds(t, streamTime, all, "complete")
	onlyThese(t, c, all)
	reread(t, c, ref, waiting, short)
	reread(t, c, ref, late, more)
}

// submitAll is submit for any goroutine.
func submitAll(t *testing.T, c *rig.Cluster, n int, task func(i int) rig.Task) []string {
	ids := make([]string, n)
	rig.Each(t, n, 16, func(i int) (err error) {
		ids[i], err = c.Submit(t.Context(), task(i), fmt.Sprintf("%s-late-%d", t.Name(), i), from(c.Queens, i)...)
		return err
	})
	return ids
}

// A follower dies: its clients go on elsewhere, the others notice nothing.
func TestFollowerKilledClientsResumeElsewhere(t *testing.T) {
	ref := rig.NewReference(t)
	c := rig.Start(t, rig.Options{Slots: 20, TokenRate: 20})
	_, followers := c.Leader(t)
	victim := followers[0]
	rest := append([]*rig.Process{}, followers[1:]...)
	for _, q := range c.Queens {
		if q != victim && q != rest[0] {
			rest = append(rest, q)
		}
	}
	w := start(t, c, ref, 40, func(i int, s *rig.Stream) {
		s.Task, s.Queens = task(i, 60), from(rest, i)
		if i%2 == 0 {
			s.Queens = append([]string{victim.URL}, s.Queens...)
		}
	})
	w.all(10)
	victim.Kill(t)
	w.end()
	for i, s := range w.streams {
		want := 1 + (i+1)%2
		if s.Connections != want {
			t.Errorf("client %d needed %d connections, want %d: %v", i, s.Connections, want, s.Served)
		}
		if s.Attempt() != 1 {
			t.Errorf("client %d was served attempt %d: no run was lost", i, s.Attempt())
		}
	}
	c.CheckEnds(t, streamTime, w.ids(), "complete")
	victim.Restart(t)
	c.AwaitLeader(t, victim)
	c.CheckEnds(t, streamTime, w.ids(), "complete")
	onlyThese(t, c, w.ids())
	reread(t, c, ref, w.ids(), func(i int) rig.Task { return w.streams[i].Task })
}

// All queens die at once and come back: the state is the same and everything ends.
func TestAllQueensKilledAndRestarted(t *testing.T) {
	ref := rig.NewReference(t)
	c := rig.Start(t, rig.Options{Slots: 5, TokenRate: 20})
	first := func(i int) rig.Task { return task(500+i, 2) }
	done := submit(t, c, "done", 20, first)
	c.CheckEnds(t, streamTime, done, "complete")
	before := rows(t, c)

	w := start(t, c, ref, 8, func(i int, s *rig.Stream) { s.Task, s.Queens = task(i, 60), from(c.Queens, i) })
	w.all(5)
	queued := func(i int) rig.Task { return task(1000+i, 4) }
	waiting := submit(t, c, "waiting", 100, queued)
	for _, q := range c.Queens {
		q.Signal(t, 9)
	}
	for _, q := range c.Queens {
		q.AwaitExit(t, streamTime)
	}
	for _, q := range c.Queens {
		q.Restart(t)
	}
	c.AwaitMembers(t, c.Queens...)
	w.end()
	all := append(append(w.ids(), waiting...), done...)
	c.CheckEnds(t, streamTime, all, "complete")
	onlyThese(t, c, all)
	after := rows(t, c)
	for _, id := range done {
		if string(before[id]) != string(after[id]) {
			t.Errorf("job %s was %s and is %s", id, before[id], after[id])
		}
	}
	for _, s := range w.streams {
		if s.Attempt() != 1 {
			t.Errorf("job %s needed attempt %d: no hive was lost", s.JobID, s.Attempt())
		}
	}
	reread(t, c, ref, waiting, queued)
}

func rows(t *testing.T, c *rig.Cluster) map[string]json.RawMessage {
	t.Helper()
	index, err := c.Index(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	all, err := c.List(t.Context(), c.Living()[0].URL, index)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// SIGTERM hands leadership over: streams go on elsewhere, nothing is lost.
func TestLeaderTerminatedHandsOver(t *testing.T) {
	ref := rig.NewReference(t)
	c := rig.Start(t, rig.Options{Slots: 15, TokenRate: 20})
	leader, _ := c.Leader(t)
	w := start(t, c, ref, 30, func(i int, s *rig.Stream) { s.Task, s.Queens = task(i, 80), from(c.Queens, i) })
	w.all(5)
	short := func(i int) rig.Task { return task(1000+i, 3) }
	var jobs []string
	var wait sync.WaitGroup
	wait.Go(func() { jobs = submitAll(t, c, 100, short) })
	leader.Term(t)
	wait.Wait()
	w.end()
	for i, s := range w.streams {
		if s.Attempt() != 1 {
			t.Errorf("client %d was served attempt %d: no run was lost", i, s.Attempt())
		}
	}
	all := append(w.ids(), jobs...)
	c.CheckEnds(t, streamTime, all, "complete")
	leader.Restart(t)
	c.AwaitMembers(t, c.Queens...)
	c.CheckEnds(t, streamTime, all, "complete")
	onlyThese(t, c, all)
	reread(t, c, ref, jobs, short)
}
