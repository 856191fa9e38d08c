package fsm

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"maps"
	"reflect"
	"slices"
)

// checkState proves every index, count and the hash of a view by scanning its rows, with
// none of the code that keeps them, and the invariants that hold in every state.
func checkState(v *View) error {
	return errors.Join(checkJobs(v), checkRuns(v), checkTimers(v), checkWorkers(v), checkHives(v), checkCatalog(v), checkHash(v))
}

// pick is the ids of the rows that match, in the order of compare.
func pick[R any](all iter.Seq[R], match func(R) bool, compare func(a, b R) int) []R {
	var list []R
	for r := range all {
		if match(r) {
			list = append(list, r)
		}
	}
	slices.SortStableFunc(list, compare)
	return list
}

func jobIDs(list []*Job) (ids []string) {
	for _, j := range list {
		ids = append(ids, j.ID)
	}
	return ids
}

func byID(a, b *Job) int { return cmp.Compare(a.ID, b.ID) }

func same(what string, got, want []string) error {
	if !slices.Equal(got, want) {
		return fmt.Errorf("%s: index has %v, a scan finds %v", what, got, want)
	}
	return nil
}

func checkJobs(v *View) error {
	var errs []error
	var counts Counts
	tenants, models, holders := map[string]bool{}, map[string]bool{}, map[Holder]bool{}
	for j := range v.jobs.all() {
		tenants[j.Tenant] = true
		switch {
		case j.State == JobQueued:
			counts.Queued++
		case j.State == JobRunning:
			counts.Running++
		default:
			counts.Ended++
			if len(j.Body.Data) > 0 || len(j.Holders) > 0 {
				errs = append(errs, fmt.Errorf("ended job %s keeps its body or holders", j.ID))
			}
		}
		if j.State == JobQueued && j.NotBefore == 0 {
			models[j.Model] = true
		}
		if !j.State.Ended() {
			counts.QueuedBytes += int64(len(j.Body.Data))
		}
		for _, h := range j.Holders {
			holders[h] = true
		}
		if len(j.History) == 0 || len(j.History) > HistoryMax || j.History[0].Kind != "submitted" {
			errs = append(errs, fmt.Errorf("job %s has a history of %d", j.ID, len(j.History)))
		}
	}
	counts.Completed, counts.Failed, counts.Cancelled = v.counts.Completed, v.counts.Failed, v.counts.Cancelled
	if counts != v.Counts() {
		errs = append(errs, fmt.Errorf("counts are %+v, a scan finds %+v", v.Counts(), counts))
	}
	newest := func(a, b *Job) int { return byID(b, a) }
	for tenant := range tenants {
		for state := JobState(0); state <= JobCancelled; state++ {
			f := JobFilter{Tenant: tenant, State: state}
			got, _ := v.Jobs(f, "", 1<<20)
			want := pick(v.jobs.all(), func(j *Job) bool {
				return (tenant == "" || j.Tenant == tenant) && (state == 0 || j.State == state)
			}, newest)
			errs = append(errs, same(fmt.Sprintf("jobs of %q in %v", tenant, state), jobIDs(got), jobIDs(want)))
		}
	}
	for model := range models {
		want := pick(v.jobs.all(), func(j *Job) bool {
			return j.State == JobQueued && j.NotBefore == 0 && j.Model == model
		}, func(a, b *Job) int { return cmp.Or(cmp.Compare(a.Rank, b.Rank), cmp.Compare(a.Order, b.Order)) })
		errs = append(errs, same("queue of "+model, jobIDs(slices.Collect(v.Queue(model))), jobIDs(want)))
	}
	errs = append(errs, checkLanes(v))
	errs = append(errs, same("queued models", slices.Collect(v.QueuedModels()), slices.Sorted(maps.Keys(models))))
	maps.DeleteFunc(models, func(model string, _ bool) bool { return len(slices.Collect(v.Vacant(model))) == 0 })
	errs = append(errs, same("queued models with vacant workers", slices.Collect(v.VacantModels()), slices.Sorted(maps.Keys(models))))
	if got := slices.Collect(v.Holders()); len(got) != len(holders) {
		errs = append(errs, fmt.Errorf("holders are %v, a scan finds %v", got, holders))
	}
	for h := range holders {
		want := pick(v.jobs.all(), func(j *Job) bool { return slices.Contains(j.Holders, h) }, byID)
		errs = append(errs, same(fmt.Sprint("held by ", h), jobIDs(slices.Collect(v.HeldBy(h))), jobIDs(want)))
	}
	want := pick(v.jobs.all(), func(j *Job) bool { return j.State.Ended() },
		func(a, b *Job) int { return cmp.Or(cmp.Compare(a.Ended, b.Ended), byID(a, b)) })
	errs = append(errs, same("ended", jobIDs(slices.Collect(v.EndedBefore(1<<62))), jobIDs(want)))
	return errors.Join(errs...)
}

// checkLanes finds the queue once more, lane by lane.
func checkLanes(v *View) error {
	type lane struct{ model, wants string }
	lanes := map[lane][]*Job{}
	heads := map[string][]*Job{}
	inOrder := func(a, b *Job) int { return cmp.Or(cmp.Compare(a.Rank, b.Rank), cmp.Compare(a.Order, b.Order)) }
	for j := range v.jobs.all() {
		if j.State == JobQueued && j.NotBefore == 0 {
			l := lane{j.Model, fmt.Sprintf("%q %q %q", j.Pin, j.Avoid, j.Labels)}
			lanes[l] = append(lanes[l], j)
		}
	}
	var errs []error
	for l, jobs := range lanes {
		slices.SortFunc(jobs, inOrder)
		heads[l.model] = append(heads[l.model], jobs[0])
		var got []string
		for j, ok := v.Head(l.model, jobs[0].Constraint()); ok; j, ok = v.Behind(j) {
			got = append(got, j.ID)
		}
		errs = append(errs, same(fmt.Sprint("lane ", l), got, jobIDs(jobs)))
	}
	n := 0
	for model, want := range heads {
		slices.SortFunc(want, inOrder)
		n += len(want)
		errs = append(errs, same("heads of "+model, jobIDs(slices.Collect(v.Heads(model))), jobIDs(want)))
	}
	if v.heads.len() != n || v.lanes.len() != v.queue.len() {
		errs = append(errs, fmt.Errorf("%d heads and %d jobs in lanes, a scan finds %d and %d", v.heads.len(), v.lanes.len(), n, v.queue.len()))
	}
	return errors.Join(errs...)
}

// checkRuns has invariant 4: no worker runs more than its slots.
func checkRuns(v *View) error {
	var errs []error
	workers, hives := map[string]bool{"nobody": true}, map[string]bool{"nowhere": true}
	for j := range v.jobs.all() {
		if j.State == JobRunning {
			workers[j.Worker], hives[j.Hive] = true, true
		}
		if (j.State == JobQueued) && (j.Worker != "" || j.Hive != "" || j.Ending != EndNone || j.Delivered) {
			errs = append(errs, fmt.Errorf("queued job %s keeps something of a run", j.ID))
		}
	}
	for id := range workers {
		want := pick(v.jobs.all(), func(j *Job) bool { return j.State == JobRunning && j.Worker == id }, byID)
		errs = append(errs, same("runs on "+id, jobIDs(slices.Collect(v.RunsOnWorker(id))), jobIDs(want)))
		if v.Running(id) != len(want) {
			errs = append(errs, fmt.Errorf("worker %s counts %d runs, a scan finds %d", id, v.Running(id), len(want)))
		}
		if w, ok := v.Worker(id); id != "nobody" && (!ok || len(want) > w.Slots) {
			errs = append(errs, fmt.Errorf("worker %s runs %d jobs with %+v", id, len(want), w))
		}
	}
	for id := range hives {
		want := pick(v.jobs.all(), func(j *Job) bool { return j.State == JobRunning && j.Hive == id }, byID)
		errs = append(errs, same("runs on hive "+id, jobIDs(slices.Collect(v.RunsOnHive(id))), jobIDs(want)))
	}
	return errors.Join(errs...)
}

func checkTimers(v *View) error {
	var want []Timer
	for j := range v.jobs.all() {
		queued, running := j.State == JobQueued, j.State == JobRunning
		if queued && j.NotBefore > 0 {
			want = append(want, Timer{j.NotBefore, TimerReady, j.ID})
		}
		if j.Deadline > 0 && (queued || running) {
			want = append(want, Timer{j.Deadline, TimerDeadline, j.ID})
		}
		if queued && j.AbandonAt > 0 {
			want = append(want, Timer{j.AbandonAt, TimerAbandon, j.ID})
		}
	}
	slices.SortFunc(want, func(a, b Timer) int {
		return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Job, b.Job))
	})
	if got := slices.Collect(v.Timers(1 << 62)); !slices.Equal(got, want) {
		return fmt.Errorf("timers are %v, a scan finds %v", got, want)
	}
	first, ok := v.NextTimer()
	if ok != (len(want) > 0) || ok && first != want[0] {
		return fmt.Errorf("next timer is %v %v, of %v", first, ok, want)
	}
	return nil
}

func checkWorkers(v *View) error {
	ids := func(seq iter.Seq[*Worker]) (ids []string) {
		for w := range seq {
			ids = append(ids, w.ID)
		}
		return ids
	}
	var errs []error
	hives, models := map[string][]string{}, map[string][]string{}
	var gone []*Worker
	for w := range v.Workers() {
		if w.State.Gone() {
			gone = append(gone, w)
			continue
		}
		hives[w.Hive] = append(hives[w.Hive], w.ID)
		models[w.Model] = append(models[w.Model], w.ID)
	}
	slices.SortFunc(gone, func(a, b *Worker) int {
		return cmp.Or(cmp.Compare(a.GoneAt, b.GoneAt), cmp.Compare(a.ID, b.ID))
	})
	errs = append(errs, same("workers gone", ids(v.WorkersGoneBefore(1<<62)), ids(slices.Values(gone))))
	for hive, want := range hives {
		errs = append(errs, same("workers on "+hive, ids(v.WorkersOn(hive)), want))
	}
	for model, want := range models {
		errs = append(errs, same("workers of "+model, ids(v.WorkersOf(model)), want))
	}
	total, vacant := 0, 0
	for _, list := range hives {
		total += len(list)
	}
	for model := range models {
		want := slices.DeleteFunc(slices.Collect(v.WorkersOf(model)), func(w *Worker) bool {
			return w.State != WorkerReady || v.Running(w.ID) >= w.Slots
		})
		slices.SortFunc(want, func(a, b *Worker) int {
			return cmp.Or(cmp.Compare(v.Running(a.ID)*b.Slots, v.Running(b.ID)*a.Slots), cmp.Compare(v.Running(a.ID), v.Running(b.ID)),
				cmp.Compare(a.LastUsed, b.LastUsed), cmp.Compare(a.ID, b.ID))
		})
		errs = append(errs, same("vacant workers of "+model, ids(v.Vacant(model)), ids(slices.Values(want))))
		vacant += len(want)
	}
	if v.vacancies.len() != vacant {
		errs = append(errs, fmt.Errorf("%d vacancies in the index, %d vacant workers", v.vacancies.len(), vacant))
	}
	errs = append(errs, checkRooms(v))
	if v.hiveWorkers.len() != total || v.modelWorkers.len() != total {
		errs = append(errs, fmt.Errorf("%d and %d workers in indexes, %d live ones",
			v.hiveWorkers.len(), v.modelWorkers.len(), total))
	}
	return errors.Join(errs...)
}

func checkHives(v *View) error {
	var errs []error
	offers := map[string][]string{}
	for h := range v.Hives() {
		for _, m := range h.Facts.Models {
			if !slices.Contains(offers[m.Ref], h.ID) {
				offers[m.Ref] = append(offers[m.Ref], h.ID)
			}
		}
	}
	for model, want := range offers {
		var got []string
		for h := range v.HivesWith(model) {
			got = append(got, h.ID)
		}
		errs = append(errs, same("hives with "+model, got, want))
	}
	if got := slices.Collect(v.Models()); len(got) != len(offers) || !slices.IsSorted(got) {
		errs = append(errs, fmt.Errorf("models are %v, a scan finds %v", got, offers))
	}
	var last Time
	n := 0
	for r := range v.IdempotencyExpired(1 << 62) {
		if found, ok := v.Idempotency(r.Tenant, r.Key); !ok || found != r || r.Expiry < last {
			errs = append(errs, fmt.Errorf("idempotency row %+v is out of place", r))
		}
		last = r.Expiry
		n++
	}
	if n != v.idempotency.len() {
		errs = append(errs, fmt.Errorf("%d idempotency rows by expiry, %d in all", n, v.idempotency.len()))
	}
	return errors.Join(errs...)
}

// checkHash sums all rows anew, and sees that no published row has lost its own sum.
func checkHash(v *View) error {
	s := New() // for its hasher
	sum := s.rowSum(TableMeta, func(c *coder) { c.meta(&v.meta, &v.counts) })
	add := func(row any, own Sum, anew Sum) error {
		sum = sum.plus(anew)
		if own != anew {
			return fmt.Errorf("a %s was changed after it was published: %s", reflect.TypeOf(row), readable(row))
		}
		return nil
	}
	var errs []error
	for q := range v.Queens() {
		errs = append(errs, add(q, q.sum, s.queenSum(q)))
	}
	for k := range v.keys.all() {
		errs = append(errs, add(k, k.sum, s.keySum(k)))
	}
	for h := range v.Hives() {
		fresh := *h
		fresh.factsSum = s.factsSum(&h.Facts)
		errs = append(errs, add(h, h.sum, s.hiveSum(&fresh)))
	}
	for m := range v.models.all() {
		errs = append(errs, add(m, m.sum, s.modelSum(m)))
	}
	for y := range v.copies.all() {
		errs = append(errs, add(y, y.sum, s.copySum(y)))
	}
	for w := range v.Workers() {
		errs = append(errs, add(w, w.sum, s.workerSum(w)))
	}
	for b := range v.blocks.all() {
		errs = append(errs, add(b, b.sum, s.blockSum(b)))
	}
	for r := range v.idempotency.all() {
		errs = append(errs, add(r, r.sum, s.idempotencySum(r)))
	}
	for j := range v.jobs.all() {
		fresh := *j
		if fresh.bodySum = (Sum{}); len(j.Body.Data) > 0 {
			fresh.bodySum = sumOf(j.Body.Data)
		}
		errs = append(errs, add(j, j.sum, s.jobSum(&fresh)))
	}
	if sum != v.Hash() {
		errs = append(errs, fmt.Errorf("the hash is %s, all rows sum to %s", v.Hash(), sum))
	}
	return errors.Join(errs...)
}
