package fleet

import (
	"math"
	"slices"
	"time"

	"queen-rbee/fsm"
	"queen-rbee/schedule"
)

// sameFacts tells that a hive says nothing new of itself.
func sameFacts(a, b fsm.HiveFacts) bool {
	return a.URL == b.URL && a.Version == b.Version && slices.Equal(a.Devices, b.Devices) &&
		slices.Equal(a.Labels, b.Labels) && slices.Equal(a.Models, b.Models) && slices.Equal(a.Engines, b.Engines)
}

// changes tells whether a beat says anything the state does not: only then it enters the log.
func changes(v *fsm.View, hive *fsm.Hive, b *schedule.Beat) bool {
	return statusChanges(hive, b) || workersChange(v, b) || runsChange(v, b) || copiesChange(v, b)
}

// statusChanges tells whether a beat brings the hive online, begins its leaving or ends it.
func statusChanges(hive *fsm.Hive, b *schedule.Beat) bool {
	online := hive.Status == fsm.HiveOnline
	if hive.Leaving {
		return online && b.Last()
	}
	return b.Leaving || !online
}

func workersChange(v *fsm.View, b *schedule.Beat) bool {
	named := make(map[string]bool, len(b.Workers))
	for _, bw := range b.Workers {
		named[bw.ID] = true
		w, ok := v.Worker(bw.ID)
		if !ok || w.Hive != b.Hive || w.State.Gone() {
			continue
		}
		same := bw.State == w.State || (bw.State == fsm.WorkerReady && w.State == fsm.WorkerDraining)
		if !same || (bw.Slots > 0 && bw.Slots != w.Slots) {
			return true
		}
	}
	for w := range v.WorkersOn(b.Hive) {
		if w.Index <= b.Acted && !named[w.ID] {
			return true
		}
	}
	return letGo(v, b)
}

// letGo tells whether the hive is over with a worker that the state still counts the memory of.
func letGo(v *fsm.View, b *schedule.Beat) bool {
	for w := range v.Remaining(b.Hive) {
		said := slices.IndexFunc(b.Workers, func(bw schedule.BeatWorker) bool { return bw.ID == w.ID })
		if said < 0 && w.Index <= b.Acted || said >= 0 && b.Workers[said].State.Gone() {
			return true
		}
	}
	return false
}

// copiesChange tells whether a hive has, lacks or failed to get a file otherwise than the state has it.
func copiesChange(v *fsm.View, b *schedule.Beat) bool {
	named := make(map[string]bool, len(b.Copies))
	for _, said := range b.Copies {
		named[said.Model] = true
		if _, ok := v.Model(said.Model); !ok {
			continue
		}
		y, ok := v.Copy(said.Model, b.Hive)
		switch {
		case !ok, y.State != said.State, y.Digest != said.Digest:
			return true
		case said.State != fsm.CopyDownloading && y.Bytes != said.Bytes,
			(y.Failure == nil) != (said.Failure == nil), y.Failure != nil && *y.Failure != *said.Failure:
			return true
		}
	}
	for y := range v.CopiesOn(b.Hive) {
		if !named[y.Model] && y.Index <= b.Acted && (!y.Wanted || y.State != fsm.CopyDownloading) {
			return true
		}
	}
	return false
}

func runsChange(v *fsm.View, b *schedule.Beat) bool {
	type run struct {
		job     string
		attempt uint32
	}
	named := make(map[run]bool, len(b.Runs)+len(b.Ended))
	for _, r := range b.Runs {
		named[run{r.Job, r.Attempt}] = true
	}
	for _, e := range b.Ended {
		named[run{e.Job, e.Attempt}] = true
		if j, ok := v.Job(e.Job); ok && j.State == fsm.JobRunning && j.Attempt == e.Attempt {
			return true
		}
	}
	for j := range v.RunsOnHive(b.Hive) {
		if j.AssignedIndex <= b.Acted && !named[run{j.ID, j.Attempt}] {
			return true
		}
	}
	return false
}

// drain measures how many jobs end per second, smoothed over about ten seconds.
type drain struct {
	at    fsm.Time
	ended uint64
	value float64
}

// rate takes the total of ended jobs at cluster time now.
func (d *drain) rate(ended uint64, now fsm.Time) float64 {
	if d.at == 0 || ended < d.ended {
		d.at, d.ended = now, ended
		return d.value
	}
	if dt := now - d.at; dt >= 500*time.Millisecond {
		w := 1 - math.Exp(-dt.Seconds()/10)
		d.value += w * (float64(ended-d.ended)/dt.Seconds() - d.value)
		d.at, d.ended = now, ended
	}
	return d.value
}
