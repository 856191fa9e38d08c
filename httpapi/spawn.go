package httpapi

import (
	"cmp"
	"context"
	"crypto/sha256"
	"net/http"
	"time"

	"github.com/oklog/ulid/v2"

	"queen-rbee/fsm"
	"queen-rbee/schedule"
)

// spawnRequest is the body of POST /v2/workers/spawn.
type spawnRequest struct {
	Model  string `json:"model"`
	Hive   string `json:"hive"`
	Device string `json:"device"`
	Slots  int    `json:"slots"`
}

// spawnWorker is POST /v2/workers/spawn.
func (s *Server) spawnWorker(w http.ResponseWriter, r *request) error {
	var req spawnRequest
	if err := decodeStrict(r.body, &req); err != nil {
		return err
	}
	if err := cmp.Or(validateModel(req.Model), validateName("hive", req.Hive, fsm.MaxID), validateName("device", req.Device, fsm.MaxID)); err != nil {
		return err
	}
	if req.Slots < 0 || req.Slots > 1024 {
		return fsm.Errorf(fsm.CodeInvalid, "slots: is %d, must be 1 to 1024 (0: the engine's own)", req.Slots)
	}
	var wait time.Duration
	if q := r.URL.Query().Get("wait"); q != "" {
		var err error
		if wait, err = time.ParseDuration(q); err != nil || wait < 0 || wait > 10*time.Minute {
			return fsm.Errorf(fsm.CodeInvalid, "wait: %.40q must be a duration of 0s to 10m", q)
		}
	}
	key, err := r.idempotencyKey()
	if err != nil {
		return err
	}
	ans, err := s.queen.Do(r.Context(), schedule.Request{SpawnWorker: &schedule.SpawnWorker{
		ID: workerID(r.tenant, key), Model: req.Model, Hive: req.Hive, Device: req.Device, Slots: req.Slots,
	}})
	if err != nil {
		return err
	}
	s.index(w, ans.Index)
	if key != "" {
		if err := s.sameSpawn(r.Context(), ans, &req); err != nil {
			return err
		}
	}
	state := workerState(&fsm.Worker{State: ans.WorkerState}, s.queen.View().Running(ans.Worker))
	if wait > 0 {
		ctx, cancel := s.untilDrain(r.Context())
		defer cancel()
		if state, err = s.waitReady(ctx, ans, wait); err != nil {
			return err
		}
	}
	return writeJSON(w, http.StatusAccepted, map[string]string{"worker_id": ans.Worker, "state": state})
}

// workerID is a new worker's id, or the one that follows from an Idempotency-Key: the state
// knows a worker by its id alone, so a repeat under the key is the same worker for as long as
// that is kept.
func workerID(tenant, key string) string {
	if key == "" {
		return "w-" + ulid.Make().String()
	}
	// A tenant's name holds no zero byte, so no two pairs are hashed alike.
	sum := sha256.Sum256([]byte("spawn\x00" + tenant + "\x00" + key))
	return "w-" + ulid.ULID(sum[:16]).String()
}

// sameSpawn refuses a request under the key of another one, as far as the worker's row tells:
// what was asked of model, hive and device is there for good, slots are the engine's word later.
func (s *Server) sameSpawn(ctx context.Context, ans schedule.Answer, req *spawnRequest) error {
	view, err := s.queen.WaitIndex(ctx, ans.Index)
	if err != nil {
		return fsm.Errorf(fsm.CodeUnknownOutcome, "worker %s is desired, but this replica cannot show it yet: %v; ask again with the same Idempotency-Key", ans.Worker, err)
	}
	w, ok := view.Worker(ans.Worker)
	if ok && (w.Model != req.Model || req.Hive != "" && w.Hive != req.Hive || req.Device != "" && w.Device != req.Device) {
		return fsm.Errorf(fsm.CodeIdempotencyMismatch, "this Idempotency-Key was used to spawn worker %s of model %s on hive %s, device %s", w.ID, w.Model, w.Hive, w.Device)
	}
	return nil
}

// waitReady waits until a worker takes runs, is gone, or the time is over.
func (s *Server) waitReady(ctx context.Context, ans schedule.Answer, wait time.Duration) (string, error) {
	leave, ok := s.queries.enter(admin)
	if !ok { // told as it is
		return workerStates[ans.WorkerState], nil
	}
	defer leave()
	watch := s.queen.Watch(fsm.Row{Table: fsm.TableWorker, ID: ans.Worker})
	defer watch.Close()
	view, err := s.queen.WaitIndex(ctx, ans.Index)
	if err != nil { // desired all the same: this replica only cannot show it yet
		return workerStates[ans.WorkerState], nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for over := false; ; view = s.queen.View() {
		w, ok := view.Worker(ans.Worker)
		switch {
		case !ok:
			return "", fsm.Errorf(fsm.CodeNotFound, "worker %s is gone", ans.Worker)
		case w.State.Gone() && w.Failure != nil:
			return "", &fsm.Error{Code: fsm.CodeWorkerFailed, Message: w.Failure.Message}
		case over || w.State == fsm.WorkerReady || w.State.Gone():
			return workerState(w, view.Running(w.ID)), nil
		}
		select {
		case <-watch.C():
		case <-timer.C:
			over = true
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
}
