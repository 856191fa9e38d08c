package rig

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// Job is what GET /v2/jobs/{id} shows.
type Job struct {
	ID           string `json:"id"`
	State        string `json:"state"`
	Attempt      uint64 `json:"attempt"`
	Worker       string `json:"worker"`
	Hive         string `json:"hive"`
	FinishReason string `json:"finish_reason"`
	Error        *struct {
		Code, Message string
	} `json:"error"`
	Usage *struct {
		CompletionTokens int `json:"completion_tokens"`
	} `json:"usage"`
	History []struct {
		Event, Detail string
	} `json:"history"`
}

// Ended tells a terminal state.
func (j Job) Ended() bool {
	return j.State == "complete" || j.State == "failed" || j.State == "cancelled"
}

// Submit posts a detached task at one queen after the other, beginning with the first, until
// it is accepted. Every try has the same Idempotency-Key. It gives the job's id.
func (c *Cluster) Submit(ctx context.Context, task Task, key string, queens ...string) (string, error) {
	task.Detach = true
	body := task.body()
	for at := 0; ; at++ {
		r, err := c.Call(ctx, http.MethodPost, queens[at%len(queens)]+"/v2/tasks", body, "Idempotency-Key", key)
		if err == nil {
			err = r.Problem()
		}
		switch {
		case err == nil:
			var a struct {
				JobID string `json:"job_id"`
			}
			if err := json.Unmarshal(r.Body, &a); err != nil || r.Status != http.StatusAccepted || a.JobID == "" {
				return "", fmt.Errorf("%d %s: %w", r.Status, r.Body, errors.Join(err, errors.New("want 202 with a job_id")))
			}
			return a.JobID, nil
		case ctx.Err() != nil:
			return "", fmt.Errorf("submitting %s: %w (last: %w)", key, context.Cause(ctx), err)
		case !worthAnother(err):
			return "", fmt.Errorf("submitting %s: %w", key, err)
		}
		if !Pause(ctx, 50*time.Millisecond) {
			return "", context.Cause(ctx)
		}
	}
}

// Job shows a job at one queen.
func (c *Cluster) Job(ctx context.Context, queen, id string) (Job, error) {
	var j Job
	_, err := c.Get(ctx, queen+"/v2/jobs/"+id, &j)
	return j, err
}

// JobNow shows a job with every change acknowledged so far.
func (c *Cluster) JobNow(ctx context.Context, id string) (Job, error) {
	var j Job
	_, err := c.GetAny(ctx, "/v2/jobs/"+id+"?consistency=strong", &j)
	return j, err
}

// AwaitJob polls a job until ok says yes.
func (c *Cluster) AwaitJob(ctx context.Context, id string, within time.Duration, what string, ok func(Job) bool) (Job, error) {
	var j Job
	err := Poll(ctx, within, func(ctx context.Context) error {
		now, err := c.JobNow(ctx, id)
		if err != nil {
			return err
		}
		j = now
		if !ok(j) {
			return fmt.Errorf("job %s is not %s: %s, attempt %d on %s, error %v, history %v", id, what, j.State, j.Attempt, j.Hive, j.Error, j.History)
		}
		return nil
	})
	return j, err
}
