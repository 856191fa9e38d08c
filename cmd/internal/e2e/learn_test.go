package e2e

import (
	"fmt"
	"testing"

	"queen-rbee/cmd/internal/e2e/rig"
)

// A hive that was given one queen goes on when that one dies, and finds the others again after
// a restart of its agent while it is still dead.
func TestHiveOutlivesTheQueenItWasGiven(t *testing.T) {
	c := rig.Start(t, rig.Options{Hives: 1})
	lone := c.Hive(t, "lone", "lone", c.Queens[:1])
	if err := lone.Launch(); err != nil {
		t.Fatal(err)
	}
	c.AwaitHive(t, "lone", "online")
	c.Queens[0].Kill(t)
	run := func(n int) {
		t.Helper()
		pinned := task(n, 3)
		pinned.Hive = "lone"
		id, err := c.Submit(t.Context(), pinned, fmt.Sprintf("lone-%d", n), rig.URLs(c.Living())...)
		if err != nil {
			t.Fatal(err)
		}
		c.CheckEnds(t, streamTime, []string{id}, "complete")
	}
	run(1)
	lone.Kill(t)
	c.AwaitHive(t, "lone", "offline")
	lone.Restart(t)
	c.AwaitHive(t, "lone", "online")
	run(2)
}
