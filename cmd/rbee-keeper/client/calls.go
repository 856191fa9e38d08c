package client

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"
)

func (c *Client) get(ctx context.Context, path string, query url.Values, out any) error {
	_, err := c.call(ctx, &request{method: http.MethodGet, path: path, query: query}, out)
	return err
}

// Get answers any GET of the API with its raw JSON.
func (c *Client) Get(ctx context.Context, path string, query url.Values) (json.RawMessage, error) {
	var raw json.RawMessage
	err := c.get(ctx, path, query, &raw)
	return raw, err
}

// pageSize is how many items one request of a list asks for.
const pageSize = 500

// List collects the raw items of a list, page by page, up to limit (0: all).
func (c *Client) List(ctx context.Context, path string, query url.Values, limit int) ([]json.RawMessage, error) {
	q := url.Values{}
	for k, v := range query {
		q[k] = v
	}
	var all []json.RawMessage
	for {
		size := pageSize
		if limit > 0 {
			size = min(size, limit-len(all))
		}
		q.Set("limit", strconv.Itoa(size))
		var page struct {
			Items      []json.RawMessage `json:"items"`
			NextCursor string            `json:"next_cursor"`
		}
		if err := c.get(ctx, path, q, &page); err != nil {
			return nil, err
		}
		all = append(all, page.Items...)
		done := page.NextCursor == "" || len(page.Items) == 0
		if limit > 0 && len(all) >= limit {
			return all[:limit], nil
		}
		if done {
			return all, nil
		}
		q.Set("cursor", page.NextCursor)
	}
}

// ListOf is List with the items decoded.
func ListOf[T any](ctx context.Context, c *Client, path string, query url.Values) ([]T, error) {
	raw, err := c.List(ctx, path, query, 0)
	if err != nil {
		return nil, err
	}
	items := make([]T, len(raw))
	for i, r := range raw {
		if err := json.Unmarshal(r, &items[i]); err != nil {
			return nil, &badAnswer{path, err}
		}
	}
	return items, nil
}

// Jobs lists jobs; query may hold state, tenant, model, priority.
func (c *Client) Jobs(ctx context.Context, query url.Values) ([]Job, error) {
	return ListOf[Job](ctx, c, "/v2/jobs", query)
}

// Hives lists the hives.
func (c *Client) Hives(ctx context.Context) ([]Hive, error) {
	return ListOf[Hive](ctx, c, "/v2/hives", nil)
}

// Workers lists the workers.
func (c *Client) Workers(ctx context.Context) ([]Worker, error) {
	return ListOf[Worker](ctx, c, "/v2/workers", nil)
}

// Job shows one job.
func (c *Client) Job(ctx context.Context, id string) (Job, error) {
	var j Job
	err := c.get(ctx, "/v2/jobs/"+url.PathEscape(id), nil, &j)
	return j, err
}

// Result is the whole output of an ended job.
func (c *Client) Result(ctx context.Context, id string) (Result, error) {
	var r Result
	err := c.get(ctx, "/v2/jobs/"+url.PathEscape(id)+"/result", nil, &r)
	return r, err
}

// Cancel asks for the end of a job; the answer's state may still be running (202).
func (c *Client) Cancel(ctx context.Context, id string) (Job, error) {
	var j Job
	_, err := c.call(ctx, &request{method: http.MethodDelete, path: "/v2/jobs/" + url.PathEscape(id)}, &j)
	return j, err
}

// Submit sends a task that goes on by itself (detach). A repeat with the same key is the
// same job. An empty key gets a fresh one.
func (c *Client) Submit(ctx context.Context, t Task, key string) (Accepted, error) {
	t.Detach, t.Stream = true, nil
	var a Accepted
	_, err := c.call(ctx, taskRequest(t, key), &a)
	return a, err
}

// SubmitBody is Submit of a task's body as it stands, which must say detach. The same body
// under the same key is the same job.
func (c *Client) SubmitBody(ctx context.Context, body json.RawMessage, key string) (Accepted, error) {
	var a Accepted
	_, err := c.call(ctx, &request{method: http.MethodPost, path: "/v2/tasks", body: body, key: key}, &a)
	return a, err
}

func taskRequest(t Task, key string) *request {
	if key == "" {
		key = NewKey()
	}
	return &request{method: http.MethodPost, path: "/v2/tasks", body: t, key: key}
}

// SpawnWorker starts a worker; wait > 0 waits so long for it to be ready.
func (c *Client) SpawnWorker(ctx context.Context, s Spawn, wait time.Duration) (Spawned, error) {
	r := &request{method: http.MethodPost, path: "/v2/workers/spawn", body: s, key: NewKey()}
	if wait > 0 {
		r.patient = true
		r.query = url.Values{"wait": {wait.String()}}
	}
	var out Spawned
	_, err := c.call(ctx, r, &out)
	return out, err
}

// StopWorker ends a worker; it finishes what it runs first.
func (c *Client) StopWorker(ctx context.Context, id string) error {
	_, err := c.call(ctx, &request{method: http.MethodDelete, path: "/v2/workers/" + url.PathEscape(id)}, nil)
	return err
}

// Cluster shows the members.
func (c *Client) Cluster(ctx context.Context) (Cluster, error) {
	var cl Cluster
	err := c.get(ctx, "/v2/cluster", nil, &cl)
	return cl, err
}

// Hash is the state's hash at a batch index; 0 asks for the newest.
func (c *Client) Hash(ctx context.Context, index uint64) (Hash, error) {
	var q url.Values
	if index > 0 {
		q = url.Values{"index": {strconv.FormatUint(index, 10)}}
	}
	var h Hash
	err := c.get(ctx, "/v2/cluster/hash", q, &h)
	return h, err
}

// Tokens are the tokens that admit queens and hives, with the whole commands. Admin only.
func (c *Client) Tokens(ctx context.Context) (JoinTokens, error) {
	var t JoinTokens
	err := c.get(ctx, "/v2/cluster/token", nil, &t)
	return t, err
}

// RemoveQueen takes a queen out of the cluster for good.
func (c *Client) RemoveQueen(ctx context.Context, id string) error {
	cl, err := c.Cluster(ctx)
	if err != nil {
		return err
	}
	member := slices.ContainsFunc(cl.Queens, func(q Queen) bool { return q.ID == id })
	_, err = c.call(ctx, &request{method: http.MethodDelete, path: "/v2/cluster/queens/" + url.PathEscape(id)}, nil)
	if member && errors.Is(err, &Error{Code: codeNotFound}) {
		return nil // done by a try whose answer was lost: the queen asked may have been that one
	}
	return err
}

// Transfer hands leadership to a queen, or to any when to is empty. It is never sent twice.
func (c *Client) Transfer(ctx context.Context, to string) (json.RawMessage, error) {
	body := map[string]string{}
	if to != "" {
		body["to"] = to
	}
	var raw json.RawMessage
	_, err := c.call(ctx, &request{method: http.MethodPost, path: "/v2/cluster/transfer", body: body}, &raw)
	return raw, err
}

// Ready asks whether a queen serves; leader also asks for a known leader.
func (c *Client) Ready(ctx context.Context, leader bool) (Ready, error) {
	var q url.Values
	if leader {
		q = url.Values{"leader": {"1"}}
	}
	var r Ready
	err := c.get(ctx, "/ready", q, &r)
	return r, err
}
