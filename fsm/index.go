package fsm

import (
	"cmp"
	"slices"
)

// This file alone writes tables and indexes: a put takes the row as it was (nil when new)
// and as it shall be (nil when dropped), keeps the hash, and moves the row's index keys.

func (s *State) putJob(was, is *Job) {
	if is != nil {
		is.sum = s.jobSum(is)
		s.jobs.put(is.ID, is)
		s.hash = s.hash.plus(is.sum)
	}
	if was != nil {
		if is == nil {
			s.jobs.drop(was.ID)
		}
		s.hash = s.hash.minus(was.sum)
	}
	s.recount(was, is)
	swap(s.jobStates, was, is, func(*Job) bool { return true })
	move(s.jobTenants, was, is, tenantKey)
	swap(s.queue, was, is, isReady)
	s.moveWaiting(was, is)
	s.moveLane(was, is)
	move(s.timers, was, is, backoffTimer)
	move(s.timers, was, is, deadlineTimer)
	move(s.timers, was, is, abandonTimer)
	move(s.workerRuns, was, is, workerRunKey)
	move(s.hiveRuns, was, is, hiveRunKey)
	move(s.ended, was, is, endedKey)
	moveAll(s.holdings, holdingKeys(was), holdingKeys(is))
}

func (s *State) putWorker(was, is *Worker) {
	if is != nil {
		is.sum = s.workerSum(is)
		s.workers.put(is.ID, is)
		s.hash = s.hash.plus(is.sum)
	}
	if was != nil {
		if is == nil {
			s.workers.drop(was.ID)
		}
		s.hash = s.hash.minus(was.sum)
	}
	move(s.hiveWorkers, was, is, func(w *Worker) (link, bool) { return link{w.Hive, w.ID}, !w.State.Gone() })
	move(s.modelWorkers, was, is, func(w *Worker) (link, bool) { return link{w.Model, w.ID}, !w.State.Gone() })
	move(s.vacancies, was, is, s.vacancyKey)
	move(s.resting, was, is, s.restingKey)
	move(s.idle, was, is, s.idleKey)
	move(s.loads, was, is, loadKey)
	move(s.remaining, was, is, func(w *Worker) (link, bool) { return link{w.Hive, w.ID}, w.Holds })
	move(s.coming, was, is, func(w *Worker) (link, bool) { return link{w.Model, w.ID}, w.State.coming() })
	s.crowdedBy(was, is)
	move(s.gone, was, is, func(w *Worker) (moment, bool) { return moment{w.GoneAt, w.ID}, w.State.Gone() })
}

func (s *State) putHive(was, is *Hive) {
	if is != nil {
		if is.factsSum == (Sum{}) {
			is.factsSum = s.factsSum(&is.Facts)
		}
		is.sum = s.hiveSum(is)
		s.hives.put(is.ID, is)
		s.hash = s.hash.plus(is.sum)
	}
	if was != nil {
		if is == nil {
			s.hives.drop(was.ID)
		}
		s.hash = s.hash.minus(was.sum)
	}
	if was == nil || is == nil || was.factsSum != is.factsSum {
		moveAll(s.offers, offerKeys(was), offerKeys(is))
		moveAll(s.engines, engineKeys(was), engineKeys(is))
		s.crowded(cmp.Or(was, is).ID)
	}
}

func (s *State) putQueen(was, is *Queen) {
	if is != nil {
		is.sum = s.queenSum(is)
		s.queens.put(is.ID, is)
		s.hash = s.hash.plus(is.sum)
	}
	if was != nil {
		if is == nil {
			s.queens.drop(was.ID)
		}
		s.hash = s.hash.minus(was.sum)
	}
}

func (s *State) putKey(was, is *Key) {
	if is != nil {
		is.sum = s.keySum(is)
		s.keys.put(string(is.Hash[:]), is)
		s.hash = s.hash.plus(is.sum)
	}
	if was != nil {
		if is == nil {
			s.keys.drop(string(was.Hash[:]))
		}
		s.hash = s.hash.minus(was.sum)
	}
}

func (s *State) putBlock(was, is *Block) {
	if is != nil {
		is.sum = s.blockSum(is)
		s.blocks.put(is)
		s.hash = s.hash.plus(is.sum)
	}
	if was != nil {
		if is == nil {
			s.blocks.drop(was)
		}
		s.hash = s.hash.minus(was.sum)
	}
}

func (s *State) putIdempotency(was, is *Idempotency) {
	if is != nil {
		is.sum = s.idempotencySum(is)
		s.idempotency.put(is)
		s.hash = s.hash.plus(is.sum)
	}
	if was != nil {
		if is == nil {
			s.idempotency.drop(was)
		}
		s.hash = s.hash.minus(was.sum)
	}
	move(s.expiry, was, is, func(r *Idempotency) (expiring, bool) { return expiring{r.Expiry, r.Tenant, r.Key}, true })
}

// putModel also moves the model's workers in the index of idleness, which it rules.
func (s *State) putModel(was, is *Model) {
	ref := cmp.Or(was, is).Ref
	for w := range rows(s.workers, linked(s.modelWorkers, ref)) {
		if key, in := s.idleKey(w); in {
			s.idle.drop(key)
		}
	}
	if is != nil {
		is.sum = s.modelSum(is)
		s.models.put(is.Ref, is)
		s.hash = s.hash.plus(is.sum)
	}
	if was != nil {
		if is == nil {
			s.models.drop(was.Ref)
		}
		s.hash = s.hash.minus(was.sum)
	}
	moveAliases(s.aliases, was, is)
	move(s.kept, was, is, func(m *Model) (string, bool) { return m.Ref, m.MinReplicas > 0 && !m.Dropped() })
	move(s.dropped, was, is, func(m *Model) (string, bool) { return m.Ref, m.Dropped() })
	move(s.unknown, was, is, func(m *Model) (string, bool) { return m.Ref, !m.Dropped() && !m.inspected() })
	for w := range rows(s.workers, linked(s.modelWorkers, ref)) {
		if key, in := s.idleKey(w); in {
			s.idle.put(key)
		}
	}
}

func (s *State) putCopy(was, is *Copy) {
	if is != nil {
		is.sum = s.copySum(is)
		s.copies.put(is)
		s.hash = s.hash.plus(is.sum)
	}
	if was != nil {
		if is == nil {
			s.copies.drop(was)
		}
		s.hash = s.hash.minus(was.sum)
	}
	move(s.copiesOn, was, is, func(y *Copy) (link, bool) { return link{y.Hive, y.Model}, true })
}

// putMeta keeps the hash true after any change of meta or of the totals that live with it.
func (s *State) putMeta() {
	sum := s.metaRowSum()
	s.hash = s.hash.minus(s.metaSum).plus(sum)
	s.metaSum = sum
}

// recount moves a job from one count to another. Most changes of a running job move nothing.
func (s *State) recount(was, is *Job) {
	if was != nil && is != nil && was.State == is.State && was.Worker == is.Worker && len(was.Body.Data) == len(is.Body.Data) {
		return
	}
	if was != nil {
		s.countJob(was, -1)
	}
	if is != nil {
		s.countJob(is, +1)
	}
}

// countJob keeps what Counts has of rows; totals since genesis are endJob's.
func (s *State) countJob(j *Job, by int) {
	c := &s.counts
	switch {
	case j.State.Ended():
		c.Ended += by
		return
	case j.State == JobRunning:
		c.Running += by
		s.countRun(j.Worker, by)
	default:
		c.Queued += by
	}
	c.QueuedBytes += int64(by) * int64(len(j.Body.Data))
}

// move replaces a row's key in an index; a row without a key is not in it.
func move[R any, K comparable](t tree[K], was, is *R, key func(*R) (K, bool)) {
	var oldKey, newKey K
	var had, has bool
	if was != nil {
		oldKey, had = key(was)
	}
	if is != nil {
		newKey, has = key(is)
	}
	if had && has && oldKey == newKey {
		return
	}
	if had {
		t.drop(oldKey)
	}
	if has {
		t.put(newKey)
	}
}

// swap replaces a row in an index that holds rows themselves.
func swap[R any](t tree[*R], was, is *R, in func(*R) bool) {
	had, has := was != nil && in(was), is != nil && in(is)
	if had && !(has && t.same(was, is)) {
		t.drop(was)
	}
	if has {
		t.put(is)
	}
}

// moveAll does the same for an index that holds several keys of a row.
func moveAll[K comparable](t tree[K], was, is []K) {
	if slices.Equal(was, is) {
		return
	}
	for _, k := range was {
		t.drop(k)
	}
	for _, k := range is {
		t.put(k)
	}
}
