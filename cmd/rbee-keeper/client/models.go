package client

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
)

// Memory is what a worker of a model takes on its device, in its parts, in bytes.
type Memory struct {
	Weights  int64 `json:"weights"`
	KV       int64 `json:"kv"`
	Overhead int64 `json:"overhead"`
	Total    int64 `json:"total"`
}

// ModelCopy is a model's file on a hive, or the wish for it.
type ModelCopy struct {
	Hive   string    `json:"hive"`
	State  string    `json:"state"`
	Bytes  int64     `json:"bytes"`
	Wanted bool      `json:"wanted"`
	Error  *JobError `json:"error"`
}

// ModelLoad is a worker of a model on its way.
type ModelLoad struct {
	WorkerID   string  `json:"worker_id"`
	Hive       string  `json:"hive"`
	Device     string  `json:"device"`
	State      string  `json:"state"`
	Progress   float64 `json:"progress"`
	Bytes      int64   `json:"bytes"`
	TotalBytes int64   `json:"total_bytes"`
}

// Model is one item of GET /v2/models. Catalog tells an entry of the catalog; else hives offer it
// by their own configuration.
type Model struct {
	ID          string            `json:"id"`
	Aliases     []string          `json:"aliases"`
	Source      string            `json:"source"`
	Engine      string            `json:"engine"`
	Digest      string            `json:"digest"`
	SizeBytes   int64             `json:"size_bytes"`
	Memory      *Memory           `json:"memory"`
	VRAMBytes   int64             `json:"vram_bytes"`
	Slots       int               `json:"slots"` // of a worker
	Context     int               `json:"context"`
	IdleTTL     string            `json:"idle_ttl"`
	MinReplicas int               `json:"min_replicas"`
	MaxReplicas int               `json:"max_replicas"`
	Labels      map[string]string `json:"labels"`
	Pin         bool              `json:"pin"`
	Catalog     bool              `json:"catalog"`

	State   string      `json:"state"`
	Reason  string      `json:"reason"`
	Hives   []string    `json:"hives"`
	Engines []string    `json:"engines"`
	Workers int         `json:"workers"`
	Busy    int         `json:"busy"`
	Copies  []ModelCopy `json:"copies"`
	Loads   []ModelLoad `json:"loads"`
}

func modelPath(ref string) string { return "/v2/models/" + url.PathEscape(ref) }

// Model shows a model by its ref or one of its aliases, as the queen's raw JSON.
func (c *Client) Model(ctx context.Context, ref string) (json.RawMessage, error) {
	return c.Get(ctx, modelPath(ref), nil)
}

// Models lists the raw items of all models.
func (c *Client) Models(ctx context.Context) ([]json.RawMessage, error) {
	return c.List(ctx, "/v2/models", nil, 0)
}

// PutModel makes a model's description in the catalog what the body says, the whole of it.
func (c *Client) PutModel(ctx context.Context, ref string, body map[string]any) error {
	_, err := c.call(ctx, &request{method: http.MethodPut, path: modelPath(ref), body: body}, nil)
	return err
}

// DropModel takes a model out of the catalog.
func (c *Client) DropModel(ctx context.Context, ref string) error {
	_, err := c.call(ctx, &request{method: http.MethodDelete, path: modelPath(ref)}, nil)
	return err
}

// EvictModel wants a model's file on hives no more, on all when none is named, and ends its
// downloads there.
func (c *Client) EvictModel(ctx context.Context, ref string, hives []string) error {
	body := map[string]any{"model": ref, "hives": hives}
	_, err := c.call(ctx, &request{method: http.MethodPost, path: "/v2/models/evict", body: body, key: NewKey()}, nil)
	return err
}
