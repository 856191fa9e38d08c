package httpapi

import (
	"context"
	"time"

	"queen-rbee/fsm"
	"queen-rbee/schedule"
)

// headerLoadWait says how long a caller waits for a model that is not loaded; then it is told
// how far the load is, and the request is not accepted.
const headerLoadWait = "X-Rbee-Load-Wait"

// codeLoading is said to callers that do not wait for a load any longer.
const codeLoading = "model_loading"

// loadingJSON is how far a load is. What nobody knows is left out.
type loadingJSON struct {
	State      string  `json:"state"` // waiting for a place, downloading, spawning or loading
	Hive       string  `json:"hive,omitempty"`
	Progress   float64 `json:"progress"`
	Bytes      int64   `json:"bytes,omitempty"`
	TotalBytes int64   `json:"total_bytes,omitempty"`
}

// loadingError carries it to the answer.
type loadingError struct {
	err     *fsm.Error
	loading loadingJSON
}

func (e *loadingError) Error() string { return e.err.Error() }
func (e *loadingError) Unwrap() error { return e.err }

// loadWait is what the header says; false without it.
func (r *request) loadWait() (wait time.Duration, said bool, err error) {
	text := r.Header.Get(headerLoadWait)
	if text == "" {
		return 0, false, nil
	}
	wait, err = withinOf(headerLoadWait, text)
	return wait, true, err
}

// awaitLoad holds a caller that says how long it waits for a load until its job runs, or waits
// only behind others on a model that is loaded. When the time is over the job is taken back, as
// if it had never been accepted.
func (s *Server) awaitLoad(ctx context.Context, wait time.Duration, tenant string, sub *reader) error {
	watch := s.queen.Watch(jobRow(sub.id), fsm.Row{Table: fsm.TableWorker})
	defer watch.Close()
	view, err := s.queen.WaitIndex(ctx, sub.since)
	if err != nil {
		return notShown(ctx, sub.id, err)
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for ; ; view = s.queen.View() {
		j, ok := view.Job(sub.id)
		if !ok || j.State != fsm.JobQueued || loaded(view, j.Model) {
			return nil
		}
		select {
		case <-watch.C():
		case <-timer.C:
			ans, err := s.queen.Do(ctx, schedule.Request{Cancel: &schedule.Cancel{Tenant: tenant, Job: sub.id, Unaccepted: true}})
			if err != nil || ans.State != fsm.JobCancelled {
				return err // it runs, or has ended: it is served
			}
			return s.stillLoading(ctx, s.queen.View(), j.Model)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// loaded tells whether a model has a worker that takes runs.
func loaded(v *fsm.View, model string) bool {
	for w := range v.WorkersOf(model) {
		if w.State == fsm.WorkerReady {
			return true
		}
	}
	return false
}

func (s *Server) stillLoading(ctx context.Context, v *fsm.View, model string) error {
	is := loadingJSON{State: "waiting"}
	m := catalogOf(v, model)
	m.progress(s.fetching(ctx, model))
	for _, l := range m.Loads { // the one that is farthest
		if is.Hive == "" || l.Progress > is.Progress {
			is = loadingJSON{State: l.State, Hive: l.Hive, Progress: l.Progress, Bytes: l.Bytes, TotalBytes: l.TotalBytes}
		}
	}
	err := fsm.Errorf(codeLoading, "model %s is not loaded yet (%s); the load goes on, ask again", model, is.State)
	err.RetryAfter = 5 * time.Second
	return &loadingError{err, is}
}
