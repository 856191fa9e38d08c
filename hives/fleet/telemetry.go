package fleet

import (
	"maps"

	"queen-rbee/fsm"
	"queen-rbee/schedule"
)

// telemetry is what plans are given of all hives. Thousands of plans a second ask for it, and
// most of them after nothing was heard: they share one map, which is never changed. The fleet's
// lock guards it.
type telemetry struct {
	given map[string]schedule.HiveTelemetry
	news  map[string]struct{} // hives of which given does not have the newest
	swept fsm.Time
}

// note says that there is something new of a hive.
func (t *telemetry) note(id string) {
	if t.news == nil {
		t.news = map[string]struct{}{}
	}
	t.news[id] = struct{}{}
}

// Telemetry is the leader's memory of hives, for a plan, and how many jobs end per second; maps
// are never changed later. Hives that the state does not know may be among them.
func (f *Fleet) Telemetry() (map[string]schedule.HiveTelemetry, float64) {
	view, now := f.queen.View(), f.queen.Now()
	f.mu.Lock()
	defer f.mu.Unlock()
	if now-f.plans.swept > forget {
		f.plans.swept = now
		f.sweep(view, now)
	}
	if len(f.plans.news) > 0 {
		next := maps.Clone(f.plans.given)
		if next == nil {
			next = map[string]schedule.HiveTelemetry{}
		}
		for id := range f.plans.news {
			if h := f.heard[id]; h != nil {
				next[id] = schedule.HiveTelemetry{LastBeat: h.at, Free: h.free, Fetches: h.files}
			} else {
				delete(next, id)
			}
		}
		f.plans.given = next
		clear(f.plans.news)
	}
	c := view.Counts()
	return f.plans.given, f.drain.rate(c.Completed+c.Failed+c.Cancelled, now)
}

// sweep forgets hives that the state does not know; the caller holds the lock.
func (f *Fleet) sweep(view *fsm.View, now fsm.Time) {
	for id, h := range f.heard {
		if _, ok := view.Hive(id); !ok && now-h.at > forget {
			delete(f.heard, id)
			f.plans.note(id)
		}
	}
}
