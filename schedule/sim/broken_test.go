package sim

import (
	"slices"
	"strings"
	"testing"
	"time"

	"queen-rbee/fsm"
	"queen-rbee/schedule"
)

// TestBrokenWorlds: a simulation is worth what it can find. Each of these worlds has one part
// that is wrong on purpose, and the checker must say so, in the words of that wrong.
func TestBrokenWorlds(t *testing.T) {
	if withRace {
		t.Skip("worlds of one goroutine each: TestSeeds shows the detector all there is to see")
	}
	for _, tt := range []struct {
		name  string
		world func(*Config)
		says  []string // one of these
	}{
		{"a plan that overbooks a slot", func(c *Config) { c.Plan = overbook }, []string{"has no free slot"}},
		{"a plan that forgets keys", func(c *Config) { c.Plan = keyless }, []string{"made two jobs"}},
		{"a plan that takes late finishes for present ones", func(c *Config) { c.Plan = lateFinish },
			[]string{"and no hive says so", "and goes on at"}},
		{"a plan that forgets what has just ended", func(c *Config) { c.Plan = forgetful }, []string{"after its end"}},
		{"a plan that depends on how often it is asked", func(c *Config) { c.Plan = moody() }, []string{"gives two plans"}},
		{"a plan that refuses and does it all the same", func(c *Config) { c.Plan = twoFaced }, []string{"and has commands"}},
		{"a plan that never hears of ends", func(c *Config) { c.Plan, c.Live, c.Length = deaf, true, 5*time.Second }, []string{"is still running", "does not come to rest"}},
		{"a plan that sells memory twice", func(c *Config) { c.Plan = greedy }, []string{"is oversold"}},
		{"a plan that stops what runs something", func(c *Config) { c.Plan = ruthless }, []string{"is stopped (evicted)"}},
		{"a plan that drops jobs that are queued", func(c *Config) { c.Plan = careless }, []string{"a guard refused"}},
		{"a replica that does not look at the base", func(c *Config) { c.Tamper = baseless }, []string{"differs from the others"}},
		{"a replica that misses an end", func(c *Config) { c.Tamper = endless }, []string{"differs from the others"}},
		{"hives that believe every doorbell", func(c *Config) { c.Broken.Gullible = true }, []string{"which is over since", "that it is over", "another incarnation"}},
		{"hives that forget what has ended", func(c *Config) { c.Broken.Forgetful = true }, []string{"runs a second time", "has no output", "that it is over"}},
		{"hives that overfill their engines", func(c *Config) { c.Broken.Crowded = true }, []string{"works on"}},
		{"queens that show an end too early", func(c *Config) { c.Broken.Eager = true }, []string{"which is not committed"}},
		{"queens that mix two attempts", func(c *Config) { c.Broken.Mixing = true }, []string{"and gets", "two texts", "records"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			const most = 1000
			for i := range uint64(most) {
				seed := i + 1
				c := configOf(seed)
				c.Faults = All()
				tt.world(&c)
				rep := Run(c)
				if rep.Violation == nil {
					continue
				}
				if !slices.ContainsFunc(tt.says, func(s string) bool { return strings.Contains(rep.Violation.What, s) }) {
					t.Fatalf("seed %d: %s", seed, rep.Violation.What)
				}
				t.Logf("seed %d: %s", seed, rep.Violation.What)
				return
			}
			t.Fatalf("not noticed in %d seeds", most)
		})
	}
}

// with plans, and lets the plan be spoilt.
func with(w schedule.World, reqs []schedule.Request, now fsm.Time, wall fsm.Millis, spoil func(*schedule.Planned)) schedule.Planned {
	p := schedule.Plan(w, reqs, now, wall)
	spoil(&p)
	return p
}

// overbook gives waiting jobs to workers that have no slot left.
func overbook(w schedule.World, reqs []schedule.Request, now fsm.Time, wall fsm.Millis) schedule.Planned {
	return with(w, reqs, now, wall, func(p *schedule.Planned) {
		for x := range w.View.Workers() {
			if x.State != fsm.WorkerReady || w.View.Running(x.ID) < x.Slots || len(p.Batch.Commands) > 0 {
				continue
			}
			for j := range w.View.Queue(x.Model) {
				p.Batch.Commands = append(p.Batch.Commands, &fsm.Assign{Job: j.ID, Worker: x.ID, Attempt: j.Attempt + 1})
				return
			}
		}
	})
}

// keyless does not look at idempotency keys.
func keyless(w schedule.World, reqs []schedule.Request, now fsm.Time, wall fsm.Millis) schedule.Planned {
	reqs = slices.Clone(reqs)
	for i := range reqs {
		if s := reqs[i].Submit; s != nil {
			c := *s
			c.Job.IdempotencyKey = ""
			reqs[i].Submit = &c
		}
	}
	return schedule.Plan(w, reqs, now, wall)
}

// lateFinish takes the end of an earlier attempt for the end of the present one.
func lateFinish(w schedule.World, reqs []schedule.Request, now fsm.Time, wall fsm.Millis) schedule.Planned {
	present := func(f schedule.Finished) schedule.Finished {
		if j, ok := w.View.Job(f.Job); ok && j.State == fsm.JobRunning {
			f.Attempt = j.Attempt
		}
		return f
	}
	reqs = slices.Clone(reqs)
	for i := range reqs {
		if f := reqs[i].Finished; f != nil {
			c := present(*f)
			reqs[i].Finished = &c
		}
	}
	return schedule.Plan(w, reqs, now, wall)
}

// forgetful expires jobs that have ended, whatever was promised.
func forgetful(w schedule.World, reqs []schedule.Request, now fsm.Time, wall fsm.Millis) schedule.Planned {
	return with(w, reqs, now, wall, func(p *schedule.Planned) {
		for j := range w.View.EndedBefore(now) {
			if len(p.Batch.Commands) == 0 {
				p.Batch.Commands = append(p.Batch.Commands, &fsm.ExpireJob{ID: j.ID})
			}
			return
		}
	})
}

// moody counts its calls.
func moody() PlanFunc {
	calls := 0
	return func(w schedule.World, reqs []schedule.Request, now fsm.Time, wall fsm.Millis) schedule.Planned {
		return with(w, reqs, now, wall, func(p *schedule.Planned) {
			if calls++; calls%50 == 0 {
				p.Wake = now + 1
			}
		})
	}
}

// twoFaced refuses some submissions and admits them.
func twoFaced(w schedule.World, reqs []schedule.Request, now fsm.Time, wall fsm.Millis) schedule.Planned {
	return with(w, reqs, now, wall, func(p *schedule.Planned) {
		for i := range reqs {
			if s := reqs[i].Submit; s != nil && s.Job.Priority == fsm.PriorityBatch && p.Answers[i].Err == nil {
				p.Answers[i].Err = fsm.Errorf(fsm.CodeAtCapacity, "no")
			}
		}
	})
}

// deaf does not hear how runs end, and is told that they go on.
func deaf(w schedule.World, reqs []schedule.Request, now fsm.Time, wall fsm.Millis) schedule.Planned {
	reqs = slices.Clone(reqs)
	for i := range reqs {
		if b := reqs[i].Beat; b != nil {
			c := *b
			c.Runs = slices.Clone(b.Runs)
			for _, f := range b.Ended {
				c.Runs = append(c.Runs, schedule.BeatRun{Job: f.Job, Attempt: f.Attempt})
			}
			c.Ended = nil
			reqs[i].Beat = &c
		}
		if reqs[i].Finished != nil {
			reqs[i] = schedule.Request{Tick: &schedule.Tick{}}
		}
	}
	return schedule.Plan(w, reqs, now, wall)
}

// careless expires jobs that wait.
func careless(w schedule.World, reqs []schedule.Request, now fsm.Time, wall fsm.Millis) schedule.Planned {
	return with(w, reqs, now, wall, func(p *schedule.Planned) {
		for j := range w.View.Queue("m") {
			if len(p.Batch.Commands) == 0 {
				p.Batch.Commands = append(p.Batch.Commands, &fsm.ExpireJob{ID: j.ID})
			}
			return
		}
	})
}

// greedy has one more worker on a device where there is one, as large as the device.
func greedy(w schedule.World, reqs []schedule.Request, now fsm.Time, wall fsm.Millis) schedule.Planned {
	return with(w, reqs, now, wall, func(p *schedule.Planned) {
		for h := range w.View.Hives() {
			for x := range w.View.WorkersOn(h.ID) {
				p.Batch.Commands = append(p.Batch.Commands, &fsm.Spawn{ID: "greedy-" + x.ID, Hive: h.ID, Device: x.Device,
					Model: x.Model, Engine: x.Engine, Slots: 1, VRAM: h.Facts.Devices[0].Total})
				return
			}
		}
	})
}

// ruthless stops a worker that runs something.
func ruthless(w schedule.World, reqs []schedule.Request, now fsm.Time, wall fsm.Millis) schedule.Planned {
	return with(w, reqs, now, wall, func(p *schedule.Planned) {
		for x := range w.View.Workers() {
			if !x.State.Gone() && w.View.Running(x.ID) > 0 && len(p.Batch.Commands) == 0 {
				p.Batch.Commands = append(p.Batch.Commands, &fsm.SetWorkerState{ID: x.ID, State: fsm.WorkerStopped, Holds: true,
					Failure: &fsm.Failure{Code: "evicted", Message: "for another model"}})
				return
			}
		}
	})
}

// baseless applies a batch to whatever state it meets.
func baseless(queen string, at *fsm.View, b *fsm.Batch) {
	if queen == "q2" {
		b.Base = at.Meta().Index
		b.Now = max(b.Now, at.Meta().Now)
	}
}

// endless loses the end of a job on one replica.
func endless(queen string, _ *fsm.View, b *fsm.Batch) {
	if queen == "q2" {
		b.Commands = slices.DeleteFunc(b.Commands, func(c fsm.Command) bool { _, ok := c.(*fsm.EndJob); return ok })
	}
}
