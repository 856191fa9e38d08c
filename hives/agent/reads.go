package agent

import (
	"net/http"
	"time"

	"queen-rbee/hives"
	"queen-rbee/hives/engine"
)

// reads answers questions about the hive.
type reads struct {
	id      string
	url     string
	version string
	boot    string
	began   time.Time
	menu    *menu
	table   *table
	up      *pipeUp
	queens  *queens
	devices func(*http.Request) []hives.Device
}

type list[T any] struct {
	Items []T `json:"items"`
}

func (d *reads) workers(w http.ResponseWriter, _ *http.Request) error {
	return writeJSON(w, http.StatusOK, list[hives.WorkerReport]{d.table.report().Workers})
}

// workerHealth is one worker in GET /v1/workers/health.
type workerHealth struct {
	ID    string            `json:"id"`
	State hives.WorkerState `json:"state"`
	Error string            `json:"error,omitempty"`
}

// health is 200 whatever the workers' health: it is the body that says it.
func (d *reads) health(w http.ResponseWriter, _ *http.Request) error {
	answer := struct {
		Status string         `json:"status"`
		Items  []workerHealth `json:"items"`
	}{"ok", []workerHealth{}}
	for _, one := range d.table.report().Workers {
		if one.State != hives.WorkerReady {
			answer.Status = "degraded"
		}
		answer.Items = append(answer.Items, workerHealth{one.ID, one.State, one.Error})
	}
	return writeJSON(w, http.StatusOK, answer)
}

// offered is one model in GET /v1/models/list.
type offered struct {
	Engine string `json:"engine"`
	hives.EngineModel
}

func (d *reads) models(w http.ResponseWriter, _ *http.Request) error {
	items := []offered{}
	for _, e := range offers(d.menu.now()) {
		for _, m := range e.Models {
			items = append(items, offered{e.Name, m})
		}
	}
	return writeJSON(w, http.StatusOK, struct {
		list[offered]
		Files []hives.ModelReport `json:"files"`
	}{list[offered]{items}, d.table.parts.shelved()})
}

// engineStatus is one engine in GET /v1/status. Problem is why a server that runs already
// cannot be asked for its models.
type engineStatus struct {
	Name    string `json:"name"`
	URL     string `json:"url,omitempty"`
	Models  int    `json:"models"`
	Problem string `json:"problem,omitempty"`
}

// status is GET /v1/status.
type status struct {
	ID          string         `json:"id"`
	URL         string         `json:"url"`
	Version     string         `json:"version"`
	Boot        string         `json:"boot"`
	StartedAt   time.Time      `json:"started_at"`
	Queen       string         `json:"queen"`
	LastBeat    *time.Time     `json:"last_heartbeat_at"` // the newest answered one; null: none yet
	Epoch       string         `json:"epoch"`
	Incarnation uint64         `json:"incarnation"`
	Index       uint64         `json:"index"` // of the newest desired answer acted on in this session
	Desired     string         `json:"desired"`
	Stopping    bool           `json:"stopping"`
	Devices     []hives.Device `json:"devices"`
	Engines     []engineStatus `json:"engines"`
	Workers     int            `json:"workers"`
	Runs        int            `json:"runs"`  // alive
	Ended       int            `json:"ended"` // terminal records not yet taken
}

func (d *reads) status(w http.ResponseWriter, r *http.Request) error {
	hb := d.table.report()
	queen, _ := d.queens.current()
	s := status{
		ID: d.id, URL: d.url, Version: d.version, Boot: d.boot, StartedAt: d.began.UTC(), Queen: queen,
		Epoch: hb.Epoch, Incarnation: hb.Incarnation, Index: hb.Index, Devices: d.devices(r),
		Workers: len(hb.Workers), Runs: len(hb.Runs), Ended: len(hb.Ended),
	}
	for _, e := range d.menu.now() {
		one := engineStatus{Name: e.Name, Models: len(e.Models), Problem: d.menu.problem(e.Name)}
		if e.External != nil {
			one.URL = e.External.URL
		}
		s.Engines = append(s.Engines, one)
	}
	s.Desired, s.Stopping = d.table.wish()
	if at, ok := d.up.lastBeat(); ok {
		at = at.UTC()
		s.LastBeat = &at
	}
	return writeJSON(w, http.StatusOK, s)
}

// offers is what the hive's engines can serve, as queens read it.
func offers(engines []engine.Definition) []hives.Engine {
	out := make([]hives.Engine, 0, len(engines))
	for _, d := range engines {
		e := hives.Engine{Name: d.Name, Models: []hives.EngineModel{}, TakesFiles: d.TakesFiles()}
		for _, m := range d.Models {
			e.Models = append(e.Models, hives.EngineModel{Ref: m.Ref, VRAMBytes: m.VRAMBytes, Slots: m.Slots, Context: m.Context})
		}
		out = append(out, e)
	}
	return out
}
