package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"queen-rbee/hives"
)

// attach watches an external server from its first answer to its silence, as once does with a
// process of ours.
func (w *Worker) attach(ctx context.Context) (verdict, error) {
	x := w.launch.Definition.External
	w.logger.Info("watching an external engine", "engine", w.launch.Definition.Name, "url", x.URL)
	return w.live(ctx, noProcess(), x.URL, 0, x.Key, life{})
}

// noProcess stands for a server that others start and stop: nothing signals it, and nothing
// but its answers tells that it is there.
func noProcess() *process {
	p := &process{gone: make(chan struct{}), done: make(chan struct{}), reaped: true}
	close(p.done)
	return p
}

// left tells from a bad answer that the server of a ready worker is gone: its port has refused
// twice, and no stream has brought anything meanwhile. What only hangs gets HangTimeout.
func (w *Worker) left(a probed, g *generation) bool {
	return a.refused >= 2 && w.State().State == hives.WorkerReady && g.lastBytes().Before(a.since)
}

// listed checks that a server still lists the worker's model.
func (w *Worker) listed(body []byte) error {
	var answer struct {
		Data []listedModel `json:"data"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return fmt.Errorf("%s answered with %.60q, not with a list of models", modelsPath, body)
	}
	var ids []string
	for _, m := range answer.Data {
		ids = append(ids, m.ID)
	}
	if !slices.Contains(ids, w.launch.Model.Name) {
		return fmt.Errorf("the server no longer lists %s: it has %s", w.launch.Model.Name, some(ids))
	}
	return nil
}

// WithModel returns a JSON body whose `model` is name. All other members keep their bytes.
func WithModel(body []byte, name string) ([]byte, error) {
	kept, old, err := without(body, "model")
	if err != nil {
		return nil, hives.Errorf(hives.CodeInvalid, "the body must be one JSON object: %v", err)
	}
	text, err := json.Marshal(name)
	if err != nil {
		return nil, hives.Errorf(hives.CodeInvalid, "model: %v", err)
	}
	if bytes.Equal(old["model"], text) {
		return body, nil
	}
	return object(kept, `"model":`+string(text)), nil
}
