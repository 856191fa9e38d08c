package fleet

import (
	"cmp"
	"net/url"
	"slices"
	"time"

	"queen-rbee/fsm"
	"queen-rbee/hives"
	"queen-rbee/schedule"
)

// Bounds of what one hive may say of itself; all within what a log entry can hold, with
// room for what a decision adds to an error.
const (
	maxDevices = 64
	maxLabels  = 64
	maxModels  = 4096
	maxWorkers = 1024
	maxEngines = fsm.MaxEngines
	maxRuns    = 65536
	maxText    = fsm.MaxID
	maxRef     = 256
	maxURL     = 512
	maxSlots   = 4096 // of one worker
	maxError   = fsm.MaxText / 2
)

// facts turns what a hive tells of itself into the state's form, sorted and bounded.
func facts(hiveURL, version string, devices []hives.Device, labels map[string]string, engines []hives.Engine) (fsm.HiveFacts, error) {
	f := fsm.HiveFacts{URL: hiveURL, Version: version}
	if u, err := url.Parse(hiveURL); err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") || len(hiveURL) > maxURL {
		return f, fsm.Errorf(fsm.CodeInvalid, "url: %.100q is not an http(s) URL that queens can reach; set the hive's --advertise-url", hiveURL)
	}
	if len(devices) > maxDevices {
		return f, fsm.Errorf(fsm.CodeInvalid, "devices: %d, at most %d", len(devices), maxDevices)
	}
	for _, d := range devices {
		if d.ID == "" || len(d.ID) > maxText || len(d.Kind) > maxText || d.TotalBytes < 0 {
			return f, fsm.Errorf(fsm.CodeInvalid, "devices: %.100q: an id of 1 to %d bytes and total_bytes >= 0 are needed", d.ID, maxText)
		}
		if slices.ContainsFunc(f.Devices, func(had fsm.Device) bool { return had.ID == d.ID }) {
			return f, fsm.Errorf(fsm.CodeInvalid, "devices: %.100q is there twice", d.ID)
		}
		f.Devices = append(f.Devices, fsm.Device{ID: d.ID, Kind: d.Kind, Total: d.TotalBytes})
	}
	if len(labels) > maxLabels {
		return f, fsm.Errorf(fsm.CodeInvalid, "labels: %d, at most %d", len(labels), maxLabels)
	}
	for k, v := range labels {
		if k == "" || len(k) > maxText || len(v) > maxText {
			return f, fsm.Errorf(fsm.CodeInvalid, "labels: %.100q: keys of 1 to %d bytes, values of at most as many", k, maxText)
		}
		f.Labels = append(f.Labels, fsm.Label{Key: k, Value: v})
	}
	slices.SortFunc(f.Labels, func(a, b fsm.Label) int { return cmp.Compare(a.Key, b.Key) })
	models, err := engineModels(engines)
	f.Models = models
	for _, e := range engines {
		if e.TakesFiles && err == nil {
			if e.Name == "" || len(e.Name) > maxText || len(f.Engines) == maxEngines {
				return f, fsm.Errorf(fsm.CodeInvalid, "engines: %.100q takes files: at most %d do, with names of 1 to %d bytes", e.Name, maxEngines, maxText)
			}
			f.Engines = append(f.Engines, e.Name)
		}
	}
	slices.Sort(f.Engines)
	f.Engines = slices.Compact(f.Engines)
	return f, err
}

func engineModels(engines []hives.Engine) ([]fsm.EngineModel, error) {
	var out []fsm.EngineModel
	for _, e := range engines {
		for _, m := range e.Models {
			if m.Ref == "" || len(m.Ref) > maxRef || e.Name == "" || len(e.Name) > maxText {
				return nil, fsm.Errorf(fsm.CodeInvalid, "engines: %.100q: model %.100q: a name of 1 to %d and a ref of 1 to %d bytes are needed", e.Name, m.Ref, maxText, maxRef)
			}
			if m.Slots < 1 || m.Slots > maxSlots || m.VRAMBytes < 0 || m.Context < 0 {
				return nil, fsm.Errorf(fsm.CodeInvalid, "engines: %s: model %s: slots must be 1 to %d, vram_bytes and context 0 or more", e.Name, m.Ref, maxSlots)
			}
			out = append(out, fsm.EngineModel{Engine: e.Name, Ref: m.Ref, VRAM: m.VRAMBytes, Slots: m.Slots, Context: m.Context})
		}
	}
	if len(out) > maxModels {
		return nil, fsm.Errorf(fsm.CodeInvalid, "engines: %d models, at most %d", len(out), maxModels)
	}
	slices.SortFunc(out, func(a, b fsm.EngineModel) int {
		return cmp.Or(cmp.Compare(a.Ref, b.Ref), cmp.Compare(a.Engine, b.Engine))
	})
	return out, nil
}

// workerStates maps a hive's words to the state's.
var workerStates = map[hives.WorkerState]fsm.WorkerState{
	hives.WorkerSpawning: fsm.WorkerSpawning,
	hives.WorkerLoading:  fsm.WorkerLoading,
	hives.WorkerReady:    fsm.WorkerReady,
	hives.WorkerFailed:   fsm.WorkerFailed,
	hives.WorkerStopped:  fsm.WorkerStopped,
}

var outcomes = map[hives.Outcome]fsm.JobState{
	hives.Complete:  fsm.JobComplete,
	hives.Failed:    fsm.JobFailed,
	hives.Cancelled: fsm.JobCancelled,
}

// Finished turns a hive's terminal record into the request that carries it to the leader.
func Finished(t hives.Terminal) (schedule.Finished, error) {
	state, ok := outcomes[t.Outcome]
	if !ok {
		return schedule.Finished{}, fsm.Errorf(fsm.CodeInvalid, "outcome: %.40q is none of complete, failed, cancelled", t.Outcome)
	}
	f := schedule.Finished{
		Job: t.JobID, Attempt: t.Attempt, Outcome: state, Events: t.Events,
		FinishReason: clip(t.FinishReason, maxText),
		Usage:        fsm.Usage{Prompt: uint64(max(0, t.Usage.PromptTokens)), Completion: uint64(max(0, t.Usage.CompletionTokens))},
		TTFT:         time.Duration(t.TTFTMillis) * time.Millisecond,
	}
	if t.Error != nil {
		f.Failure = &fsm.Failure{Code: clip(t.Error.Code, maxText), Message: clip(t.Error.Message, maxError)}
	}
	return f, nil
}

// clip bounds a text from outside.
func clip(s string, n int) string {
	if len(s) > n {
		return s[:n]
	}
	return s
}

// beat turns the lists of a heartbeat into the request's form.
func beat(id string, hb *hives.Heartbeat) (schedule.Beat, error) {
	b := schedule.Beat{Hive: id, Incarnation: hb.Incarnation, Acted: hb.Index, Leaving: hb.Leaving}
	if len(hb.Workers) > maxWorkers || len(hb.Runs)+len(hb.Ended) > maxRuns {
		return b, fsm.Errorf(fsm.CodeInvalid, "workers: at most %d, runs and ended together at most %d", maxWorkers, maxRuns)
	}
	for _, w := range hb.Workers {
		state, ok := workerStates[w.State]
		if !ok {
			return b, fsm.Errorf(fsm.CodeInvalid, "workers: %.40q: state %.40q is unknown", w.ID, w.State)
		}
		b.Workers = append(b.Workers, schedule.BeatWorker{
			ID: w.ID, State: state, Slots: min(max(0, w.Slots), maxSlots), Progress: w.Progress, Error: clip(w.Error, maxError), Code: clip(w.Code, maxText),
		})
	}
	for _, r := range hb.Runs {
		b.Runs = append(b.Runs, schedule.BeatRun{Job: r.JobID, Attempt: r.Attempt, Seq: r.Seq})
	}
	for _, t := range hb.Ended {
		f, err := Finished(t)
		if err != nil {
			return b, err
		}
		b.Ended = append(b.Ended, f)
	}
	copies, err := copiesOf(hb.Models)
	b.Copies = copies
	return b, err
}

// copyStates maps a hive's words to the state's.
var copyStates = map[string]fsm.CopyState{
	hives.ModelDownloading: fsm.CopyDownloading,
	hives.ModelPresent:     fsm.CopyPresent,
	hives.ModelFailed:      fsm.CopyFailed,
}

// copiesOf turns what a hive says of its files into the request's form.
func copiesOf(reports []hives.ModelReport) ([]schedule.BeatCopy, error) {
	if len(reports) > maxModels {
		return nil, fsm.Errorf(fsm.CodeInvalid, "models: %d, at most %d", len(reports), maxModels)
	}
	var list []schedule.BeatCopy
	for _, m := range reports {
		state, ok := copyStates[m.State]
		if !ok || m.Ref == "" || len(m.Ref) > maxRef || len(m.Digest) > maxText || m.Bytes < 0 {
			return nil, fsm.Errorf(fsm.CodeInvalid, "models: %.100q: state %.40q, %d bytes, digest %.100q: one of downloading, present, failed is needed, 0 or more bytes, a ref of 1 to %d bytes",
				m.Ref, m.State, m.Bytes, m.Digest, maxRef)
		}
		y := schedule.BeatCopy{Model: m.Ref, State: state, Bytes: m.Bytes, Digest: m.Digest}
		if m.Error != nil {
			y.Failure = &fsm.Failure{Code: clip(m.Error.Code, maxText), Message: clip(m.Error.Message, maxError)}
		}
		list = append(list, y)
	}
	return list, nil
}
