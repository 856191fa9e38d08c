package fleet

import (
	"context"
	"encoding/json"
	"maps"
	"slices"

	"queen-rbee/fsm"
	"queen-rbee/hives"
	"queen-rbee/schedule"
)

// maxPeers bounds the hives that one is told to have a file from.
const maxPeers = 8

// desiredModels lists the files that should be on a hive: those that somebody asked for there,
// and those of its workers, in order of ref.
func desiredModels(view *fsm.View, hive string) []hives.DesiredModel {
	since := map[string]uint64{} // by ref: when it was last desired anew
	for y := range view.CopiesOn(hive) {
		if y.Wanted {
			since[y.Model] = y.Index
		}
	}
	for w := range view.WorkersOn(hive) {
		if w.FromCatalog() {
			since[w.Model] = max(since[w.Model], w.Index)
		}
	}
	list := []hives.DesiredModel{}
	for _, ref := range slices.Sorted(maps.Keys(since)) {
		m, ok := view.Model(ref)
		if !ok || m.Source == "" {
			continue // dropped: what still runs has its file
		}
		list = append(list, hives.DesiredModel{
			Ref: ref, Index: max(since[ref], m.Index), Source: m.Source, Digest: m.Digest, Bytes: m.Size, Peers: peers(view, m, hive),
		})
	}
	return list
}

// peers are the base URLs of other hives that hold the file of a model.
func peers(view *fsm.View, m *fsm.Model, hive string) []string {
	var urls []string
	for y := range view.Copies(m.Ref) {
		if len(urls) == maxPeers {
			break
		}
		if y.Hive == hive || y.State != fsm.CopyPresent || m.Digest == "" || y.Digest != m.Digest {
			continue
		}
		if h, ok := view.Hive(y.Hive); ok && h.Status == fsm.HiveOnline && !h.Leaving {
			urls = append(urls, h.Facts.URL)
		}
	}
	return urls
}

// fetchesOf keeps how far each file is, and when it last moved. It makes a new map: plans read
// the one before.
func fetchesOf(reports []hives.ModelReport, before map[string]schedule.Fetched, now fsm.Time) map[string]schedule.Fetched {
	var files map[string]schedule.Fetched
	for _, m := range reports {
		if m.State != hives.ModelDownloading {
			continue
		}
		is := schedule.Fetched{Done: max(m.DoneBytes, 0), Total: max(m.TotalBytes, 0), Moved: now}
		if was, ok := before[m.Ref]; ok && was.Done == is.Done {
			is.Moved = was.Moved
		}
		if files == nil {
			files = map[string]schedule.Fetched{}
		}
		files[m.Ref] = is
	}
	return files
}

// Fetching is how far a model's file is on its way to a hive.
type Fetching struct {
	Hive  string `json:"hive"`
	Done  int64  `json:"done"`
	Total int64  `json:"total"` // 0 while unknown
}

// Fetching asks the leader where a model's file is on its way to, in order of hive.
func (f *Fleet) Fetching(ctx context.Context, model string) ([]Fetching, error) {
	var list []Fetching
	err := f.callLeader(ctx, fetchMethod, model, &list)
	return list, err
}

func (f *Fleet) leaderFetching(_ context.Context, body []byte) ([]byte, error) {
	var model string
	if err := json.Unmarshal(body, &model); err != nil {
		return nil, fsm.Errorf(fsm.CodeInvalid, "model: does not parse: %v", err)
	}
	list := []Fetching{}
	f.mu.Lock()
	for _, id := range slices.Sorted(maps.Keys(f.heard)) {
		if file, ok := f.heard[id].files[model]; ok {
			list = append(list, Fetching{Hive: id, Done: file.Done, Total: file.Total})
		}
	}
	f.mu.Unlock()
	return json.Marshal(list)
}
