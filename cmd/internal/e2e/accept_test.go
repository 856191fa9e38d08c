package e2e

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"queen-rbee/cmd/internal/e2e/rig"
)

// A job accepted at one queen is known at every other at once: never a 404.
func TestAcceptedIsNeverNotFound(t *testing.T) {
	ref := rig.NewReference(t)
	c := rig.Start(t, rig.Options{Slots: 16})
	short := func(i int) rig.Task { return task(i%50, 2) }
	n := long(1000, 10000)
	ids, want := make([]string, n), make([]string, n)
	for i := range want {
		want[i] = ref.Text(t, short(i))
	}
	rig.Each(t, n, 12, func(i int) error {
		ctx, cancel := context.WithTimeout(t.Context(), streamTime)
		defer cancel()
		at, elsewhere := c.Queens[i%3], c.Queens[(i+1+i/3%2)%3]
		id, err := c.Submit(ctx, short(i), fmt.Sprintf("detached-%d", i), at.URL)
		if err != nil {
			return err
		}
		ids[i] = id
		if i%2 == 0 {
			if _, err := c.Job(ctx, elsewhere.URL, id); err != nil {
				return fmt.Errorf("job %s accepted at %s, shown at %s: %w", id, at.Name, elsewhere.Name, err)
			}
		}
		return c.Reread(ctx, elsewhere.URL, id, want[i])
	})
	c.CheckEnds(t, streamTime, ids, "complete")
	onlyThese(t, c, ids)
}

// The same POST at two queens in one instant is one job, and both get its whole stream.
func TestSamePostAtTwoQueensIsOneJob(t *testing.T) {
	ref := rig.NewReference(t)
	c := rig.Start(t, rig.Options{Slots: 8, TokenRate: 200})
	var ids []string
	for round := range long(60, 600) {
		job := task(round%40, 6)
		var pair [2]*rig.Stream
		var errs [2]error
		var wait sync.WaitGroup
		gun := make(chan struct{})
		for i := range pair {
			pair[i] = &rig.Stream{C: c, Task: job, Key: fmt.Sprintf("round-%d", round), Queens: from(c.Queens, round+i), Stay: true}
			wait.Go(func() {
				<-gun
				errs[i] = pair[i].Run(t.Context())
			})
		}
		close(gun)
		wait.Wait()
		for i, s := range pair {
			err := errs[i]
			if err == nil {
				err = c.CheckStream(s, ref.Text(t, job))
			}
			if err != nil {
				t.Fatalf("round %d at %s: %v", round, s.Queens[0], err)
			}
		}
		if pair[0].JobID != pair[1].JobID {
			t.Fatalf("round %d made two jobs: %s and %s", round, pair[0].JobID, pair[1].JobID)
		}
		ids = append(ids, pair[0].JobID)
	}
	c.CheckEnds(t, streamTime, ids, "complete")
	onlyThese(t, c, ids)
}
