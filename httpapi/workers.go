package httpapi

import (
	"net/http"
	"time"

	"queen-rbee/fsm"
	"queen-rbee/hives"
	"queen-rbee/schedule"
)

type workerJSON struct {
	ID         string      `json:"id"`
	Hive       string      `json:"hive"`
	Device     string      `json:"device"`
	Model      string      `json:"model"`
	Engine     string      `json:"engine"`
	Desired    string      `json:"desired"`
	State      string      `json:"state"`
	Slots      int         `json:"slots"`
	Busy       int         `json:"busy"`
	VRAMBytes  int64       `json:"vram_bytes"`
	URL        string      `json:"url"`
	Error      *errorEvent `json:"error,omitempty"`
	ChangedAt  *time.Time  `json:"changed_at"`
	LastUsedAt *time.Time  `json:"last_used_at"`
	KeepUntil  *time.Time  `json:"keep_until"` // when it leaves if nobody uses it; null for never, or while it is used
}

var workerStates = map[fsm.WorkerState]string{
	fsm.WorkerSpawning: "spawning", fsm.WorkerLoading: "loading", fsm.WorkerDraining: "draining",
	fsm.WorkerStopped: "stopped", fsm.WorkerFailed: "failed",
}

// workerState tells idle and busy apart, which the state does not store.
func workerState(w *fsm.Worker, busy int) string {
	switch {
	case w.State != fsm.WorkerReady:
		return workerStates[w.State]
	case busy > 0:
		return "busy"
	default:
		return "idle"
	}
}

func workerOf(v *fsm.View, w *fsm.Worker) workerJSON {
	busy := v.Running(w.ID)
	out := workerJSON{
		ID: w.ID, Hive: w.Hive, Device: w.Device, Model: w.Model, Engine: w.Engine, Desired: "running",
		State: workerState(w, busy), Slots: w.Slots, Busy: busy, VRAMBytes: w.VRAM, ChangedAt: millisTime(w.Wall),
	}
	if w.State.Gone() || w.State == fsm.WorkerDraining {
		out.Desired = "stopped"
	}
	if h, ok := v.Hive(w.Hive); ok {
		out.URL = hives.WorkerURL(h.Facts.URL, w.ID)
	}
	if w.Failure != nil {
		out.Error = &errorEvent{Code: w.Failure.Code, Message: w.Failure.Message}
	}
	if w.LastUsed > 0 {
		// Cluster time is told as wall time by its distance from the view's own.
		m := v.Meta()
		out.LastUsedAt = millisTime(m.Wall - (m.Now - w.LastUsed).Milliseconds())
	}
	if keep, ends := v.KeepOf(w); ends && busy == 0 && w.State == fsm.WorkerReady {
		m := v.Meta()
		out.KeepUntil = millisTime(m.Wall + (w.LastUsed + keep - m.Now).Milliseconds())
	}
	return out
}

// listWorkers is GET /v2/workers.
func (s *Server) listWorkers(w http.ResponseWriter, r *request) error {
	return writePage(w, r, func(yield func(string, func() workerJSON) bool) {
		for wk := range r.view.Workers() {
			if !yield(wk.ID, func() workerJSON { return workerOf(r.view, wk) }) {
				return
			}
		}
	})
}

// stopWorker is DELETE /v2/workers/{id}; ?force=true ends its runs too.
func (s *Server) stopWorker(w http.ResponseWriter, r *request) error {
	force, err := flagOf(r, "force")
	if err != nil {
		return err
	}
	return s.stop(w, r, r.vars["id"], force)
}

// shutdownWorker is POST /v2/workers/shutdown.
func (s *Server) shutdownWorker(w http.ResponseWriter, r *request) error {
	var req struct {
		WorkerID string `json:"worker_id"`
		Force    bool   `json:"force"`
	}
	if err := decodeStrict(r.body, &req); err != nil {
		return err
	}
	if req.WorkerID == "" {
		return fsm.Errorf(fsm.CodeInvalid, "worker_id: is missing")
	}
	if err := validateName("worker_id", req.WorkerID, fsm.MaxID); err != nil {
		return err
	}
	return s.stop(w, r, req.WorkerID, req.Force)
}

func (s *Server) stop(w http.ResponseWriter, r *request, id string, force bool) error {
	ans, err := s.queen.Do(r.Context(), schedule.Request{StopWorker: &schedule.StopWorker{ID: id, Force: force}})
	if err != nil {
		return err
	}
	s.index(w, ans.Index)
	return writeJSON(w, http.StatusAccepted, map[string]string{"worker_id": id, "state": workerStates[ans.WorkerState]})
}
