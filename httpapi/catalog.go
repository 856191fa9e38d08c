package httpapi

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"queen-rbee/fsm"
	"queen-rbee/hives"
	"queen-rbee/schedule"
)

// catalogModel is a model with all that is known of it: its description, what a worker takes,
// which hives hold its file, what runs, and why it is not placed.
type catalogModel struct {
	ID          string            `json:"id"`
	Aliases     []string          `json:"aliases"`
	Source      string            `json:"source,omitempty"`
	Engine      string            `json:"engine,omitempty"`
	Digest      string            `json:"digest,omitempty"`
	SizeBytes   int64             `json:"size_bytes,omitempty"`
	Memory      *modelMemory      `json:"memory,omitempty"`
	VRAMBytes   int64             `json:"vram_bytes,omitempty"`
	Slots       int               `json:"slots"`
	Context     int               `json:"context,omitempty"`
	IdleTTL     string            `json:"idle_ttl,omitempty"`
	MinReplicas int               `json:"min_replicas"`
	MaxReplicas int               `json:"max_replicas"`
	Labels      map[string]string `json:"labels"`
	Pin         bool              `json:"pin"`
	Catalog     bool              `json:"catalog"` // it has an entry; else a hive offers it by its own configuration

	State   string      `json:"state"` // ready, loading, downloading, available or unavailable
	Reason  string      `json:"reason,omitempty"`
	Hives   []string    `json:"hives"` // that could serve it
	Engines []string    `json:"engines"`
	Workers int         `json:"workers"`
	Total   int         `json:"total_slots"` // of those that are ready
	Busy    int         `json:"busy"`
	Copies  []modelCopy `json:"copies"`
	Loads   []modelLoad `json:"loads"`
}

// modelMemory is what a worker takes, in its parts.
type modelMemory struct {
	hives.Memory
	Total int64 `json:"total"`
}

type modelCopy struct {
	Hive   string      `json:"hive"`
	State  string      `json:"state"`
	Bytes  int64       `json:"bytes"`
	Wanted bool        `json:"wanted"`
	Error  *errorEvent `json:"error,omitempty"`
}

// modelLoad is a worker on its way. Bytes are those of its file, as far as the leader knows.
type modelLoad struct {
	WorkerID   string  `json:"worker_id"`
	Hive       string  `json:"hive"`
	Device     string  `json:"device"`
	State      string  `json:"state"`
	Progress   float64 `json:"progress"`
	Bytes      int64   `json:"bytes,omitempty"`
	TotalBytes int64   `json:"total_bytes,omitempty"`
}

// catalogOf shows the model of a ref: of the catalog, of hives' own configurations, or both.
func catalogOf(v *fsm.View, ref string) catalogModel {
	row, known := v.Model(ref)
	if !known {
		row = &fsm.Model{Ref: ref}
	}
	m := catalogModel{
		ID: ref, Aliases: append([]string{}, row.Aliases...), Source: row.Source, Engine: row.Engine, Digest: row.Digest, SizeBytes: row.Size,
		VRAMBytes: row.VRAM, Slots: row.Slots, Context: row.Context, MinReplicas: row.MinReplicas, MaxReplicas: row.MaxReplicas,
		Labels: map[string]string{}, Pin: row.Pin, Catalog: known, State: "unavailable",
		Hives: []string{}, Engines: []string{}, Copies: []modelCopy{}, Loads: []modelLoad{},
	}
	for _, l := range row.Labels {
		m.Labels[l.Key] = l.Value
	}
	if row.IdleTTL != 0 {
		m.IdleTTL = fsm.KeepFor(row.IdleTTL).String()
	}
	if row.Memory.Total() > 0 {
		m.Memory = &modelMemory{hives.Memory{Weights: row.Memory.Weights, KV: row.Memory.KV, Overhead: row.Memory.Overhead}, row.Memory.Total()}
	}
	m.offers(v, row)
	m.holdings(v, ref)
	m.runs(v, ref)
	if m.State == "unavailable" || m.State == "available" && row.Source != "" && row.Need() == 0 {
		m.Reason = unplaced(v, row, m.Hives)
	}
	return m
}

// offers finds the hives and engines that could serve it.
func (m *catalogModel) offers(v *fsm.View, row *fsm.Model) {
	add := func(h *fsm.Hive, engine string) {
		for _, l := range row.Labels {
			if !slices.Contains(h.Facts.Labels, l) {
				return
			}
		}
		m.Hives, m.Engines, m.State = append(m.Hives, h.ID), append(m.Engines, engine), "available"
	}
	for h := range v.HivesWith(row.Ref) {
		for _, em := range h.Facts.Models {
			if em.Ref == row.Ref {
				add(h, em.Engine)
				m.Context, m.Slots = cmp.Or(m.Context, em.Context), cmp.Or(m.Slots, em.Slots)
			}
		}
	}
	if row.Source != "" {
		for h := range v.HivesWithEngine(row.Engine) {
			add(h, row.Engine)
		}
	}
	m.Hives, m.Engines = sortedSet(m.Hives), sortedSet(m.Engines)
}

func (m *catalogModel) holdings(v *fsm.View, ref string) {
	for y := range v.Copies(ref) {
		c := modelCopy{Hive: y.Hive, State: y.State.String(), Bytes: y.Bytes, Wanted: y.Wanted}
		if y.Failure != nil {
			c.Error = &errorEvent{Code: y.Failure.Code, Message: y.Failure.Message}
		}
		if y.State == fsm.CopyDownloading && m.State == "available" {
			m.State = "downloading"
		}
		m.Copies = append(m.Copies, c)
	}
}

func (m *catalogModel) runs(v *fsm.View, ref string) {
	for w := range v.WorkersOf(ref) {
		m.Workers++
		m.Busy += v.Running(w.ID)
		switch w.State {
		case fsm.WorkerReady:
			m.State = "ready"
			m.Total += w.Slots
		case fsm.WorkerSpawning, fsm.WorkerLoading:
			if m.State != "ready" {
				m.State = "loading"
			}
			m.Loads = append(m.Loads, modelLoad{WorkerID: w.ID, Hive: w.Hive, Device: w.Device, State: workerStates[w.State], Progress: w.Progress})
		}
	}
}

// unplaced says why no worker of a model can be had.
func unplaced(v *fsm.View, m *fsm.Model, could []string) string {
	switch {
	case m.Source == "" && len(could) == 0:
		return "no hive offers it by its own configuration, and it has no source"
	case len(could) == 0:
		return fmt.Sprintf("no hive has engine %s that takes files, and its labels", m.Engine)
	case m.Need() == 0 && m.Failure != nil:
		return "its source could not be read: " + m.Failure.Message
	case m.Source != "" && m.Need() == 0:
		return "what a worker of it takes is not known yet"
	}
	for _, id := range could {
		if b, ok := v.Block(m.Ref, id); ok {
			return fmt.Sprintf("hive %s failed it: %s", id, b.Failure.Message)
		}
	}
	return ""
}

// catalogRefs are the refs of the catalog and of what hives offer by themselves, in order.
func catalogRefs(v *fsm.View) []string {
	refs := slices.Collect(v.Models())
	for m := range v.Catalog() {
		refs = append(refs, m.Ref)
	}
	return sortedSet(refs)
}

// catalogList is GET /v2/models.
func (s *Server) catalogList(w http.ResponseWriter, r *request) error {
	return writePage(w, r, func(yield func(string, func() catalogModel) bool) {
		for _, ref := range catalogRefs(r.view) {
			if !yield(ref, func() catalogModel { return catalogOf(r.view, ref) }) {
				return
			}
		}
	})
}

// catalogShow is GET /v2/models/{ref}: by ref or alias, with how far its loads are.
func (s *Server) catalogShow(w http.ResponseWriter, r *request) error {
	v := r.view
	ref, ok := v.Resolve(r.vars["ref"])
	if !ok { // what this replica does not know is asked of the leader
		var err error
		if v, err = s.queen.Strong(r.Context()); err != nil {
			return err
		}
		if ref, ok = v.Resolve(r.vars["ref"]); !ok {
			return fsm.Errorf(fsm.CodeModelNotFound, "there is no model %.100q; GET /v2/models lists what there is", r.vars["ref"])
		}
	}
	m := catalogOf(v, ref)
	if len(m.Loads) > 0 {
		m.progress(s.fetching(r.Context(), ref))
	}
	s.index(w, v.Meta().Index)
	return writeJSON(w, http.StatusOK, m)
}

// fetchingFor bounds the question how far a file is: without an answer it is left out.
const fetchingFor = time.Second

// fetching is how far a model's file is on its way, by hive, as the leader knows it.
func (s *Server) fetching(ctx context.Context, ref string) map[string]modelLoad {
	ctx, cancel := context.WithTimeout(ctx, fetchingFor)
	defer cancel()
	list, err := s.cfg.Fleet.Fetching(ctx, ref)
	if err != nil {
		return nil
	}
	files := map[string]modelLoad{}
	for _, f := range list {
		is := modelLoad{Hive: f.Hive, State: hives.ModelDownloading, Bytes: f.Done, TotalBytes: f.Total}
		if f.Total > 0 {
			is.Progress = min(float64(f.Done)/float64(f.Total), 1)
		}
		files[f.Hive] = is
	}
	return files
}

// progress adds to loads that wait for their file how far it is.
func (m *catalogModel) progress(files map[string]modelLoad) {
	for i := range m.Loads {
		l := &m.Loads[i]
		if f, ok := files[l.Hive]; ok && l.State == workerStates[fsm.WorkerSpawning] {
			l.State, l.Progress, l.Bytes, l.TotalBytes = f.State, f.Progress, f.Bytes, f.TotalBytes
		}
	}
}

// modelBody is the description of a model, as models.yaml has it.
type modelBody struct {
	Ref         string            `json:"ref"`
	Aliases     []string          `json:"aliases"`
	Source      string            `json:"source"`
	Engine      string            `json:"engine"`
	Digest      string            `json:"digest"`
	Slots       int               `json:"slots"`
	Context     int               `json:"context"`
	IdleTTL     string            `json:"idle_ttl"`
	MinReplicas int               `json:"min_replicas"`
	MaxReplicas int               `json:"max_replicas"`
	VRAMBytes   int64             `json:"vram_bytes"`
	Labels      map[string]string `json:"labels"`
	Pin         bool              `json:"pin"`
}

// putModel is PUT /v2/models/{ref}: it replaces the whole description.
func (s *Server) putModel(w http.ResponseWriter, r *request) error {
	var b modelBody
	if err := decodeStrict(r.body, &b); err != nil {
		return err
	}
	if b.Ref != "" && b.Ref != r.vars["ref"] {
		return fsm.Errorf(fsm.CodeInvalid, "ref: is %.100q in the body and %.100q in the path", b.Ref, r.vars["ref"])
	}
	m, err := b.model(r.vars["ref"])
	if err != nil {
		return err
	}
	ans, err := s.queen.Do(r.Context(), schedule.Request{PutModel: &schedule.PutModel{Model: m}})
	if err != nil {
		return err
	}
	v, err := s.queen.WaitIndex(r.Context(), ans.Index)
	if err != nil {
		return err
	}
	s.index(w, ans.Index)
	return writeJSON(w, http.StatusOK, catalogOf(v, m.Ref))
}

func (b *modelBody) model(ref string) (fsm.Model, error) {
	m := fsm.Model{
		Ref: ref, Aliases: b.Aliases, Source: b.Source, Engine: b.Engine, Digest: b.Digest, VRAM: b.VRAMBytes,
		Slots: cmp.Or(b.Slots, 1), Context: b.Context, MinReplicas: b.MinReplicas, MaxReplicas: b.MaxReplicas, Pin: b.Pin,
	}
	if b.Source == "" { // as the hives' own configurations have it
		m.Slots = b.Slots
	}
	var err error
	if m.Labels, err = labelsOf(b.Labels); err != nil {
		return m, err
	}
	switch b.IdleTTL {
	case "", "0":
	case "-1":
		m.IdleTTL = -1
	default:
		if m.IdleTTL, err = time.ParseDuration(b.IdleTTL); err != nil {
			return m, fsm.Errorf(fsm.CodeInvalid, `idle_ttl: %.40q is no duration such as "10m", nor "-1" for ever`, b.IdleTTL)
		}
	}
	return m, nil
}

// dropModel is DELETE /v2/models/{ref}.
func (s *Server) dropModel(w http.ResponseWriter, r *request) error {
	ans, err := s.queen.Do(r.Context(), schedule.Request{DropModel: &schedule.DropModel{Ref: r.vars["ref"]}})
	if err != nil {
		return err
	}
	s.index(w, ans.Index)
	w.WriteHeader(http.StatusNoContent)
	return nil
}
