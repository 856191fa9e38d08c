package crowd

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"queen-rbee/cmd/internal/chaos/history"
	"queen-rbee/cmd/internal/e2e/rig"
)

// callTime is how long a client waits for an answer. Requests may wait 10 s for a leader.
const callTime = 15 * time.Second

// call does one exchange and notes it. read takes what a 2xx answer told out of its body.
func (c *client) call(ctx context.Context, q *rig.Process, op history.Op, method, path string, body []byte, read func(*history.Answer, []byte) error, headers ...string) history.Answer {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	op.Client, op.Queen = c.name, q.Name
	call := c.w.Record.Begin(op)
	reply, err := c.w.Cluster.Call(ctx, method, q.URL+path, body, headers...)
	if err != nil {
		a := history.Failed(err)
		call.End(a)
		return a
	}
	a := answered(reply.Status, reply.Header, reply.Body)
	if a.Outcome == history.OK && read != nil {
		if err := read(&a, reply.Body); err != nil {
			c.w.Breach("%s %s at %s answered %d with a body that is wrong: %v: %.300s", method, path, q.Name, reply.Status, err, reply.Body)
		}
	}
	call.End(a)
	return a
}

// answered is history.Answered for both forms of errors.
func answered(status int, header http.Header, body []byte) history.Answer {
	var openai struct {
		Error *struct {
			Code string `json:"code"`
		} `json:"error"`
	}
	if status/100 != 2 && json.Unmarshal(body, &openai) == nil && openai.Error != nil {
		body, _ = json.Marshal(map[string]string{"code": openai.Error.Code}) // strings encode
	}
	return history.Answered(status, header, body)
}

// passing tells a refusal that another queen, or a later time, may lift.
func passing(a history.Answer) bool {
	return a.Outcome == history.Unknown || a.Status == 0 || a.Status == http.StatusServiceUnavailable || a.Status == http.StatusTooManyRequests
}

func readRow(a *history.Answer, body []byte) error {
	var row history.Row
	err := json.Unmarshal(body, &row)
	a.Row = &row
	return err
}

func (c *client) show(ctx context.Context, id string) history.Answer {
	path, strong := "/v2/jobs/"+id, c.one(2)
	if strong {
		path += "?consistency=strong"
	}
	return c.call(ctx, c.queen(), history.Op{Kind: history.Show, Job: id, Strong: strong}, http.MethodGet, path, nil, readRow)
}

// cancel asks at queens in turn until one has taken it or says no.
func (c *client) cancel(ctx context.Context, id string) {
	for q := c.queen(); ctx.Err() == nil; q = c.after(q) {
		a := c.call(ctx, q, history.Op{Kind: history.Cancel, Job: id}, http.MethodDelete, "/v2/jobs/"+id, nil, func(a *history.Answer, body []byte) error {
			if a.Status == http.StatusOK {
				return readRow(a, body)
			}
			return nil
		})
		if !passing(a) {
			return
		}
		rig.Pause(ctx, c.upTo(300*time.Millisecond))
	}
}

func (c *client) result(ctx context.Context, id string) {
	c.call(ctx, c.queen(), history.Op{Kind: history.Result, Job: id}, http.MethodGet, "/v2/jobs/"+id+"/result", nil, func(a *history.Answer, body []byte) error {
		var r struct {
			JobID        string `json:"job_id"`
			Text         string `json:"text"`
			FinishReason string `json:"finish_reason"`
		}
		err := json.Unmarshal(body, &r)
		a.JobID, a.Text, a.Reason = r.JobID, r.Text, r.FinishReason
		return err
	})
}

// running lists the jobs that run: one page, so all of one state.
func (c *client) running(ctx context.Context) {
	const filter = "state=running"
	path, strong := "/v2/jobs?limit=1000&"+filter, c.one(2)
	if strong {
		path += "&consistency=strong"
	}
	c.call(ctx, c.queen(), history.Op{Kind: history.List, Strong: strong, Filter: filter}, http.MethodGet, path, nil, func(a *history.Answer, body []byte) error {
		var list struct{ Items []history.Row }
		err := json.Unmarshal(body, &list)
		a.Rows, a.Pages = list.Items, 1
		return err
	})
}

func (c *client) workers(ctx context.Context) {
	path, strong := "/v2/workers?limit=1000", c.one(2)
	if strong {
		path += "&consistency=strong"
	}
	c.call(ctx, c.queen(), history.Op{Kind: history.Workers, Strong: strong}, http.MethodGet, path, nil, func(a *history.Answer, body []byte) error {
		var list struct{ Items []history.Worker }
		err := json.Unmarshal(body, &list)
		a.Workers = list.Items
		return err
	})
}

// submit posts a detached task at queens in turn under one key. "" when it was refused for
// good or ctx has ended.
func (c *client) submit(ctx context.Context, q *rig.Process, key string, task history.Task) string {
	body := taskBody(task, true)
	for ; ctx.Err() == nil; q = c.after(q) {
		a := c.call(ctx, q, history.Op{Kind: history.Submit, Key: key, Task: &task}, http.MethodPost, "/v2/tasks", body, readSubmitted, "Idempotency-Key", key)
		switch {
		case a.Outcome == history.OK:
			return a.JobID
		case !passing(a):
			c.w.Breach("%s refused a task for good: %d %s", q.Name, a.Status, a.Code)
			return ""
		}
		rig.Pause(ctx, c.upTo(300*time.Millisecond))
	}
	return ""
}

func taskBody(t history.Task, detach bool) []byte {
	body, err := json.Marshal(rig.Task{Model: t.Model, Prompt: t.Prompt, MaxTokens: t.MaxTokens, Seed: t.Seed, Detach: detach, OnWorkerLoss: t.OnWorkerLoss})
	if err != nil {
		panic(err) // plain strings and numbers
	}
	return body
}

// lost tells why a connection of a stream ended, in a word where there is one.
func lost(err error) string { return "lost: " + strings.TrimSpace(err.Error()) }
