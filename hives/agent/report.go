package agent

import (
	"cmp"
	"maps"
	"slices"

	"queen-rbee/hives"
)

// report is what is here, for a heartbeat. Until the session's first answer no index is named:
// a queen takes what a beat does not list at or below it for lost.
func (t *table) report() hives.Heartbeat {
	t.mu.Lock()
	defer t.mu.Unlock()
	hb := hives.Heartbeat{
		Incarnation: t.incarnation, Epoch: t.epoch, Leaving: t.closing,
		Workers: []hives.WorkerReport{}, Runs: []hives.RunReport{}, Ended: []hives.Terminal{}, Models: t.parts.shelved(),
	}
	if t.synced {
		hb.Index = t.index
	}
	for _, id := range slices.Sorted(maps.Keys(t.workers)) {
		hb.Workers = append(hb.Workers, reportWorker(t.workers[id]))
	}
	for _, r := range t.runs {
		if r.forgotten {
			continue
		}
		if end := r.ended(); end != nil {
			hb.Ended = append(hb.Ended, *end)
			continue
		}
		s := r.state()
		hb.Runs = append(hb.Runs, hives.RunReport{JobID: s.JobID, Attempt: s.Attempt, Seq: s.Seq, Readers: s.Readers})
	}
	slices.SortFunc(hb.Runs, func(a, b hives.RunReport) int {
		return cmp.Or(cmp.Compare(a.JobID, b.JobID), cmp.Compare(a.Attempt, b.Attempt))
	})
	slices.SortFunc(hb.Ended, func(a, b hives.Terminal) int {
		return cmp.Or(cmp.Compare(a.JobID, b.JobID), cmp.Compare(a.Attempt, b.Attempt))
	})
	return hb
}

func reportWorker(w *worker) hives.WorkerReport {
	r := w.report()
	r.Index = w.index
	if w.stopping && w.over() {
		r.State, r.Error = hives.WorkerStopped, ""
	}
	return r
}

// reported takes note that a heartbeat was answered.
func (t *table) reported(hb *hives.Heartbeat) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, said := range hb.Workers {
		if w, ok := t.workers[said.ID]; ok && said.State == hives.WorkerStopped && w.stopping && w.over() {
			w.told = true
		}
	}
	t.sweepLocked()
}
