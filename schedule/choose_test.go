package schedule

import (
	"cmp"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"queen-rbee/fsm"
)

// TestLeastLoaded holds Plan's assignments against a second, stupid implementation that
// sorts everything for every job.
func TestLeastLoaded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := born(t)
		e.lim.WorkersPerModel = 1 // no more are spawned
		workers(t, e)
		n := 0
		for range rapid.IntRange(1, 6).Draw(t, "rounds") {
			e.now += time.Second
			var reqs []Request
			for range rapid.IntRange(0, 24).Draw(t, "submits") {
				n++
				s := submission(fmt.Sprintf("j%03d", n), "m")
				s.Job.Pin = rapid.SampledFrom([]string{"", "", "h1"}).Draw(t, "pin")
				s.Job.Labels = rapid.SampledFrom([][]fsm.Label{nil, nil, {{Key: "zone", Value: "a"}}}).Draw(t, "labels")
				s.Job.Priority = rapid.SampledFrom([]fsm.Priority{fsm.PriorityInteractive, fsm.PriorityBatch}).Draw(t, "priority")
				reqs = append(reqs, Request{Submit: s})
			}
			jobs, _ := e.view.Jobs(fsm.JobFilter{State: fsm.JobRunning}, "", 100)
			for _, j := range jobs {
				if rapid.IntRange(0, 2).Draw(t, "ends") == 0 {
					reqs = append(reqs, Request{Finished: &Finished{Job: j.ID, Attempt: j.Attempt, Outcome: fsm.JobComplete}})
				}
			}
			want := stupid(e, reqs)
			p := e.plan(reqs...)
			got := map[string]string{}
			for _, c := range p.Batch.Commands {
				if a, ok := c.(*fsm.Assign); ok {
					got[a.Job] = a.Worker
				}
			}
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Fatalf("want %v, got %v", want, got)
			}
			e.apply(p)
		}
	})
}

// workers gives a world of three hives with up to seven ready workers each.
func workers(t *rapid.T, e *env) {
	n := 0
	for i, id := range []string{"h1", "h2", "h3"} {
		facts := fsm.HiveFacts{URL: "http://" + id, Devices: []fsm.Device{{ID: "gpu0", Total: 100}}, Models: []fsm.EngineModel{model("m", 1, 1)}}
		if i > 0 {
			facts.Labels = []fsm.Label{{Key: "zone", Value: "a"}}
		}
		e.ask(Request{Register: &Register{ID: id, Boot: "b", Facts: facts}})
		for range rapid.IntRange(0, 7).Draw(t, "workers") {
			n++
			a := e.ask(Request{SpawnWorker: &SpawnWorker{ID: fmt.Sprintf("w%d", n), Model: "m", Hive: id, Slots: rapid.IntRange(1, 4).Draw(t, "slots")}})
			if a.Err != nil {
				t.Fatalf("%v", a.Err)
			}
		}
		e.now += time.Millisecond
		e.allReady(id)
	}
	if n == 0 {
		e.ask(Request{SpawnWorker: &SpawnWorker{ID: "w0", Model: "m"}})
	}
}

// stupid decides the same by sorting all workers for every job.
func stupid(e *env, reqs []Request) map[string]string {
	type load struct {
		w    fsm.Worker
		hive *fsm.Hive
		runs int
	}
	var loads []*load
	for w := range e.view.Workers() {
		h, _ := e.view.Hive(w.Hive)
		loads = append(loads, &load{w: *w, hive: h, runs: e.view.Running(w.ID)})
	}
	jobs, _ := e.view.Jobs(fsm.JobFilter{State: fsm.JobQueued}, "", 1000)
	queue := slices.Clone(jobs)
	order := uint64(1000)
	for _, r := range reqs {
		if r.Finished != nil {
			j, _ := e.view.Job(r.Finished.Job)
			for _, l := range loads {
				if l.w.ID == j.Worker {
					l.runs, l.w.LastUsed = l.runs-1, e.now
				}
			}
			continue
		}
		j := r.Submit.Job
		order++
		j.Order, j.Rank = order, e.now
		if j.Priority == fsm.PriorityBatch {
			j.Rank += e.lim.BatchOffset
		}
		queue = append(queue, &j)
	}
	slices.SortFunc(queue, byRank)
	out := map[string]string{}
	for _, j := range queue {
		slices.SortFunc(loads, func(a, b *load) int {
			return cmp.Or(cmp.Compare(float64(a.runs)/float64(a.w.Slots), float64(b.runs)/float64(b.w.Slots)), cmp.Compare(a.runs, b.runs),
				cmp.Compare(a.w.LastUsed, b.w.LastUsed), cmp.Compare(a.w.ID, b.w.ID))
		})
		for _, l := range loads {
			if l.w.State == fsm.WorkerReady && l.runs < l.w.Slots && suits(l.hive, j) {
				l.runs, l.w.LastUsed = l.runs+1, e.now
				out[j.ID] = l.w.ID
				break
			}
		}
	}
	return out
}
