package schedule

import (
	"slices"

	"queen-rbee/fsm"
)

// model of a hive's agent: it acts on the desired state, remembers what it did, and tells.
type agent struct {
	id, boot    string
	incarnation uint64
	acted       uint64
	up          bool // its beats arrive
	leaving     bool // it stops in order
	dropped     bool // its row was dropped since it registered
	boots       []string
	workers     map[string]fsm.WorkerState
	runs        map[string]*agentRun
	ended       map[string]Finished
}

type agentRun struct {
	attempt uint32
	worker  string
	seq     uint64
}

func newAgent(id string) *agent {
	return &agent{id: id, up: true, workers: map[string]fsm.WorkerState{}, runs: map[string]*agentRun{}, ended: map[string]Finished{}}
}

// start begins a new life of the agent.
func (a *agent) start(boot string) {
	a.boot, a.leaving = boot, false
	a.boots = append(a.boots, boot)
}

// recent tells a start that a hive's row remembers: its own or one of the last before it.
func (a *agent) recent(boot string) bool {
	return slices.Contains(a.boots[max(0, len(a.boots)-1-fsm.MaxSuperseded):], boot)
}

// read acts on the desired state: starts what is listed and missing, ends what is not listed.
func (a *agent) read(v *fsm.View) {
	if a.incarnation == 0 {
		return
	}
	listed := map[string]bool{}
	for w := range v.WorkersOn(a.id) {
		listed[w.ID] = true
		if _, known := a.workers[w.ID]; !known {
			a.workers[w.ID] = fsm.WorkerSpawning
		}
	}
	for id := range a.workers {
		if !listed[id] {
			delete(a.workers, id)
		}
	}
	jobs := map[string]bool{}
	for j := range v.RunsOnHive(a.id) {
		jobs[j.ID] = true
		a.readRun(j)
	}
	for id := range a.runs {
		if !jobs[id] {
			delete(a.runs, id)
		}
	}
	for id := range a.ended {
		if !jobs[id] {
			delete(a.ended, id)
		}
	}
	a.acted = v.Meta().Index
}

func (a *agent) readRun(j *fsm.Job) {
	if e, ok := a.ended[j.ID]; ok && e.Attempt == j.Attempt {
		return
	}
	delete(a.ended, j.ID)
	run := a.runs[j.ID]
	if run == nil || run.attempt != j.Attempt {
		delete(a.runs, j.ID)
		if j.Incarnation != a.incarnation {
			a.end(j.ID, j.Attempt, fsm.JobFailed, lostAgentRestarted, 0)
			return
		}
		run = &agentRun{attempt: j.Attempt, worker: j.Worker}
		a.runs[j.ID] = run
	}
	switch {
	case j.Ending == fsm.EndCancelled:
		a.end(j.ID, j.Attempt, fsm.JobCancelled, "", run.seq)
	case j.Ending == fsm.EndDeadline:
		a.end(j.ID, j.Attempt, fsm.JobFailed, fsm.CodeDeadlineExceeded, run.seq)
	case j.Ending == fsm.EndDrained:
		a.end(j.ID, j.Attempt, fsm.JobFailed, lostDrained, run.seq)
	case a.workers[run.worker] == 0:
		a.end(j.ID, j.Attempt, fsm.JobFailed, "worker_gone", run.seq)
	}
}

// end writes a terminal record.
func (a *agent) end(job string, attempt uint32, outcome fsm.JobState, code string, events uint64) Finished {
	f := Finished{Job: job, Attempt: attempt, Outcome: outcome, Events: events}
	if events > 1 {
		f.Usage.Completion = events - 1
	}
	if code != "" {
		f.Failure = &fsm.Failure{Code: code, Message: "so says the hive"}
	}
	delete(a.runs, job)
	a.ended[job] = f
	return f
}

// beat tells everything, in order of id.
func (a *agent) beat() *Beat {
	b := &Beat{Hive: a.id, Incarnation: a.incarnation, Acted: a.acted, Leaving: a.leaving}
	for _, id := range sortedIDs(a.workers) {
		b.Workers = append(b.Workers, BeatWorker{ID: id, State: a.workers[id], Error: "out of memory"})
	}
	for _, id := range sortedIDs(a.runs) {
		b.Runs = append(b.Runs, BeatRun{Job: id, Attempt: a.runs[id].attempt, Seq: a.runs[id].seq})
	}
	for _, id := range sortedIDs(a.ended) {
		b.Ended = append(b.Ended, a.ended[id])
	}
	return b
}

// crash loses everything but the disk; restart does so with or without the engines.
func (a *agent) crash() {
	a.incarnation, a.acted = 0, 0
	clear(a.workers)
	clear(a.runs)
	clear(a.ended)
}

// runIDs are the runs under way, in order.
func (a *agent) runIDs() []string { return slices.Clone(sortedIDs(a.runs)) }
