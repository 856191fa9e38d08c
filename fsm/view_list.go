package fsm

import "iter"

// JobFilter narrows a list of jobs; zero fields match all.
type JobFilter struct {
	Tenant, Model string
	State         JobState
	Priority      Priority
}

// scanMost bounds the rows one page looks at: a filter that matches few among a million jobs
// costs the reader pages, never the queen a long stall.
const scanMost = 10_000

// Jobs lists jobs in order of id, newest first, after the cursor (an id, or empty); next is the cursor
// of the following page or empty. It uses an index where one serves and looks at 10,000 rows
// at most, so a page may hold fewer than limit, even none, and still have a next.
func (v *View) Jobs(f JobFilter, cursor string, limit int) (items []*Job, next string) {
	seen := 0
	for j := range v.candidates(f, cursor) {
		if len(items) == limit || seen == scanMost {
			return items, next
		}
		seen++
		next = j.ID
		if f.match(j) {
			items = append(items, j)
		}
	}
	return items, ""
}

func (f JobFilter) match(j *Job) bool {
	return (f.Tenant == "" || f.Tenant == j.Tenant) &&
		(f.Model == "" || f.Model == j.Model) &&
		(f.State == 0 || f.State == j.State) &&
		(f.Priority == 0 || f.Priority == j.Priority)
}

// candidates are the jobs below the cursor in the narrowest index, newest first. Live jobs
// are few beside the ended ones, so their state narrows more than a tenant does.
func (v *View) candidates(f JobFilter, cursor string) iter.Seq[*Job] {
	live := f.State != 0 && !f.State.Ended()
	switch {
	case f.State != 0 && (live || f.Tenant == ""):
		pivot := &Job{State: f.State, ID: cursor}
		if cursor == "" {
			pivot.State++
		}
		return func(yield func(*Job) bool) {
			for j := range v.jobStates.below(pivot) {
				if j.State != f.State || j.ID != cursor && !yield(j) {
					return
				}
			}
		}
	case f.Tenant != "":
		pivot := link{f.Tenant, cursor}
		if cursor == "" {
			pivot = link{after(f.Tenant), ""}
		}
		return rows(v.jobs, func(yield func(string) bool) {
			for k := range v.jobTenants.below(pivot) {
				if k.to != f.Tenant || k.id != cursor && !yield(k.id) {
					return
				}
			}
		})
	}
	return v.jobs.below(cursor)
}
