package e2e

import (
	"os"
	"strings"
	"testing"

	"queen-rbee/cmd/internal/e2e/rig"
)

// Two of three queens are lost for good while jobs run and wait. The third is recovered, as
// the README says; every job ends, streams go on under new attempts, the lost ones find no
// way back with their old data, and others join with empty directories.
func TestRecoverWhenTheMajorityIsLost(t *testing.T) {
	ref := rig.NewReference(t)
	c := rig.Start(t, rig.Options{Slots: 4, TokenRate: 20})
	leader, followers := c.Leader(t)
	left, lost := followers[0], []*rig.Process{leader, followers[1]}
	w := start(t, c, ref, 8, func(i int, s *rig.Stream) {
		s.Task, s.Queens = task(i, 80), from(c.Queens, i)
		s.Task.OnWorkerLoss = "restart"
	})
	w.all(5) // every slot is taken
	short := func(i int) rig.Task { return task(1000+i, 3) }
	waiting := submit(t, c, "waiting", 40, short)
	c.CheckEqual(t) // so that nothing is lost with the others
	for _, q := range lost {
		q.Kill(t)
	}
	recoverQueen := func(code int, says string, more ...string) {
		t.Helper()
		ran := c.Run(t, "queen-rbee", nil, append([]string{"recover", "--data-dir", left.DataDir()}, more...)...)
		if ran.Code != code || !strings.Contains(ran.Out+ran.Err, says) {
			t.Fatalf("recover %v: %+v, want code %d and %q", more, ran, code, says)
		}
	}
	recoverQueen(1, "in use by another queen", "--yes")
	left.Term(t)
	recoverQueen(1, "nothing was changed")
	recoverQueen(0, "40 jobs wait, 8 that ran wait again", "--yes")
	left.Restart(t)
	c.AwaitLeader(t, left)

	for _, q := range lost { // both at once: they were a majority
		q.Restart(t)
	}
	for _, q := range lost {
		if code := q.AwaitExit(t, streamTime); code != 1 {
			t.Errorf("%s ended with code %d, want 1", q.Name, code)
		}
		says(t, q, "was recovered without queen "+q.Name)
	}
	c.Queens = []*rig.Process{left}
	for _, q := range lost {
		if err := os.RemoveAll(q.DataDir()); err != nil {
			t.Fatal(err)
		}
		anew := c.Queen(t, q.Name, "--join", left.URL)
		if err := anew.Launch(); err != nil {
			t.Fatal(err)
		}
		c.Queens = append(c.Queens, anew)
	}
	c.AwaitMembers(t, c.Queens...)
	w.end()
	for _, s := range w.streams {
		if s.Attempt() <= 1000 {
			t.Errorf("job %s ended as attempt %d, which an old queen may have told of", s.JobID, s.Attempt())
		}
	}
	all := append(w.ids(), waiting...)
	c.CheckEnds(t, streamTime, all, "complete")
	onlyThese(t, c, all)
	reread(t, c, ref, waiting, short)
}
