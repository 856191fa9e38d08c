package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	"queen-rbee/cmd/internal/chaos/history"
	"queen-rbee/cmd/internal/e2e/rig"
)

const (
	slotsEvery = 300 * time.Millisecond
	askTime    = 2 * time.Second
)

// watch looks at hives and replicas while the others work. Safe for concurrent use.
type watch struct {
	cluster *rig.Cluster
	record  *history.Recorder

	mu         sync.Mutex
	samples    int
	violations []string
}

// slots asks every hive for its workers, by the gateway's own word, until ctx ends.
func (w *watch) slots(ctx context.Context) {
	for rig.Pause(ctx, slotsEvery) {
		for _, h := range w.cluster.Hives {
			if h.Alive() && !h.Frozen() {
				w.sample(ctx, h)
			}
		}
	}
}

func (w *watch) sample(ctx context.Context, h *rig.Process) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	var list struct{ Items []history.Worker }
	if _, err := w.cluster.Get(ctx, h.URL+"/v1/workers/list", &list, "Authorization", "Bearer "+w.cluster.HiveToken); err != nil {
		return // it may just have died
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, one := range list.Items {
		if one.Slots == 0 {
			continue // not ready: nothing runs
		}
		w.samples++
		if one.Busy > one.Slots {
			w.violations = append(w.violations, fmt.Sprintf("%s: %s runs %d on %d slots of worker %s", history.Slots, h.Name, one.Busy, one.Slots, one.ID))
		}
	}
}

// hashes asks every living queen for its hash at one index that all have, as far as they answer.
func (w *watch) hashes(ctx context.Context) {
	var index uint64
	var epoch string
	var up []*rig.Process
	for _, q := range w.cluster.Living() {
		ctx, cancel := context.WithTimeout(ctx, askTime)
		cl, err := w.cluster.ClusterAt(ctx, q)
		cancel()
		if err != nil || epoch != "" && cl.Epoch != epoch {
			continue
		}
		epoch = cl.Epoch
		if up = append(up, q); len(up) == 1 || cl.CommitIndex < index {
			index = cl.CommitIndex
		}
	}
	for _, q := range up {
		w.hash(ctx, q, index, epoch)
	}
}

// hash asks one queen and notes the answer.
func (w *watch) hash(ctx context.Context, q *rig.Process, index uint64, epoch string) bool {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	call := w.record.Begin(history.Op{Client: "watch", Kind: history.Hash, Queen: q.Name})
	reply, err := w.cluster.Call(ctx, http.MethodGet, fmt.Sprintf("%s/v2/cluster/hash?index=%d", q.URL, index), nil)
	if err != nil {
		call.End(history.Failed(err))
		return false
	}
	a := history.Answered(reply.Status, reply.Header, reply.Body)
	var h struct {
		Index uint64
		Hash  string
	}
	if a.Outcome == history.OK && json.Unmarshal(reply.Body, &h) == nil {
		a.Hash, a.HashAt, a.Epoch = h.Hash, h.Index, epoch
	}
	call.End(a)
	return a.Hash != "" && a.HashAt == index
}

// seen is how many workers' slots were read, and what was wrong.
func (w *watch) seen() (int, []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.samples, append([]string{}, w.violations...)
}
