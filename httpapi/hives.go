package httpapi

import (
	"net/http"
	"slices"
	"strconv"
	"time"

	"queen-rbee/fsm"
	"queen-rbee/hives"
	"queen-rbee/schedule"
)

// maxWait bounds a blocking query.
const maxWait = 2 * time.Minute

// registerHive is POST /v2/hives.
func (s *Server) registerHive(w http.ResponseWriter, r *request) error {
	var reg hives.Registration
	if err := decodeStrict(r.body, &reg); err != nil {
		return err
	}
	ans, err := s.cfg.Fleet.Register(r.Context(), reg)
	if err != nil {
		return err
	}
	s.index(w, ans.Index)
	return writeJSON(w, http.StatusOK, ans)
}

// heartbeat is POST /v2/hives/{id}/heartbeat.
func (s *Server) heartbeat(w http.ResponseWriter, r *request) error {
	var hb hives.Heartbeat
	if err := decodeOpen(r.body, &hb); err != nil { // a newer hive may say more
		return err
	}
	ans, err := s.cfg.Fleet.Beat(r.Context(), r.vars["id"], &hb)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, ans)
}

// desired is GET /v2/hives/{id}/desired?index=&wait=.
func (s *Server) desired(w http.ResponseWriter, r *request) error {
	q := r.URL.Query()
	var index uint64
	wait := time.Duration(0)
	var err error
	if i := q.Get("index"); i != "" {
		if index, err = strconv.ParseUint(i, 10, 64); err != nil {
			return fsm.Errorf(fsm.CodeInvalid, "index: %.40q is not an index", i)
		}
	}
	if d := q.Get("wait"); d != "" {
		if wait, err = time.ParseDuration(d); err != nil || wait < 0 || wait > maxWait {
			return fsm.Errorf(fsm.CodeInvalid, "wait: %.40q must be a duration of 0s to %s", d, maxWait)
		}
	}
	leave, ok := s.queries.enter(ofHive)
	if !ok {
		return s.queries.errBusy()
	}
	defer leave()
	ctx, cancel := s.untilDrain(r.Context())
	defer cancel()
	d, err := s.cfg.Fleet.Desired(ctx, r.vars["id"], index, wait, q.Get("consistency") == "strong")
	if err != nil {
		return err
	}
	s.index(w, d.Index)
	return writeJSON(w, http.StatusOK, d)
}

// listHives is GET /v2/hives.
func (s *Server) listHives(w http.ResponseWriter, r *request) error {
	return writePage(w, r, func(yield func(string, func() hiveJSON) bool) {
		for h := range r.view.Hives() {
			if !yield(h.ID, func() hiveJSON { return s.hiveOf(r.view, h) }) {
				return
			}
		}
	})
}

// findHive finds the hive a request names, in the request's view or in a newer one.
func (s *Server) findHive(r *request) (*fsm.Hive, error) {
	if h, ok := r.view.Hive(r.vars["id"]); ok {
		return h, nil
	}
	v, err := s.queen.Strong(r.Context())
	if err != nil {
		return nil, err
	}
	h, ok := v.Hive(r.vars["id"])
	if !ok {
		return nil, fsm.Errorf(fsm.CodeNotFound, "there is no hive %.100q", r.vars["id"])
	}
	r.view = v
	return h, nil
}

// showHive is GET /v2/hives/{id}.
func (s *Server) showHive(w http.ResponseWriter, r *request) error {
	h, err := s.findHive(r)
	if err != nil {
		return err
	}
	s.index(w, r.view.Meta().Index)
	return writeJSON(w, http.StatusOK, s.hiveOf(r.view, h))
}

// drainHive is POST /v2/hives/{id}/drain: no new runs; workers stop when theirs have ended.
func (s *Server) drainHive(w http.ResponseWriter, r *request) error {
	return s.wish(w, r, fsm.HiveDrain)
}

// stopHive is POST /v2/hives/{id}/stop: a drain that does not wait for its runs.
func (s *Server) stopHive(w http.ResponseWriter, r *request) error {
	return s.wish(w, r, fsm.HiveStop)
}

// resumeHive is POST /v2/hives/{id}/resume, and start, which is the same.
func (s *Server) resumeHive(w http.ResponseWriter, r *request) error {
	return s.wish(w, r, fsm.HiveRun)
}

func (s *Server) wish(w http.ResponseWriter, r *request, wish fsm.HiveWish) error {
	if len(r.body) > 0 {
		if err := decodeStrict(r.body, &struct{}{}); err != nil {
			return err
		}
	}
	return s.do(w, r, schedule.Request{HiveWish: &schedule.HiveWish{ID: r.vars["id"], Desired: wish}},
		map[string]string{"id": r.vars["id"], "desired": hiveWishes[wish]})
}

// dropHive is DELETE /v2/hives/{id}. That there is no such hive is said here: to the leader a
// drop of what is gone is a request that was sent twice.
func (s *Server) dropHive(w http.ResponseWriter, r *request) error {
	if _, err := s.findHive(r); err != nil {
		return err
	}
	return s.do(w, r, schedule.Request{DropHive: &schedule.DropHive{ID: r.vars["id"]}}, map[string]string{"id": r.vars["id"]})
}

// do asks the leader for a change and answers with body once it is committed.
func (s *Server) do(w http.ResponseWriter, r *request, req schedule.Request, body any) error {
	ans, err := s.queen.Do(r.Context(), req)
	if err != nil {
		return err
	}
	s.index(w, ans.Index)
	return writeJSON(w, http.StatusOK, body)
}

type hiveJSON struct {
	ID              string            `json:"id"`
	URL             string            `json:"url"`
	Mode            string            `json:"mode"`
	Status          string            `json:"status"`
	Desired         string            `json:"desired"`
	Version         string            `json:"version"`
	Devices         []hives.Device    `json:"devices"`
	Labels          map[string]string `json:"labels"`
	Engines         []string          `json:"engines"`
	Models          []string          `json:"models"`
	Workers         []string          `json:"workers"`
	Incarnation     uint64            `json:"incarnation"`
	LastHeartbeatAt *time.Time        `json:"last_heartbeat_at"` // as the leader knows it; null elsewhere
}

var hiveWishes = map[fsm.HiveWish]string{
	fsm.HiveRun: hives.HiveRunning, fsm.HiveDrain: hives.HiveDraining, fsm.HiveStop: hives.HiveStopped,
}

func (s *Server) hiveOf(v *fsm.View, h *fsm.Hive) hiveJSON {
	out := hiveJSON{
		ID: h.ID, URL: h.Facts.URL, Mode: h.Mode, Status: "online", Desired: hiveWishes[h.Desired], Version: h.Facts.Version,
		Devices: []hives.Device{}, Labels: map[string]string{}, Engines: []string{}, Models: []string{}, Workers: []string{},
		Incarnation: h.Incarnation,
	}
	switch {
	case h.Status == fsm.HiveOffline:
		out.Status = "offline"
	case h.Leaving:
		out.Status = "leaving"
	}
	var measured map[string]hives.Device
	if s.queen.Status().IsLeader {
		var heard time.Time
		if heard, measured = s.cfg.Fleet.Heard(h.ID); !heard.IsZero() {
			utc := heard.UTC()
			out.LastHeartbeatAt = &utc
		}
	}
	for _, d := range h.Facts.Devices {
		dev := measured[d.ID]
		dev.ID, dev.Kind, dev.TotalBytes = d.ID, d.Kind, d.Total
		out.Devices = append(out.Devices, dev)
	}
	for _, l := range h.Facts.Labels {
		out.Labels[l.Key] = l.Value
	}
	for _, m := range h.Facts.Models {
		out.Engines = append(out.Engines, m.Engine)
		out.Models = append(out.Models, m.Ref)
	}
	slices.Sort(out.Engines)
	out.Engines = slices.Compact(out.Engines)
	out.Models = slices.Compact(out.Models) // sorted by ref already
	for w := range v.WorkersOn(h.ID) {
		out.Workers = append(out.Workers, w.ID)
	}
	return out
}
