package serve

import (
	"net/http"

	"queen-rbee/cmd/rbee-worker/internal/engine"
	"queen-rbee/cmd/rbee-worker/internal/openai"
)

type modelInfo struct {
	ID      string `json:"id"`
	Object  string `json:"object"`
	Created int64  `json:"created"`
	OwnedBy string `json:"owned_by"`
}

func (s *Server) info() modelInfo {
	return modelInfo{ID: s.cfg.Model, Object: "model", Created: s.started.Unix(), OwnedBy: "queen-rbee"}
}

func (s *Server) models(_ *engine.Engine, w http.ResponseWriter, _ *http.Request) error {
	writeJSON(w, http.StatusOK, map[string]any{"object": "list", "data": []modelInfo{s.info()}})
	return nil
}

func (s *Server) model(_ *engine.Engine, w http.ResponseWriter, r *http.Request) error {
	if id := r.PathValue("id"); id != s.cfg.Model {
		return openai.NoSuchModel(id, s.cfg.Model)
	}
	writeJSON(w, http.StatusOK, s.info())
	return nil
}

func (s *Server) health(_ *engine.Engine, w http.ResponseWriter, _ *http.Request) error {
	if s.cfg.HealthFails {
		return openai.Failed("fault-health-fail: the engine says that it is ill as it was told to")
	}
	writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
	return nil
}

type slotInfo struct {
	ID           int  `json:"id"`
	Context      int  `json:"n_ctx"`
	IsProcessing bool `json:"is_processing"`
}

func slots(e *engine.Engine, w http.ResponseWriter, _ *http.Request) error {
	busy, _ := e.Slots().Busy()
	list := make([]slotInfo, len(busy))
	for i, b := range busy {
		list[i] = slotInfo{ID: i, Context: e.Context(), IsProcessing: b}
	}
	writeJSON(w, http.StatusOK, list)
	return nil
}

// props says what a control plane asks of an engine once it is ready.
func (s *Server) props(e *engine.Engine, w http.ResponseWriter, _ *http.Request) error {
	busy, waiting := e.Slots().Busy()
	writeJSON(w, http.StatusOK, map[string]any{
		"total_slots":                 len(busy),
		"requests_waiting":            waiting,
		"default_generation_settings": map[string]any{"n_ctx": e.Context()},
		"model_alias":                 s.cfg.Model,
		"model_path":                  s.cfg.ModelPath,
		"build_info":                  s.cfg.Build,
	})
	return nil
}
