package schedule

import (
	"fmt"
	"time"

	"queen-rbee/fsm"
)

// Codes of workers that the leader ends.
const (
	idled      = "idle"         // nobody used it for as long as it was to stay
	evicted    = "evicted"      // another model needed the room
	loadLate   = "load_timeout" // it did not become ready in time
	fetchStuck = "fetch_stalled"
)

// loadTime is how long a worker of a model may take to become ready once its file is there.
func loadTime(m *fsm.Model) time.Duration {
	const base, each = 5 * time.Minute, 20 * time.Second
	return base + time.Duration(max(m.Need(), m.Size)>>20)*each/1024
}

// watchLoads fails the workers that have taken too long. While their file is on its way it is
// the fetch that is judged, by whether it moves.
func (p *planner) watchLoads() {
	for was, at := range p.view.Overdue(forever) {
		if at > p.now {
			p.wake(at)
			break
		}
		w, ok := p.worker(was.ID)
		if !ok || w.State != fsm.WorkerSpawning && w.State != fsm.WorkerLoading {
			continue
		}
		if f, fetching := p.fetching(w); fetching && p.now-w.Since < p.lim.FetchMost {
			p.wake(f + p.lim.FetchStall + 1)
			continue
		}
		if !p.room() {
			return
		}
		p.failLoad(w, fsm.Failure{Code: loadLate, Message: fmt.Sprintf("it was not ready %s after it was asked for", (p.now - w.Since).Round(time.Second))})
	}
}

// fetching tells whether a worker waits for a file that moves, and when it last did.
func (p *planner) fetching(w *fsm.Worker) (fsm.Time, bool) {
	f, ok := p.world.Hives[w.Hive].Fetches[w.Model]
	moved := max(f.Moved, p.world.LeaderSince)
	return moved, ok && w.State == fsm.WorkerSpawning && p.now <= moved+p.lim.FetchStall
}

// watchFetches fails the loads whose file has not moved for too long.
func (p *planner) watchFetches() {
	for h := range p.current(p.view.Hives()) {
		fetches := p.world.Hives[h.ID].Fetches
		for _, model := range sortedKeys(fetches) {
			f := fetches[model]
			due := max(f.Moved, p.world.LeaderSince) + p.lim.FetchStall
			if p.now <= due {
				p.wake(due + 1)
				continue
			}
			why := fsm.Failure{Code: fetchStuck, Message: fmt.Sprintf("its file has not moved for %s at %d of %d bytes", p.lim.FetchStall, f.Done, f.Total)}
			for w := range p.workersOn(h.ID) {
				if w.Model == model && w.State == fsm.WorkerSpawning && w.FromCatalog() && w.Since+p.lim.FetchStall < p.now && p.room() {
					p.failLoad(w, why)
				}
			}
		}
	}
}

// failLoad gives a load up and passes its hive over for the model.
func (p *planner) failLoad(w *fsm.Worker, why fsm.Failure) {
	p.stop(w, fsm.SetWorkerState{State: fsm.WorkerFailed, Failure: &why})
	p.blame(w, why)
}

// causeOf is why a worker failed by its hive's word, with the numbers where memory was short.
func (p *planner) causeOf(w *fsm.Worker, said *BeatWorker) *fsm.Failure {
	why := &fsm.Failure{Code: fsm.CodeWorkerFailed, Message: clip(said.Error, maxMessage)}
	if said.Code == "" {
		return why
	}
	why.Code = clip(said.Code, maxID)
	h, ok := p.hive(w.Hive)
	if why.Code != outOfMemory || !ok {
		return why
	}
	free := "unknown"
	if n, measured := p.world.Hives[h.ID].Free[w.Device]; measured {
		free = fmt.Sprint(n)
	}
	for _, d := range h.Facts.Devices {
		if d.ID == w.Device {
			why.Message = fmt.Sprintf("model %s takes %d bytes by the estimate; device %s of hive %s has %d in all, %s free: %s",
				w.Model, w.VRAM, d.ID, h.ID, d.Total, free, clip(said.Error, maxMessage/2))
		}
	}
	return why
}

// outOfMemory answers a load that died for lack of memory: once it is tried again, after all
// that rests on the device has made room. The second time its hive is passed over, and jobs
// that no other can serve end with the numbers.
func (p *planner) outOfMemory(w *fsm.Worker, why fsm.Failure) {
	if b, again := p.block(w.Model, w.Hive); again && b.Failure.Code == outOfMemory {
		p.blame(w, why)
		return
	}
	if h, ok := p.hive(w.Hive); !ok || !p.serves(h, w.Model) {
		return
	}
	until := p.now + p.lim.MemoryPause
	p.setBlock(fsm.Block{Model: w.Model, Hive: w.Hive, Fails: 1, Until: until, Failure: why})
	p.wake(until)
	for v := range p.workersOn(w.Hive) {
		if v.Device == w.Device && v.State == fsm.WorkerReady && p.running(v.ID) == 0 && v.VRAM > 0 && p.evictable(v) {
			p.drainFor(v, &fsm.Failure{Code: evicted, Message: "model " + w.Model + " found too little memory"})
		}
	}
}
