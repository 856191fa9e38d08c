package httpapi

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"queen-rbee/fsm"
	"queen-rbee/schedule"
)

// downloadBody is the body of POST /v2/models/download and /v2/models/evict.
type downloadBody struct {
	Model  string   `json:"model"`
	Source string   `json:"source"`
	Engine string   `json:"engine"`
	Hives  []string `json:"hives"`
}

// downloadModel is POST /v2/models/download: the file of a model is wanted on hives. A model
// that the catalog has not is added, when a source is given.
func (s *Server) downloadModel(w http.ResponseWriter, r *request) error {
	var b downloadBody
	if err := decodeStrict(r.body, &b); err != nil {
		return err
	}
	if b.Model == "" {
		return fsm.Errorf(fsm.CodeInvalid, "model: is missing")
	}
	if err := s.describeNew(r, &b); err != nil {
		return err
	}
	ans, err := s.queen.Do(r.Context(), schedule.Request{Fetch: &schedule.Fetch{Ref: b.Model, Hives: b.Hives}})
	if err != nil {
		return err
	}
	v, err := s.queen.WaitIndex(r.Context(), ans.Index)
	if err != nil {
		return err
	}
	s.index(w, ans.Index)
	ref, _ := v.Resolve(b.Model)
	if !strings.Contains(r.Header.Get("Accept"), "text/event-stream") {
		return writeJSON(w, http.StatusAccepted, map[string]any{"model": ref, "hives": ans.Hives, "state": copiesState(v, ref, ans.Hives)})
	}
	closeStream, err := s.openStream()
	if err != nil {
		return err
	}
	defer closeStream()
	ctx, cancel := tied(r.Context(), s.drain)
	defer cancel()
	d := &download{s: s, out: newSSE(w, r.Request), ref: ref, hives: ans.Hives, said: map[string]downloadEvent{}}
	return d.run(ctx)
}

// describeNew adds a model with a source to the catalog, if it is not there or has another one.
func (s *Server) describeNew(r *request, b *downloadBody) error {
	m, known := r.view.Named(b.Model)
	switch {
	case b.Source == "":
		return nil
	case known && m.Source == b.Source && (b.Engine == "" || b.Engine == m.Engine):
		return nil
	case known:
		return fsm.Errorf(fsm.CodeConflict, "source: model %s has source %q and engine %s; PUT /v2/models/%s changes them", m.Ref, m.Source, m.Engine, m.Ref)
	}
	if b.Engine == "" {
		b.Engine = engineFor(r.view)
	}
	_, err := s.queen.Do(r.Context(), schedule.Request{PutModel: &schedule.PutModel{Model: fsm.Model{Ref: b.Model, Source: b.Source, Engine: b.Engine, Slots: 1}}})
	return err
}

// engineFor is the engine of a model whose user named none: llama.cpp where a hive has it, else
// the only one that takes files; empty when that does not decide.
func engineFor(v *fsm.View) string {
	var names []string
	for h := range v.Hives() {
		names = append(names, h.Facts.Engines...)
	}
	names = sortedSet(names)
	switch {
	case slices.Contains(names, "llama.cpp"):
		return "llama.cpp"
	case len(names) == 1:
		return names[0]
	}
	return ""
}

// evictModel is POST /v2/models/evict: the file is wanted on hives no more, on all when none is
// named, and its idle workers there are stopped. It also ends a download under way.
func (s *Server) evictModel(w http.ResponseWriter, r *request) error {
	var b struct {
		Model string   `json:"model"`
		Hives []string `json:"hives"`
	}
	if err := decodeStrict(r.body, &b); err != nil {
		return err
	}
	return s.evict(w, r, b.Model, b.Hives)
}

// cancelDownload is DELETE /v2/models/download?model=&hive=.
func (s *Server) cancelDownload(w http.ResponseWriter, r *request) error {
	return s.evict(w, r, r.URL.Query().Get("model"), r.URL.Query()["hive"])
}

func (s *Server) evict(w http.ResponseWriter, r *request, model string, hives []string) error {
	if model == "" {
		return fsm.Errorf(fsm.CodeInvalid, "model: is missing")
	}
	ans, err := s.queen.Do(r.Context(), schedule.Request{Fetch: &schedule.Fetch{Ref: model, Hives: hives, Drop: true}})
	if err != nil {
		return err
	}
	s.index(w, ans.Index)
	return writeJSON(w, http.StatusOK, map[string]any{"model": model, "hives": append([]string{}, ans.Hives...)})
}

// copiesState is the least advanced state of a model's copies on some hives.
func copiesState(v *fsm.View, ref string, hives []string) string {
	state := fsm.CopyPresent
	for _, id := range hives {
		y, ok := v.Copy(ref, id)
		switch {
		case !ok || y.State == fsm.CopyDownloading:
			return fsm.CopyDownloading.String()
		case y.State == fsm.CopyFailed:
			state = fsm.CopyFailed
		}
	}
	return state.String()
}

// downloadEvent is the data of a progress event.
type downloadEvent struct {
	Hive       string  `json:"hive"`
	State      string  `json:"state"`
	Bytes      int64   `json:"bytes"`
	TotalBytes int64   `json:"total_bytes"` // 0 while unknown
	Progress   float64 `json:"progress"`
}

// download tells one client how far the files of a model are, until all of them are there or
// have failed. It only watches: a client that goes ends nothing.
type download struct {
	s     *Server
	out   *sse
	ref   string
	hives []string
	said  map[string]downloadEvent
}

// progressEvery is how often the leader is asked how far files are.
const progressEvery = 500 * time.Millisecond

func (d *download) run(ctx context.Context) error {
	watch := d.s.queen.Watch(fsm.Row{Table: fsm.TableCopy})
	defer watch.Close()
	every := time.NewTicker(progressEvery)
	defer every.Stop()
	if err := d.out.open(); err != nil {
		return err
	}
	for {
		over, err := d.tell(ctx)
		if over || err != nil {
			return err
		}
		if _, err := d.out.keepAwake(keepAlive); err != nil {
			return err
		}
		select {
		case <-watch.C():
		case <-every.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// tell writes what changed, and the end when all hives have it or gave up.
func (d *download) tell(ctx context.Context) (over bool, err error) {
	v := d.s.queen.View()
	var files map[string]modelLoad
	if copiesState(v, d.ref, d.hives) == fsm.CopyDownloading.String() {
		files = d.s.fetching(ctx, d.ref)
	}
	going, failed := 0, (*fsm.Failure)(nil)
	for _, id := range d.hives {
		is := downloadEvent{Hive: id, State: fsm.CopyDownloading.String()}
		y, ok := v.Copy(d.ref, id)
		switch {
		case !ok || !y.Wanted && y.State != fsm.CopyPresent:
			is.State, failed = "cancelled", &fsm.Failure{Code: fsm.CodeCancelled, Message: "hive " + id + ": nobody wants it there any more"}
		case y.State == fsm.CopyPresent:
			is.State, is.Bytes, is.TotalBytes, is.Progress = y.State.String(), y.Bytes, y.Bytes, 1
		case y.State == fsm.CopyFailed:
			is.State, failed = y.State.String(), &fsm.Failure{Code: fsm.CodeWorkerFailed, Message: "hive " + id + " gave up"}
			if y.Failure != nil {
				failed = &fsm.Failure{Code: y.Failure.Code, Message: "hive " + id + ": " + y.Failure.Message}
			}
		default:
			going++
			f := files[id]
			is.Bytes, is.TotalBytes, is.Progress = f.Bytes, f.TotalBytes, f.Progress
		}
		if d.said[id] == is {
			continue
		}
		d.said[id] = is
		if err := d.out.write(appendEvent(nil, "progress", "", is)); err != nil {
			return false, err
		}
	}
	switch {
	case going > 0:
		return false, nil
	case failed != nil:
		return true, d.out.write(appendEvent(nil, "error", "", errorEvent{Code: failed.Code, Message: failed.Message}))
	}
	return true, d.out.write(appendEvent(nil, "end", "", map[string]any{"model": d.ref, "hives": d.hives}))
}
