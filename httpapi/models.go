package httpapi

import (
	"errors"
	"net/http"
	"slices"

	"queen-rbee/fsm"
)

// modelJSON is a model in the shape of the OpenAI API, with what is known of it beside.
type modelJSON struct {
	ID      string   `json:"id"`
	Object  string   `json:"object"`
	Created int64    `json:"created"`
	OwnedBy string   `json:"owned_by"`
	State   string   `json:"state"` // ready, loading, downloading, available or unavailable
	AliasOf string   `json:"alias_of,omitempty"`
	Aliases []string `json:"aliases,omitempty"`
	Hives   []string `json:"hives"` // that could serve it
	Engines []string `json:"engines"`
	Workers int      `json:"workers"`
	Slots   int      `json:"slots"`
	Busy    int      `json:"busy"`
	Context int      `json:"context,omitempty"`
}

// stateUnavailable is a model of the catalog that no hive could serve.
const stateUnavailable = "unavailable"

// modelOf shows the model of a ref: one that hives offer, one of the catalog, or both.
func modelOf(v *fsm.View, ref string) modelJSON {
	m := modelJSON{ID: ref, Object: "model", OwnedBy: "queen-rbee", State: stateUnavailable, Hives: []string{}, Engines: []string{}}
	row, ok := v.Model(ref)
	if !ok {
		row = &fsm.Model{}
	}
	m.Aliases, m.Context = row.Aliases, row.Context
	add := func(h *fsm.Hive, engine string) {
		m.Hives, m.Engines = append(m.Hives, h.ID), append(m.Engines, engine)
		m.Created = max(m.Created, h.RegisteredWall/1000)
		m.State = "available"
	}
	for h := range v.HivesWith(ref) {
		for _, em := range h.Facts.Models {
			if em.Ref == ref && labelled(h, row.Labels) {
				add(h, em.Engine)
				if row.Context == 0 {
					m.Context = max(m.Context, em.Context)
				}
			}
		}
	}
	if row.Source != "" {
		for h := range v.HivesWithEngine(row.Engine) {
			if labelled(h, row.Labels) {
				add(h, row.Engine)
			}
		}
	}
	m.Hives, m.Engines = sortedSet(m.Hives), sortedSet(m.Engines)
	m.count(v, ref)
	return m
}

// count adds what there is of the model now.
func (m *modelJSON) count(v *fsm.View, ref string) {
	if m.State == "available" {
		for y := range v.Copies(ref) {
			if y.State == fsm.CopyDownloading {
				m.State = "downloading"
			}
		}
	}
	for w := range v.WorkersOf(ref) {
		m.Workers++
		switch w.State {
		case fsm.WorkerReady:
			m.State = "ready"
			m.Slots += w.Slots
			m.Busy += v.Running(w.ID)
		case fsm.WorkerSpawning, fsm.WorkerLoading:
			if m.State != "ready" {
				m.State = "loading"
			}
		}
	}
}

// labelled tells a hive that has all of some labels.
func labelled(h *fsm.Hive, labels []fsm.Label) bool {
	return !slices.ContainsFunc(labels, func(l fsm.Label) bool { return !slices.Contains(h.Facts.Labels, l) })
}

// models lists every model of the catalog, and every other that some hive offers, in order of id.
func models(v *fsm.View) []modelJSON {
	refs := slices.Collect(v.Models())
	for row := range v.Catalog() {
		refs = append(refs, row.Ref)
	}
	out := []modelJSON{}
	for _, ref := range sortedSet(refs) {
		out = append(out, modelOf(v, ref))
	}
	return out
}

// alias is the model under another name of it.
func (m modelJSON) alias(name string) modelJSON {
	m.ID, m.AliasOf, m.Aliases = name, m.ID, nil
	return m
}

// listModels is GET /v1/models: everything that could be served, loaded or not, under all its names.
func (s *Server) listModels(w http.ResponseWriter, r *request) error {
	items := []modelJSON{}
	for _, m := range models(r.view) {
		if m.State == stateUnavailable {
			continue
		}
		items = append(items, m)
		for _, name := range m.Aliases {
			items = append(items, m.alias(name))
		}
	}
	s.index(w, r.view.Meta().Index)
	return writeJSON(w, http.StatusOK, map[string]any{"object": "list", "data": items})
}

// showModel is GET /v1/models/{id}. What this replica does not know is asked of the leader.
func (s *Server) showModel(w http.ResponseWriter, r *request) error {
	find := func(v *fsm.View) error {
		name := r.vars["id"]
		ref, ok := v.Resolve(name)
		if !ok {
			return fsm.Errorf(fsm.CodeModelNotFound, "model %.100q is offered by no hive; GET /v1/models lists what there is", name)
		}
		m := modelOf(v, ref)
		if slices.Contains(m.Aliases, name) {
			m = m.alias(name)
		}
		s.index(w, v.Meta().Index)
		return writeJSON(w, http.StatusOK, m)
	}
	err := find(r.view)
	if !errors.Is(err, &fsm.Error{Code: fsm.CodeModelNotFound}) {
		return err
	}
	v, err := s.queen.Strong(r.Context())
	if err != nil {
		return err
	}
	return find(v)
}

// modelList is GET /v2/models.
func (s *Server) modelList(w http.ResponseWriter, r *request) error {
	return writePage(w, r, func(yield func(string, func() modelJSON) bool) {
		for _, m := range models(r.view) {
			if !yield(m.ID, func() modelJSON { return m }) {
				return
			}
		}
	})
}
