package crowd

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"queen-rbee/cmd/internal/chaos/history"
	"queen-rbee/cmd/internal/e2e/rig"
)

// probeEvery is how often a probe writes.
const probeEvery = 500 * time.Millisecond

// probe writes at one queen again and again, whatever the others do: clients that all wait at
// a queen that is cut off would tell nothing of how long the cluster takes no writes.
func (c *client) probe(ctx context.Context, q *rig.Process, enough <-chan struct{}) {
	task := history.Task{Model: rig.Model, Prompt: "Are you there?", Seed: 1, MaxTokens: 1}
	for rig.Pause(ctx, probeEvery) {
		select {
		case <-enough:
			return
		default:
		}
		key := c.key()
		c.call(ctx, q, history.Op{Kind: history.Submit, Key: key, Task: &task}, http.MethodPost, "/v2/tasks", taskBody(task, true), readSubmitted, "Idempotency-Key", key)
	}
}

// readSubmitted reads the answer to a detached task.
func readSubmitted(a *history.Answer, body []byte) error {
	var r struct {
		JobID string `json:"job_id"`
	}
	err := json.Unmarshal(body, &r)
	a.JobID = r.JobID
	return err
}
