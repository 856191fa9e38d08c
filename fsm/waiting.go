package fsm

import "iter"

// moveWaiting keeps the models that have ready jobs. The queue has its change already, so a
// model's other jobs stand beside the place of one that left.
func (s *State) moveWaiting(was, is *Job) {
	had, has := was != nil && isReady(was), is != nil && isReady(is)
	if has {
		if _, known := s.waiting.get(is.Model); !known {
			s.waiting.put(is.Model)
		}
	}
	if !had || has {
		return
	}
	if j, ok := s.queue.before(was); ok && j.Model == was.Model {
		return
	}
	if j, ok := s.queue.next(was); ok && j.Model == was.Model {
		return
	}
	s.waiting.drop(was.Model)
}

// Waits tells whether a model has ready queued jobs.
func (v *View) Waits(model string) bool {
	_, ok := v.waiting.get(model)
	return ok
}

// QueuedModels yields the models that have ready queued jobs, in order of name.
func (v *View) QueuedModels() iter.Seq[string] { return v.waiting.all() }

// VacantModels yields the models that have both ready queued jobs and workers as Vacant
// yields them, in order of name. It costs time in the fewer of the two.
func (v *View) VacantModels() iter.Seq[string] {
	return func(yield func(string) bool) {
		for model, ok := v.waiting.first(); ok; {
			first, found := v.vacancies.next(leastLoaded(model))
			switch {
			case !found:
				return
			case first.model != model:
				model, ok = v.waiting.next(first.model)
			case !yield(model):
				return
			default:
				model, ok = v.waiting.next(after(model))
			}
		}
	}
}
