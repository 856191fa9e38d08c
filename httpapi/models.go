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
	State   string   `json:"state"` // as in a catalogModel
	AliasOf string   `json:"alias_of,omitempty"`
	Aliases []string `json:"aliases,omitempty"`
	Hives   []string `json:"hives"` // that could serve it
	Engines []string `json:"engines"`
	Workers int      `json:"workers"`
	Slots   int      `json:"slots"`
	Busy    int      `json:"busy"`
	Context int      `json:"context,omitempty"`
}

// modelOf shows the model of a ref.
func modelOf(v *fsm.View, ref string) modelJSON {
	c := catalogOf(v, ref)
	m := modelJSON{
		ID: ref, Object: "model", OwnedBy: "queen-rbee", State: c.State, Aliases: c.Aliases, Hives: c.Hives, Engines: c.Engines,
		Workers: c.Workers, Slots: c.Total, Busy: c.Busy, Context: c.Context,
	}
	for _, id := range c.Hives {
		if h, ok := v.Hive(id); ok {
			m.Created = max(m.Created, h.RegisteredWall/1000)
		}
	}
	return m
}

// alias is the model under another name of it.
func (m modelJSON) alias(name string) modelJSON {
	m.ID, m.AliasOf, m.Aliases = name, m.ID, nil
	return m
}

// listModels is GET /v1/models: everything that could be served, loaded or not, under all its names.
func (s *Server) listModels(w http.ResponseWriter, r *request) error {
	items := []modelJSON{}
	for _, ref := range catalogRefs(r.view) {
		m := modelOf(r.view, ref)
		if len(m.Hives) == 0 {
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
