package cluster_test

import (
	"errors"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"

	"queen-rbee/cluster/clustertest"
	"queen-rbee/fsm"
	"queen-rbee/schedule"
)

// TestFaultClockJumps sets wall clocks by an hour, forward and back, of the leader, of the
// followers and between two leaderships. No job is lost or comes to its deadline by it, one
// whose time is over does, and cluster time goes on at its pace.
func TestFaultClockJumps(t *testing.T) {
	t.Parallel()
	c := clustertest.New(t, 3, nil)
	hive(t, c.Leader())
	from := time.Now() // before the other: what passes between them is time that went by
	began := c.Leader().Queen().Now()
	within := func(n *clustertest.Node, d time.Duration) string {
		t.Helper()
		id := ulid.Make().String()
		_, err := n.Queen().Do(t.Context(), schedule.Request{Submit: &schedule.Submit{Within: d, Job: fsm.Job{
			ID: id, Tenant: "default", Model: model, API: "task", Path: "/v1/chat/completions",
			Priority: fsm.PriorityInteractive, Detached: true, OnLoss: fsm.LossFail, Body: fsm.PackBody([]byte(`{}`)),
		}}})
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	jobs := []string{within(c.Leader(), 30*time.Minute), within(c.Leader(), 0)}
	check := func() {
		t.Helper()
		jobs = append(jobs, within(c.Leader(), 30*time.Minute))
		over := within(c.Followers()[0], 50*time.Millisecond)
		clustertest.Eventually(t, func() error {
			if j, ok := c.Leader().Queen().View().Job(over); ok && !j.State.Ended() {
				return errors.New("a job whose time is over has not ended")
			}
			return nil
		})
		for _, n := range c.Nodes() {
			v, err := n.Queen().Strong(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, id := range jobs {
				if j, ok := v.Job(id); !ok || j.State.Ended() {
					t.Errorf("%s: job %s is there %v, ended by the clock", n.Name, id, ok)
				}
			}
			if now, most := n.Queen().Now(), began+time.Since(from); now < began || now > most {
				t.Errorf("%s: cluster time is %v, more than the %v that went by", n.Name, now-began, time.Since(from))
			}
		}
	}
	for _, jump := range []time.Duration{time.Hour, -2 * time.Hour} {
		leader := c.Settled()
		leader.Clock.Jump(jump)
		check()
		for _, n := range c.Followers() {
			n.Clock.Jump(-jump)
		}
		check()
		lead(t, c, c.Followers()[0])
		check()
	}
	n := c.Followers()[0]
	n.Kill()
	n.Clock.Jump(3 * time.Hour)
	n.Restart()
	c.Settled()
	check()
	c.EnsureSame()
}
