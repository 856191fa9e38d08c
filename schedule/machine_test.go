package schedule

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"queen-rbee/fsm"
)

// TestMachine drives random histories through Plan and the real fsm: clients, relays, hives,
// queens and operators; leaders that change, batches that are lost, late or applied twice.
// What must hold is checked after every step (check); in the end all faults stop, and every
// job must end or wait for a reason that can be named (settle).
func TestMachine(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newMachine(t)
		t.Repeat(map[string]func(*rapid.T){
			"":         func(*rapid.T) { m.check() },
			"submit":   m.submit,
			"client":   m.client,
			"relay":    m.relay,
			"work":     m.work,
			"beat":     m.beat,
			"agent":    m.agentFault,
			"queen":    m.queen,
			"leader":   func(*rapid.T) { m.since, m.hives = m.now, map[string]HiveTelemetry{} },
			"operator": m.operator,
			"replay":   m.replay,
			"batch":    m.batchFault,
			"time":     m.time,
			"go":       func(*rapid.T) { m.flush() },
		})
		m.settle()
	})
}

var machineHives = []string{"h1", "h2", "h3", "h4"}

// machine is a small world around an env.
type machine struct {
	*env
	twin   *fsm.State // a replica fed the same bytes
	agents map[string]*agent
	gather []Request
	old    []Request // what was asked before, to be asked again

	jobs  int
	boots int
	asked []string            // jobs submitted
	ends  map[string]*fsm.Job // jobs that have ended, as they ended
	tries map[string]uint32   // highest attempt seen
}

func newMachine(t *rapid.T) *machine {
	e := newEnv(t)
	e.lim.QueuedJobs = rapid.SampledFrom([]int{2, 12}).Draw(t, "queue")
	e.lim.Decisions = rapid.SampledFrom([]int{3, 16, 4096}).Draw(t, "decisions")
	e.lim.WorkersPerModel = rapid.SampledFrom([]int{0, 0, 2}).Draw(t, "workers")
	e.rate = 2
	m := &machine{env: e, twin: fsm.New(), agents: map[string]*agent{}, ends: map[string]*fsm.Job{}, tries: map[string]uint32{}}
	for _, id := range machineHives {
		m.agents[id] = newAgent(id)
	}
	e.queens["q1"], e.queens["q2"] = Presence{Boot: "a"}, Presence{Boot: "a"}
	m.ask(Request{Genesis: &Genesis{ClusterID: "c", Epoch: testEpoch}})
	m.flush()
	return m
}

func (m *machine) ask(r Request) {
	m.gather = append(m.gather, r)
	if len(m.old) < 64 {
		m.old = append(m.old, r)
	}
	if len(m.gather) >= 6 {
		m.flush()
	}
}

// flush plans what has gathered, commits it and holds the answers against the state.
func (m *machine) flush() {
	reqs := m.gather
	m.gather = nil
	p := m.plan(reqs...)
	m.commit(p)
	for i, r := range reqs {
		if r.Submit != nil && p.Answers[i].Err == nil {
			m.asked = append(m.asked, p.Answers[i].Job)
		}
	}
	for i, r := range reqs {
		m.hold(r, p.Answers[i])
	}
	for rounds := 0; p.More && len(p.Batch.Commands) > 0; rounds++ {
		if rounds > 1000 {
			m.t.Fatalf("the plan never ends")
		}
		p = m.plan()
		m.commit(p)
	}
	m.eager()
}

func (m *machine) commit(p Planned) {
	m.apply(p)
	if len(p.Batch.Commands) > 0 {
		data, _ := fsm.EncodeBatch(&p.Batch)
		twin, _ := fsm.DecodeBatch(data)
		m.twin.Apply(twin)
	}
}

// hold holds an answer against the state after the batch: what is refused has left no
// trace, what is accepted is there.
func (m *machine) hold(r Request, a Answer) {
	if a.Index != m.view.Meta().Index || a.Epoch != testEpoch {
		m.t.Fatalf("answer %+v, state at %d", a, m.view.Meta().Index)
	}
	switch {
	case r.Submit != nil && a.Err == nil:
		j, ok := m.view.Job(a.Job)
		switch {
		case !ok:
			m.t.Fatalf("accepted %s is not there", a.Job)
		case j.State != a.State, (a.Assigned != nil) != (j.State == fsm.JobRunning):
			m.t.Fatalf("job %s is %s, the answer says %+v", j.ID, j.State, a)
		case a.Assigned != nil && (a.Assigned.Attempt != j.Attempt || a.Assigned.Index != j.AssignedIndex || a.Assigned.Worker != j.Worker || a.Assigned.Incarnation != j.Incarnation):
			m.t.Fatalf("job %+v, the answer says %+v", j, a.Assigned)
		case !a.Joined && a.Job != r.Submit.Job.ID:
			m.t.Fatalf("%s was accepted as %s", r.Submit.Job.ID, a.Job)
		}
	case r.Submit != nil:
		if _, ok := m.view.Job(r.Submit.Job.ID); ok && !slices.Contains(m.asked, r.Submit.Job.ID) {
			m.t.Fatalf("%s was refused (%v) and is there", r.Submit.Job.ID, a.Err)
		}
		if a.Err.Code == fsm.CodeAtCapacity || a.Err.Code == fsm.CodeNoHiveFits {
			if a.Err.RetryAfter < time.Second || a.Err.RetryAfter > time.Minute {
				m.t.Fatalf("%v: retry after %v", a.Err, a.Err.RetryAfter)
			}
		}
	case r.Register != nil:
		ag := m.agents[r.Register.ID]
		if h, ok := m.view.Hive(ag.id); ok && !ag.dropped && h.Boot != ag.boot {
			m.t.Fatalf("%+v has taken the place of %s", r.Register, ag.boot)
		}
	case r.DropHive != nil && a.Err == nil:
		ag := m.agents[r.DropHive.ID]
		ag.dropped, ag.boots = true, nil // a row that is gone remembers nothing
	case r.Cancel != nil && a.Err == nil && a.State == fsm.JobQueued:
		m.t.Fatalf("%s is queued after its cancel", a.Job)
	}
}

// eager: no job waits while a slot that it may use is free.
func (m *machine) eager() {
	for model := range m.view.QueuedModels() {
		for j := range m.view.Queue(model) {
			for w := range m.view.WorkersOf(model) {
				h, _ := m.view.Hive(w.Hive)
				if w.State == fsm.WorkerReady && usable(h) && suits(h, j) && h.ID != j.Avoid && m.view.Running(w.ID) < w.Slots {
					m.t.Fatalf("%s waits, %s has a free slot", j.ID, w.ID)
				}
			}
		}
	}
}

// check holds the invariants of reliability.md after every step: 2 (a job ends once),
// 4 (no slot is overbooked), 10 (the core is deterministic: the twin is equal). 5 and 8 are
// checked where their faults are made.
func (m *machine) check() {
	running := map[string]int{}
	queued := 0
	jobs, _ := m.view.Jobs(fsm.JobFilter{}, "", 10_000)
	for _, j := range jobs {
		if was := m.ends[j.ID]; was != nil && (was.State != j.State || was.Attempt != j.Attempt || was.Ended != j.Ended || was.Events != j.Events) {
			m.t.Fatalf("job %s had ended as %+v and is %+v", j.ID, was, j)
		}
		if j.Attempt < m.tries[j.ID] {
			m.t.Fatalf("job %s went from attempt %d to %d", j.ID, m.tries[j.ID], j.Attempt)
		}
		m.tries[j.ID] = j.Attempt
		switch {
		case j.State.Ended():
			m.ends[j.ID] = j
		case j.State == fsm.JobRunning:
			running[j.Worker]++
		default:
			queued++
		}
		if j.Attempt > m.lim.Attempts || j.Retries > m.lim.Retries {
			m.t.Fatalf("job %s is at attempt %d, %d retries", j.ID, j.Attempt, j.Retries)
		}
	}
	for w := range m.view.Workers() {
		if running[w.ID] > w.Slots || running[w.ID] != m.view.Running(w.ID) {
			m.t.Fatalf("worker %s has %d runs (counted %d) on %d slots", w.ID, running[w.ID], m.view.Running(w.ID), w.Slots)
		}
	}
	if queued != m.view.Counts().Queued {
		m.t.Fatalf("%d jobs wait, counted %d", queued, m.view.Counts().Queued)
	}
	if m.view.Meta().Guarded != 0 {
		m.t.Fatalf("a guard fired")
	}
	if m.twin.View().Hash() != m.view.Hash() {
		m.t.Fatalf("the twin differs")
	}
}

func (m *machine) submit(t *rapid.T) {
	m.jobs++
	id := fmt.Sprintf("j%03d", m.jobs)
	s := submission(id, rapid.SampledFrom([]string{"m", "m", "n", "x"}).Draw(t, "model"))
	j := &s.Job
	j.Priority = rapid.SampledFrom([]fsm.Priority{fsm.PriorityInteractive, fsm.PriorityBatch}).Draw(t, "priority")
	j.OnLoss = rapid.SampledFrom([]fsm.OnLoss{fsm.LossFail, fsm.LossRestart}).Draw(t, "loss")
	if j.Detached = rapid.Bool().Draw(t, "detached"); j.Detached {
		j.Holders = nil
	} else {
		j.Holders = []fsm.Holder{m.process(t)}
	}
	j.IdempotencyKey = rapid.SampledFrom([]string{"", "", "", "k1", "k2"}).Draw(t, "key")
	j.RequestHash[0] = rapid.SampledFrom([]byte{1, 1, 1, 2}).Draw(t, "hash")
	j.Pin = rapid.SampledFrom([]string{"", "", "", "h1", "h9"}).Draw(t, "pin")
	j.Labels = rapid.SampledFrom([][]fsm.Label{nil, nil, {{Key: "zone", Value: "a"}}}).Draw(t, "labels")
	s.Within = rapid.SampledFrom([]time.Duration{0, 0, time.Second, 20 * time.Second}).Draw(t, "within")
	m.ask(Request{Submit: s})
}

func (m *machine) process(t *rapid.T) fsm.Holder {
	q := rapid.SampledFrom([]string{"q1", "q2"}).Draw(t, "queen")
	return fsm.Holder{Queen: q, Boot: m.queens[q].Boot}
}

func (m *machine) anyJob(t *rapid.T) string {
	if m.jobs == 0 {
		return "j000"
	}
	return fmt.Sprintf("j%03d", rapid.IntRange(1, m.jobs).Draw(t, "job"))
}

func (m *machine) client(t *rapid.T) {
	id := m.anyJob(t)
	switch rapid.IntRange(0, 2).Draw(t, "do") {
	case 0:
		m.ask(Request{Cancel: &Cancel{Job: id, Tenant: "t1"}})
	case 1:
		m.ask(Request{Hold: &Hold{Job: id, Holder: m.process(t)}})
	case 2:
		m.ask(Request{Release: &Release{Job: id, Holder: m.process(t), Grace: time.Second}})
	}
}

// relay carries what a hive did, or did not (a relay never invents, but it may be late).
func (m *machine) relay(t *rapid.T) {
	for _, id := range machineHives {
		a := m.agents[id]
		for _, job := range a.runIDs() {
			if run := a.runs[job]; run.seq > 0 && rapid.Bool().Draw(t, "started") {
				m.ask(Request{Started: &Started{Job: job, Attempt: run.attempt}})
			}
		}
		for _, job := range sortedIDs(a.ended) {
			if rapid.Bool().Draw(t, "finished") {
				f := a.ended[job]
				m.ask(Request{Finished: &f})
			}
		}
	}
}

// work lets hives act on the desired state, start workers and get on with runs.
func (m *machine) work(t *rapid.T) {
	for _, id := range machineHives {
		a := m.agents[id]
		if a.incarnation == 0 || !rapid.Bool().Draw(t, "works") {
			continue
		}
		if rapid.Bool().Draw(t, "reads") {
			a.read(m.view)
		}
		for _, w := range sortedIDs(a.workers) {
			a.workers[w] = rapid.SampledFrom([]fsm.WorkerState{fsm.WorkerLoading, fsm.WorkerReady, fsm.WorkerReady, fsm.WorkerReady,
				fsm.WorkerFailed, a.workers[w]}).Draw(t, "state")
		}
		for _, job := range a.runIDs() {
			run := a.runs[job]
			switch rapid.IntRange(0, 7).Draw(t, "run") {
			case 0, 1:
				run.seq++
			case 2, 3:
				a.end(job, run.attempt, fsm.JobComplete, "", run.seq+3)
			case 4:
				a.end(job, run.attempt, fsm.JobFailed, rapid.SampledFrom([]string{"worker_died", "engine_timeout", lostDrained, fsm.CodeInvalid}).Draw(t, "code"), run.seq)
			case 5:
				delete(a.runs, job) // lost without a word
			}
		}
	}
}

func (m *machine) beat(t *rapid.T) {
	a := m.agents[rapid.SampledFrom(machineHives).Draw(t, "hive")]
	if a.incarnation != 0 && a.up {
		m.ask(Request{Beat: a.beat()})
	}
}

// agentFault starts, restarts, crashes, cuts off or stops an agent.
func (m *machine) agentFault(t *rapid.T) {
	a := m.agents[rapid.SampledFrom(machineHives).Draw(t, "hive")]
	switch rapid.IntRange(0, 5).Draw(t, "do") {
	case 0, 1:
		if a.incarnation == 0 {
			m.register(a)
		}
	case 2: // restarted, its engines live on
		if a.incarnation != 0 {
			m.register(a)
		}
	case 3:
		a.crash()
	case 4:
		a.up = !a.up
	case 5:
		a.leaving = true
	}
}

func (m *machine) register(a *agent) {
	m.flush()
	m.boots++
	a.start(fmt.Sprintf("boot%d", m.boots))
	facts := fsm.HiveFacts{URL: "http://" + a.id, Devices: []fsm.Device{{ID: "gpu0", Kind: "cuda", Total: 20}},
		Models: []fsm.EngineModel{model("m", 8, 2), model("n", 10, 1)}}
	if a.id == "h2" {
		facts.Labels = []fsm.Label{{Key: "zone", Value: "a"}}
	}
	r := Request{Register: &Register{ID: a.id, Boot: a.boot, Replaces: newest(m.view, a.id), Mode: "network", Facts: facts}}
	p := m.plan(r)
	m.commit(p)
	if p.Answers[0].Err != nil {
		m.t.Fatalf("register: %v", p.Answers[0].Err)
	}
	a.incarnation, a.acted, a.up, a.dropped = p.Answers[0].Incarnation, 0, true, false
	m.old = append(m.old[:min(len(m.old), 32)], r)
}

// queen restarts a queen process, or makes it vanish for a while.
func (m *machine) queen(t *rapid.T) {
	q := rapid.SampledFrom([]string{"q1", "q2"}).Draw(t, "queen")
	p := m.queens[q]
	switch rapid.IntRange(0, 2).Draw(t, "do") {
	case 0:
		m.boots++
		p = Presence{Boot: fmt.Sprintf("b%d", m.boots)}
	case 1:
		p.LastSeen = max(m.now, 1)
	case 2:
		p.LastSeen = 0
	}
	m.queens[q] = p
}

func (m *machine) operator(t *rapid.T) {
	hive := rapid.SampledFrom(machineHives).Draw(t, "hive")
	switch rapid.IntRange(0, 5).Draw(t, "do") {
	case 0, 1, 2:
		wish := rapid.SampledFrom([]fsm.HiveWish{fsm.HiveRun, fsm.HiveRun, fsm.HiveDrain, fsm.HiveStop}).Draw(t, "wish")
		m.ask(Request{HiveWish: &HiveWish{ID: hive, Desired: wish}})
	case 3:
		m.boots++
		m.ask(Request{SpawnWorker: &SpawnWorker{ID: fmt.Sprintf("w%d", m.boots), Model: "m", Hive: hive}})
	case 4:
		for w := range m.view.WorkersOn(hive) {
			m.ask(Request{StopWorker: &StopWorker{ID: w.ID, Force: rapid.Bool().Draw(t, "force")}})
			break
		}
	case 5:
		m.ask(Request{DropHive: &DropHive{ID: hive}})
	}
}

// replay asks again what was asked before: late and repeated packets.
func (m *machine) replay(t *rapid.T) {
	if len(m.old) == 0 {
		return
	}
	r := m.old[rapid.IntRange(0, len(m.old)-1).Draw(t, "old")]
	if r.Register != nil && !m.agents[r.Register.ID].recent(r.Register.Boot) {
		return // its hive no longer remembers it
	}
	m.ask(r)
}

// batchFault loses a batch, applies one twice, or applies one that was planned on a state
// that has moved on: none may leave a trace.
func (m *machine) batchFault(t *rapid.T) {
	m.now += time.Millisecond
	lost := m.plan(m.gather...)
	if rapid.Bool().Draw(t, "lost") {
		return // refused by raft: the same requests are planned again
	}
	m.flush()
	if m.view.Meta().Index == lost.Batch.Base {
		return
	}
	before := m.view.Hash()
	if out := m.state.Apply(&lost.Batch); out.Refused == nil {
		m.t.Fatalf("a batch planned on %d was applied to %d", lost.Batch.Base, m.view.Meta().Index)
	}
	if m.state.View().Hash() != before {
		m.t.Fatalf("a refused batch left a trace")
	}
}

func (m *machine) time(t *rapid.T) {
	m.flush()
	m.now += rapid.SampledFrom([]time.Duration{time.Millisecond, 300 * time.Millisecond, 2 * time.Second, 7 * time.Second, 11 * time.Second, 70 * time.Second}).Draw(t, "d")
	for _, id := range machineHives { // those that live and are heard beat all the while
		if a := m.agents[id]; a.up && a.incarnation != 0 && rapid.IntRange(0, 3).Draw(t, "beats") > 0 {
			m.ask(Request{Beat: a.beat()})
		}
	}
	m.flush()
}
