package scheduletest

import (
	"fmt"
	"time"

	"queen-rbee/fsm"
	"queen-rbee/schedule"
)

// Models is how many models the hives of a Crowd offer.
const Models = 10

// Now is the cluster time of a Crowd's last batch. Plans at this very time look at no more
// than they are asked; a later one looks at the whole fleet.
const Now = time.Minute

// Crowd is a world of hives with a worker of two slots for each of ten models. Every slot is
// taken; jobs wait, behind pinned ones that are pinned to one hive.
type Crowd struct {
	World schedule.World
	Runs  []*fsm.Job // all that run, in order of id

	state *fsm.State
	jobs  int
}

// NewCrowd makes one with some jobs in all, running ones among them. An error is a bug: a
// command that the state refused.
func NewCrowd(hives, jobs, pinned int) (*Crowd, error) {
	c := &Crowd{state: fsm.New(), World: schedule.World{Hives: map[string]schedule.HiveTelemetry{},
		Queens:      map[string]schedule.Presence{"q1": {Boot: "b1", LastSeen: Now}},
		LeaderSince: Now, DrainRate: 100, Limits: schedule.Defaults()}}
	c.World.Limits.QueuedJobs = 2 * jobs
	err := c.apply(&fsm.Genesis{ClusterID: "c", Epoch: fsm.Epoch{1}, Level: fsm.CurrentLevel})
	for h := 0; h < hives && err == nil; h++ {
		err = c.hive(fmt.Sprintf("h%04d", h))
	}
	for first := c.jobs; c.jobs < first+pinned && err == nil; {
		j := c.job(c.jobs % Models)
		j.Pin, j.Rank = "h0000", 0
		err = c.apply(&fsm.Submit{Job: j})
	}
	for c.jobs < jobs && err == nil {
		var cmds []fsm.Command
		for range min(1000, jobs-c.jobs) {
			cmds = append(cmds, &fsm.Submit{Job: c.job(c.jobs % Models)})
		}
		err = c.apply(cmds...)
	}
	c.World.View = c.state.View()
	c.Runs, _ = c.World.View.Jobs(fsm.JobFilter{State: fsm.JobRunning}, "", 2*Models*hives)
	return c, err
}

func (c *Crowd) apply(cmds ...fsm.Command) error {
	m := c.state.View().Meta()
	out := c.state.Apply(&fsm.Batch{Base: m.Index, Epoch: m.Epoch, Now: Now, Level: fsm.CurrentLevel, Commands: cmds})
	if out.Refused != nil {
		return out.Refused
	}
	for _, err := range out.Errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// hive is one with all its workers at work.
func (c *Crowd) hive(id string) error {
	facts := fsm.HiveFacts{URL: "http://" + id, Devices: []fsm.Device{{ID: "gpu0", Total: Models}}}
	for m := range Models {
		facts.Models = append(facts.Models, fsm.EngineModel{Engine: "engine", Ref: modelName(m), VRAM: 1, Slots: 2})
	}
	cmds := []fsm.Command{&fsm.RegisterHive{ID: id, Boot: "b", Incarnation: 1, Facts: facts}}
	for m := range Models {
		w := fmt.Sprintf("w-%s-%d", id, m)
		cmds = append(cmds, &fsm.Spawn{ID: w, Hive: id, Device: "gpu0", Model: modelName(m), Engine: "engine", Slots: 2, VRAM: 1},
			&fsm.SetWorkerState{ID: w, State: fsm.WorkerReady, Slots: 2})
		for range 2 {
			j := c.job(m)
			cmds = append(cmds, &fsm.Submit{Job: j}, &fsm.Assign{Job: j.ID, Worker: w, Attempt: 1})
		}
	}
	return c.apply(cmds...)
}

func modelName(n int) string { return fmt.Sprintf("m%d", n) }

// job is the next one, of a model.
func (c *Crowd) job(model int) fsm.Job {
	c.jobs++
	j := asked(fmt.Sprintf("j%07d", c.jobs), model)
	j.State, j.Rank = fsm.JobQueued, fsm.Time(c.jobs)
	return j
}

func asked(id string, model int) fsm.Job {
	return fsm.Job{ID: id, Tenant: "t1", Model: modelName(model), API: "task", Path: "/v1/chat/completions",
		Priority: fsm.PriorityInteractive, OnLoss: fsm.LossFail,
		Holders: []fsm.Holder{{Queen: "q1", Boot: "b1"}}, Body: fsm.PackBody([]byte("{}"))}
}

// Gather has n finishes, of as many runs spread over all there are, and n submissions spread
// over the models.
func (c *Crowd) Gather(n int) (reqs []schedule.Request) {
	for i := range n {
		j := c.Runs[i*len(c.Runs)/n]
		reqs = append(reqs,
			schedule.Request{Finished: &schedule.Finished{Job: j.ID, Attempt: j.Attempt, Outcome: fsm.JobComplete}},
			schedule.Request{Submit: &schedule.Submit{Job: asked(fmt.Sprintf("new%04d", i), i%Models)}})
	}
	return reqs
}
