package fsm

import "iter"

// vacancy is a ready worker with a free slot, at its place among those of its model.
type vacancy struct {
	model       string
	runs, slots int
	lastUsed    Time
	id          string
}

// lessVacancy orders by load: the share of slots in use, then the number of runs, then who
// was used longest ago, then id.
func lessVacancy(a, b vacancy) bool {
	if a.model != b.model {
		return a.model < b.model
	}
	if l, r := a.runs*b.slots, b.runs*a.slots; l != r {
		return l < r
	}
	if a.runs != b.runs {
		return a.runs < b.runs
	}
	if a.lastUsed != b.lastUsed {
		return a.lastUsed < b.lastUsed
	}
	return a.id < b.id
}

func (s *State) vacancyKey(w *Worker) (vacancy, bool) {
	runs, _ := s.running.get(w.ID)
	return vacancy{w.Model, runs, w.Slots, w.LastUsed, w.ID}, w.State == WorkerReady && runs < w.Slots
}

// countRun keeps the number of runs on a worker, and with it the worker's place among the
// vacant ones.
func (s *State) countRun(worker string, by int) {
	w, known := s.workers.get(worker)
	if known {
		if key, in := s.vacancyKey(w); in {
			s.vacancies.drop(key)
		}
		s.rest(w, false)
	}
	n, _ := s.running.get(worker)
	if n += by; n == 0 {
		s.running.drop(worker)
	} else {
		s.running.put(worker, n)
	}
	if known {
		if key, in := s.vacancyKey(w); in {
			s.vacancies.put(key)
		}
		s.rest(w, true)
	}
}

// leastLoaded is at or below every vacancy of a model.
func leastLoaded(model string) vacancy { return vacancy{model: model, slots: 1, lastUsed: -1} }

// Vacant yields the ready workers of a model with a free slot, the least loaded first: by
// share of slots in use, number of runs, LastUsed, id. What is known of their hives is not
// looked at.
func (v *View) Vacant(model string) iter.Seq[*Worker] {
	return func(yield func(*Worker) bool) {
		for k := range v.vacancies.from(leastLoaded(model)) {
			if k.model != model {
				return
			}
			if w, ok := v.workers.get(k.id); ok && !yield(w) {
				return
			}
		}
	}
}
