package sim

import (
	"time"

	"queen-rbee/fsm"
)

// late is how long after its end in the state a run may still begin: answers are under way
// for a moment. A packet or a queen that wakes up later must not start anything.
const late = 5 * time.Second

// started holds the start of a run in an engine: no more of them than it has slots, each
// attempt once, none that was not assigned.
func (k *checker) started(r *run) {
	w, x, key := k.w, r.worker, runKey{r.job, r.attempt}
	if x.engine > x.slots {
		w.violate("the engine of worker %s works on %d requests with %d slots", x.id, x.engine, x.slots)
	}
	if k.begun[key] != nil {
		w.violate("attempt %d of job %s runs a second time, on %s", r.attempt, r.job, r.agent.h.id)
	}
	k.begun[key] = r
	if j := k.jobs[r.job]; j == nil || j.Attempt < r.attempt {
		w.violate("%s starts attempt %d of job %s, which nobody assigned", r.agent.h.id, r.attempt, r.job)
	}
}

// taken holds a run that a hive takes on against the state: an old packet starts nothing.
func (k *checker) taken(r *run, by string) {
	w, key := k.w, runKey{r.job, r.attempt}
	rev, over := k.revoked[key]
	switch {
	case over && w.now-rev.at > late:
		w.violate("%s takes attempt %d of job %s by %s, which is over since %v", r.agent.h.id, r.attempt, r.job, by, rev.at)
	case over && r.agent.index >= rev.index:
		w.violate("%s takes attempt %d of job %s by %s and has been told at index %d that it is over", r.agent.h.id, r.attempt, r.job, by, rev.index)
	case !over && k.jobs[r.job] != nil && k.jobs[r.job].Incarnation != r.agent.incarnation:
		w.violate("%s takes attempt %d of job %s, which is of another incarnation", r.agent.h.id, r.attempt, r.job)
	}
}

// hive: a late registration does not take a hive from the agent that lives.
func (k *checker) hive(before *fsm.View, id string) {
	was, had := before.Hive(id)
	is, has := k.view.Hive(id)
	if !had || !has || was.Boot == is.Boot {
		return
	}
	if is.Incarnation <= was.Incarnation {
		k.w.violate("hive %s went from incarnation %d to %d", id, was.Incarnation, is.Incarnation)
	}
	if a := k.w.hive(id).agent; a != nil && a.boot == was.Boot {
		k.w.violate("hive %s is taken from its living agent %s by the late registration of %s", id, was.Boot, is.Boot)
	}
}

// slots: running jobs on a worker never exceed its slots.
func (k *checker) slots(id string) {
	x, ok := k.view.Worker(id)
	if !ok {
		if n := k.view.Running(id); n > 0 {
			k.w.violate("%d jobs run on worker %s, which is not there", n, id)
		}
		return
	}
	n := 0
	for range k.view.RunsOnWorker(id) {
		n++
	}
	if n > x.Slots || n != k.view.Running(id) {
		k.w.violate("worker %s has %d runs (counted %d) on %d slots", id, n, k.view.Running(id), x.Slots)
	}
}
