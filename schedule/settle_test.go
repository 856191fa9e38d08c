package schedule

import (
	"time"

	"queen-rbee/fsm"
)

// settle ends all faults; hives, queens and clients do what they should. Every job must end,
// but for those that wait for something that can be named.
func (m *machine) settle() {
	m.lim.Decisions = 4096
	for q := range m.queens {
		m.queens[q] = Presence{Boot: m.queens[q].Boot}
	}
	for _, id := range machineHives {
		m.register(m.agents[id])
		m.ask(Request{HiveWish: &HiveWish{ID: id, Desired: fsm.HiveRun}})
	}
	m.flush()
	for range 400 {
		if m.waiting() == 0 {
			return
		}
		m.now += time.Second
		for _, id := range machineHives {
			a := m.agents[id]
			a.read(m.view)
			for _, w := range sortedIDs(a.workers) {
				a.workers[w] = fsm.WorkerReady
			}
			for _, job := range a.runIDs() {
				a.end(job, a.runs[job].attempt, fsm.JobComplete, "", a.runs[job].seq+2)
			}
			m.ask(Request{Beat: a.beat()})
		}
		m.flush()
		m.check()
	}
	jobs, _ := m.view.Jobs(fsm.JobFilter{}, "", 10_000)
	for _, j := range jobs {
		if !j.State.Ended() && m.reason(j) == "" {
			m.t.Fatalf("job never ends: %s %+v", sayJob(j), j)
		}
	}
}

// waiting counts the jobs that have not ended and have no excuse.
func (m *machine) waiting() int {
	n := 0
	jobs, _ := m.view.Jobs(fsm.JobFilter{}, "", 10_000)
	for _, j := range jobs {
		if !j.State.Ended() && m.reason(j) == "" {
			n++
		}
	}
	return n
}

// reason names what a job waits for that will not come by itself.
func (m *machine) reason(j *fsm.Job) string {
	if _, ok := m.view.Hive(j.Pin); j.Pin != "" && !ok {
		return "pinned to a hive that is not there"
	}
	if m.lim.WorkersPerModel > 0 {
		n := 0
		for range m.view.WorkersOf(j.Model) {
			n++
		}
		if n >= m.lim.WorkersPerModel && !m.workerFor(j) {
			return "the model has its maximum of workers, on other hives"
		}
	}
	for h := range m.view.HivesWith(j.Model) {
		taken := int64(0)
		for w := range m.view.WorkersOn(h.ID) {
			taken += w.VRAM
		}
		if suits(h, j) && (m.workerFor(j) || listed(h, j.Model)[0].VRAM <= h.Facts.Devices[0].Total-taken) {
			return ""
		}
	}
	return "workers of other models have taken the memory where it could run"
}

func (m *machine) workerFor(j *fsm.Job) bool {
	for w := range m.view.WorkersOf(j.Model) {
		if h, ok := m.view.Hive(w.Hive); ok && suits(h, j) {
			return true
		}
	}
	return false
}
