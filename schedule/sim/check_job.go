package sim

import (
	"fmt"
	"strings"
	"time"

	"queen-rbee/fsm"
	"queen-rbee/schedule"
)

// job holds a change of a job's row against what was: invariants 1 and 2.
func (k *checker) job(before *fsm.View, id string) {
	w := k.w
	was, had := before.Job(id)
	is, has := k.view.Job(id)
	switch {
	case !had && has:
		k.born(is)
	case had && !has:
		k.vanished(was)
		return
	case had && was.State.Ended():
		w.violate("job %s had ended as %s and was changed: %s", id, was.State, is.State)
	case had && (is.Attempt < was.Attempt || is.Attempt > was.Attempt+1):
		w.violate("job %s went from attempt %d to %d", id, was.Attempt, is.Attempt)
	}
	if !has {
		return
	}
	k.jobs[id] = is
	if had && was.State == fsm.JobRunning && (is.State != fsm.JobRunning || is.Attempt != was.Attempt) {
		if is.State == fsm.JobQueued || is.Attempt != was.Attempt {
			w.meet("an attempt is lost")
		}
		k.revoked[runKey{id, was.Attempt}] = revocation{w.now, k.view.Meta().Index}
		k.justified(was)
		k.slots(was.Worker)
	}
	switch {
	case is.State == fsm.JobRunning:
		k.slots(is.Worker)
	case is.State == fsm.JobComplete && !had:
		w.violate("job %s is complete before it ran", id)
	case is.State == fsm.JobComplete:
		k.copied(is)
	}
	if is.Attempt > w.limits.Attempts || is.Retries > w.limits.Retries {
		w.violate("job %s is at attempt %d with %d retries", id, is.Attempt, is.Retries)
	}
}

// revocation is when the state took an attempt back, or ended it.
type revocation struct {
	at    time.Duration
	index uint64
}

// justified: the state ends an attempt, or takes it back, only where its hive has said how it
// ended, is lost, or does not have it; or long after its deadline.
func (k *checker) justified(was *fsm.Job) {
	h := k.w.hive(was.Hive)
	r := h.logs[runKey{was.ID, was.Attempt}]
	row, ok := k.view.Hive(was.Hive)
	switch {
	case r == nil, r.terminal != nil, r.agent != h.agent:
	case !ok, row.Status == fsm.HiveOffline:
	case was.Deadline > 0 && k.view.Meta().Now >= was.Deadline+k.w.limits.DeadlineSlack:
	default:
		k.w.violate("attempt %d of job %s is over for the state and goes on at %s", was.Attempt, was.ID, h.id)
	}
}

// born: what was refused has left no trace, and a key makes one job.
func (k *checker) born(j *fsm.Job) {
	if _, twice := k.jobs[j.ID]; twice {
		k.w.violate("job %s is admitted a second time", j.ID)
	}
	if code := k.no[j.ID]; code != "" {
		k.w.violate("job %s was refused (%s) and is admitted after all", j.ID, code)
	}
}

// vanished: only what has ended and was retained for its time is forgotten.
func (k *checker) vanished(was *fsm.Job) {
	now := k.view.Meta().Now
	least := min(k.w.limits.Retain, k.w.limits.RetainMin)
	switch {
	case !was.State.Ended():
		k.w.violate("job %s was accepted and has vanished while %s", was.ID, was.State)
	case now-was.Ended < least:
		k.w.violate("job %s is forgotten %v after its end", was.ID, now-was.Ended)
	}
	k.retired[was.ID] = true
}

// copied: an outcome is only ever a copy of the hive's terminal record.
func (k *checker) copied(j *fsm.Job) {
	for _, h := range k.w.hives {
		if r := h.logs[runKey{j.ID, j.Attempt}]; r != nil && r.terminal != nil && r.terminal.Outcome == fsm.JobComplete && r.terminal.Events == j.Events {
			return
		}
	}
	k.w.violate("job %s is complete with %d records, and no hive says so", j.ID, j.Events)
}

// asks notes whom a job id was made for.
func (k *checker) asks(c *client, id string) { k.askers[id] = c }

// refused notes what a client was told.
func (k *checker) refused(id string, err *fsm.Error) {
	if _, ok := k.jobs[id]; ok {
		k.w.violate("job %s is there and was refused: %v", id, err)
	}
	k.no[id] = err.Code
}

// admitted: the same key is the same job.
func (k *checker) admitted(c *client, job string) {
	if j, ok := k.jobs[job]; !ok {
		k.w.violate("job %s was acknowledged and is not there", job)
	} else if j.Model != c.want.Job.Model {
		k.w.violate("%s was given job %s of another", c.name, job)
	}
	for id, asker := range k.askers {
		if _, there := k.jobs[id]; there && asker == c && id != job && c.want.Job.IdempotencyKey != "" {
			k.w.violate("the key of %s made two jobs, %s and %s", c.name, id, job)
		}
	}
}

// answer holds the leader's word against the state it is true of.
func (k *checker) answer(q *queen, r schedule.Request, a schedule.Answer) {
	w := k.w
	if a.Epoch != k.view.Meta().Epoch || a.Index > k.view.Meta().Index {
		w.violate("%s answers for index %d, the state is at %d", q.id, a.Index, k.view.Meta().Index)
	}
	if r.Submit == nil || a.Err != nil || a.Index != k.view.Meta().Index {
		return
	}
	j, ok := k.view.Job(a.Job)
	switch s := a.Assigned; {
	case !ok:
		w.violate("job %s is acknowledged and not there", a.Job)
	case j.State != a.State, (s != nil) != (j.State == fsm.JobRunning):
		w.violate("job %s is %s, the answer says %s", a.Job, j.State, a.State)
	case s != nil && (s.Attempt != j.Attempt || s.Index != j.AssignedIndex || s.Worker != j.Worker || s.Incarnation != j.Incarnation):
		w.violate("job %s is assigned otherwise than the answer says", a.Job)
	}
}

// scan counts everything by hand.
func (k *checker) scan() {
	queued, running := 0, map[string]int{}
	jobs, _ := k.view.Jobs(fsm.JobFilter{}, "", 10_000)
	there := map[string]bool{}
	for _, j := range jobs {
		there[j.ID] = true
		switch j.State {
		case fsm.JobQueued:
			queued++
		case fsm.JobRunning:
			running[j.Worker]++
		}
	}
	for id := range k.jobs {
		if !there[id] && !k.retired[id] {
			k.w.violate("job %s was accepted and is not listed", id)
		}
	}
	for x := range k.view.Workers() {
		if running[x.ID] != k.view.Running(x.ID) || running[x.ID] > x.Slots {
			k.w.violate("worker %s has %d runs (counted %d) on %d slots", x.ID, running[x.ID], k.view.Running(x.ID), x.Slots)
		}
		delete(running, x.ID)
	}
	for id, n := range running {
		k.w.violate("%d jobs run on worker %s, which is not there", n, id)
	}
	if queued != k.view.Counts().Queued {
		k.w.violate("%d jobs wait, counted %d", queued, k.view.Counts().Queued)
	}
}

// unfinished names what has not ended; "" when all has.
func (k *checker) unfinished() string {
	for j := range k.open() {
		return fmt.Sprintf("job %s (model %s, pin %q, labels %v) is still %s at attempt %d on hive %q, ending %q; the workers: %s",
			j.ID, j.Model, j.Pin, j.Labels, j.State, j.Attempt, j.Hive, j.Ending, k.workers())
	}
	for _, c := range k.w.clients {
		if c.ended == "" && c.conn != nil || c.ended == "" && c.job == "" {
			return fmt.Sprintf("client %s has no end of job %q", c.name, c.job)
		}
	}
	return ""
}

// workers says what is there.
func (k *checker) workers() string {
	var all []string
	for x := range k.view.Workers() {
		all = append(all, fmt.Sprintf("%s of %s on %s is %s", x.ID, x.Model, x.Hive, x.State))
	}
	return strings.Join(all, ", ")
}

// alive: some time after the faults have stopped, everything has ended.
func (k *checker) alive() {
	if what := k.unfinished(); what != "" {
		k.w.violate("%v after the faults stopped, %s", lively, what)
	}
}

// open yields the jobs that have not ended, in order of id.
func (k *checker) open() func(yield func(*fsm.Job) bool) {
	return func(yield func(*fsm.Job) bool) {
		for _, id := range sortedNames(k.jobs) {
			if j, ok := k.view.Job(id); ok && !j.State.Ended() && !yield(j) {
				return
			}
		}
	}
}
