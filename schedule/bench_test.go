package schedule

import (
	"fmt"
	"testing"
	"time"

	"queen-rbee/fsm"
)

// BenchmarkPlan plans the same gather on a small world and on one a hundred to a thousand
// times its size: the time per decision should hardly differ. Run it with
//
//	go test ./schedule -run '^$' -bench Plan
func BenchmarkPlan(b *testing.B) {
	for _, size := range []struct{ hives, jobs int }{{10, 1_000}, {1_000, 1_000_000}} {
		w, runs := crowd(b, size.hives, size.jobs, 0)
		name := fmt.Sprintf("%d_hives/%d_workers/%d_jobs", size.hives, 10*size.hives, size.jobs)
		for _, g := range []struct {
			name string
			reqs []Request
		}{
			{"gather", gather(runs, 250)},
			{"finish", gather(runs, 1)[:1]},
			{"submit", gather(runs, 1)[1:]},
			{"tick", nil},
		} {
			b.Run(name+"/"+g.name, func(b *testing.B) {
				n := 0
				for b.Loop() {
					n = len(Plan(w, g.reqs, time.Minute, 0).Batch.Commands)
				}
				if n > 0 {
					b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/decision")
				}
			})
		}
	}
}

// BenchmarkPlanPassedOver plans one finish and one submission while many jobs wait for a hive
// that is busy: the time should not depend on their number.
func BenchmarkPlanPassedOver(b *testing.B) {
	for _, waiting := range []int{1_000, 100_000} {
		w, runs := crowd(b, 10, 0, waiting)
		b.Run(fmt.Sprintf("%d_waiting", waiting), func(b *testing.B) {
			for b.Loop() {
				Plan(w, gather(runs, 1), time.Minute, 0)
			}
		})
	}
}

// gather has n finishes and n submissions, spread over the models.
func gather(runs []*fsm.Job, n int) (reqs []Request) {
	for i := range n {
		j := runs[i*len(runs)/n]
		s := submission(fmt.Sprintf("new%04d", i), fmt.Sprintf("m%d", i%10))
		reqs = append(reqs, Request{Finished: &Finished{Job: j.ID, Attempt: j.Attempt, Outcome: fsm.JobComplete}}, Request{Submit: s})
	}
	return reqs
}

// crowd is a world of hives with a worker of two slots for each of ten models; every slot is
// taken and the jobs wait, behind others that are pinned to one hive.
func crowd(b *testing.B, hives, jobs, pinned int) (World, []*fsm.Job) {
	s := fsm.New()
	w := World{Hives: map[string]HiveTelemetry{}, Queens: map[string]Presence{"q1": {Boot: "b1", LastSeen: time.Minute}},
		LeaderSince: time.Minute, DrainRate: 100, Limits: Defaults()}
	w.Limits.QueuedJobs = 2 * jobs
	apply := func(cmds ...fsm.Command) {
		m := s.View().Meta()
		out := s.Apply(&fsm.Batch{Base: m.Index, Epoch: m.Epoch, Now: time.Minute, Level: fsm.CurrentLevel, Commands: cmds})
		for _, err := range out.Errs {
			if err != nil {
				b.Fatal(err)
			}
		}
	}
	apply(&fsm.Genesis{ClusterID: "c", Epoch: testEpoch, Level: fsm.CurrentLevel})
	var facts fsm.HiveFacts
	for m := range 10 {
		facts.Models = append(facts.Models, model(fmt.Sprintf("m%d", m), 1, 2))
	}
	facts.Devices = []fsm.Device{{ID: "gpu0", Total: 10}}
	n := 0
	job := func(model int) fsm.Job {
		n++
		j := submission(fmt.Sprintf("j%07d", n), fmt.Sprintf("m%d", model)).Job
		j.State, j.Rank = fsm.JobQueued, fsm.Time(n)
		return j
	}
	for h := range hives {
		id := fmt.Sprintf("h%04d", h)
		facts.URL = "http://" + id
		cmds := []fsm.Command{&fsm.RegisterHive{ID: id, Boot: "b", Incarnation: 1, Facts: facts}}
		for m := range 10 {
			w := fmt.Sprintf("w%04d-%d", h, m)
			cmds = append(cmds, &fsm.Spawn{ID: w, Hive: id, Device: "gpu0", Model: fmt.Sprintf("m%d", m), Engine: "engine", Slots: 2, VRAM: 1},
				&fsm.SetWorkerState{ID: w, State: fsm.WorkerReady, Slots: 2})
			for range 2 {
				j := job(m)
				cmds = append(cmds, &fsm.Submit{Job: j}, &fsm.Assign{Job: j.ID, Worker: w, Attempt: 1})
			}
		}
		apply(cmds...)
	}
	for first := n; n < first+pinned; {
		j := job(n % 10)
		j.Pin, j.Rank = "h0000", 0
		apply(&fsm.Submit{Job: j})
	}
	for n < jobs {
		var cmds []fsm.Command
		for range min(1000, jobs-n) {
			cmds = append(cmds, &fsm.Submit{Job: job(n % 10)})
		}
		apply(cmds...)
	}
	w.View = s.View()
	runs, _ := w.View.Jobs(fsm.JobFilter{State: fsm.JobRunning}, "", 20*hives)
	return w, runs
}
