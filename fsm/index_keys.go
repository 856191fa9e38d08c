package fsm

// The keys of the indexes on jobs, and of those with several keys a row.

func tenantKey(j *Job) (link, bool)     { return link{j.Tenant, j.ID}, true }
func workerRunKey(j *Job) (link, bool)  { return link{j.Worker, j.ID}, j.State == JobRunning }
func hiveRunKey(j *Job) (link, bool)    { return link{j.Hive, j.ID}, j.State == JobRunning }
func endedKey(j *Job) (moment, bool)    { return moment{j.Ended, j.ID}, j.State.Ended() }
func backoffTimer(j *Job) (Timer, bool) { return Timer{j.NotBefore, TimerReady, j.ID}, waits(j) }

// waits tells a queued job in its backoff: it has a timer instead of a place in the queue.
func waits(j *Job) bool { return j.State == JobQueued && j.NotBefore > 0 }

// isReady tells a job that has a place in the queue.
func isReady(j *Job) bool { return j.State == JobQueued && j.NotBefore == 0 }

// A running job keeps its deadline timer when it is asked to end: the plan ends it itself
// some time after the deadline, should its hive not say how it ended.
func deadlineTimer(j *Job) (Timer, bool) {
	return Timer{j.Deadline, TimerDeadline, j.ID}, !j.State.Ended() && j.Deadline > 0
}

func abandonTimer(j *Job) (Timer, bool) {
	return Timer{j.AbandonAt, TimerAbandon, j.ID}, j.State == JobQueued && j.AbandonAt > 0
}

func holdingKeys(j *Job) []holding {
	if j == nil || len(j.Holders) == 0 {
		return nil
	}
	keys := make([]holding, len(j.Holders))
	for i := range j.Holders {
		keys[i] = holding{&j.Holders[i], j.ID}
	}
	return keys
}

// offerKeys may name a model twice, once for each engine; the index holds it once.
func offerKeys(h *Hive) []link {
	if h == nil {
		return nil
	}
	keys := make([]link, len(h.Facts.Models))
	for i, m := range h.Facts.Models {
		keys[i] = link{m.Ref, h.ID}
	}
	return keys
}
