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

// loadKey is when a worker on its way has taken too long.
func loadKey(w *Worker) (moment, bool) {
	return moment{w.Since + w.LoadFor, w.ID}, w.State.coming() && w.LoadFor > 0
}

func (s *State) restingKey(w *Worker) (link, bool) {
	runs, _ := s.running.get(w.ID)
	return link{w.Hive, w.ID}, w.State == WorkerReady && runs == 0
}

// idleKey is when a worker that rests is to stop.
func (s *State) idleKey(w *Worker) (moment, bool) {
	if _, rests := s.restingKey(w); !rests {
		return moment{}, false
	}
	keep, ends := s.keepOf(w)
	return moment{w.LastUsed + keep, w.ID}, ends
}

// rest moves a worker in the indexes of those that rest, around a change of its runs.
func (s *State) rest(w *Worker, put bool) {
	link, rests := s.restingKey(w)
	idle, ends := s.idleKey(w)
	switch {
	case !rests:
		return
	case put:
		s.resting.put(link)
	default:
		s.resting.drop(link)
	}
	if ends && put {
		s.idle.put(idle)
	} else if ends {
		s.idle.drop(idle)
	}
}

func engineKeys(h *Hive) []link {
	if h == nil {
		return nil
	}
	keys := make([]link, len(h.Facts.Engines))
	for i, name := range h.Facts.Engines {
		keys[i] = link{name, h.ID}
	}
	return keys
}

// moveAliases keeps the names of a model that are not its ref.
func moveAliases(t records[string], was, is *Model) {
	if was != nil && !was.Dropped() {
		for _, name := range was.Aliases {
			t.drop(name)
		}
	}
	if is != nil && !is.Dropped() {
		for _, name := range is.Aliases {
			t.put(name, is.Ref)
		}
	}
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
