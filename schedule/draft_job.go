package schedule

import (
	"cmp"
	"iter"
	"slices"

	"queen-rbee/fsm"
)

// job finds a job as it stands in the draft.
func (d *draft) job(id string) (*fsm.Job, bool) {
	if j, ok := d.jobs[id]; ok {
		return j, j != nil
	}
	return d.view.Job(id)
}

// edit gives the draft's own copy of a job.
func (d *draft) edit(j *fsm.Job) *fsm.Job {
	if own := d.jobs[j.ID]; own != nil {
		return own
	}
	c := *j
	d.jobs[j.ID] = &c
	return &c
}

// freshen notes a job that became ready in this plan, which no index of the View knows.
func (d *draft) freshen(j *fsm.Job) {
	if len(d.fresh[j.Model]) == 0 {
		d.freshOf = append(d.freshOf, j.Model)
	}
	d.fresh[j.Model] = append(d.fresh[j.Model], j)
}

// waitingModels are the models that have or had ready jobs, in order of name: all of them, or
// only those for which this plan may find a slot or brought the first jobs.
func (d *draft) waitingModels(all bool) []string {
	if all {
		return sorted(slices.AppendSeq(slices.Clone(d.freshOf), d.view.QueuedModels()))
	}
	models := slices.AppendSeq(slices.Clone(d.freshOf), d.view.VacantModels())
	for model := range d.touched {
		if d.view.Waits(model) {
			models = append(models, model)
		}
	}
	return sorted(models)
}

func sorted(words []string) []string {
	slices.Sort(words)
	return slices.Compact(words)
}

func byRank(a, b *fsm.Job) int {
	return cmp.Or(cmp.Compare(a.Rank, b.Rank), cmp.Compare(a.Order, b.Order))
}

// runsOn yields the runs on a hive that this plan has not settled yet.
func (d *draft) runsOn(hive string) iter.Seq[*fsm.Job] {
	return d.still(d.view.RunsOnHive(hive))
}

// runsOf yields the runs on a worker that this plan has not settled yet.
func (d *draft) runsOf(worker string) iter.Seq[*fsm.Job] {
	return d.still(d.view.RunsOnWorker(worker))
}

func (d *draft) still(runs iter.Seq[*fsm.Job]) iter.Seq[*fsm.Job] {
	return func(yield func(*fsm.Job) bool) {
		for was := range runs {
			j, ok := d.job(was.ID)
			if !ok || j.State != fsm.JobRunning || j.Attempt != was.Attempt {
				continue
			}
			if !yield(j) {
				return
			}
		}
	}
}

// submit admits a job.
func (d *draft) submit(cmd *fsm.Submit) *fsm.Job {
	job := &cmd.Job
	if job.IdempotencyKey != "" {
		cmd.IdempotencyTTL = d.lim.IdempotencyTTL
		d.keyed++
		k := idemKey{job.Tenant, job.IdempotencyKey}
		d.keys[k] = &fsm.Idempotency{Tenant: k.tenant, Key: k.key, Job: job.ID, Hash: job.RequestHash, Expiry: d.now + cmd.IdempotencyTTL}
	}
	d.emit(cmd)
	own := *job
	own.Order = d.meta.NextOrder + uint64(len(d.born))
	own.State = fsm.JobQueued
	own.Submitted = d.now
	d.jobs[own.ID], d.born[own.ID] = &own, true
	d.queued++
	d.bytes += int64(len(own.Body.Data))
	d.freshen(&own)
	return &own
}

// assign gives a queued job to a worker.
func (d *draft) assign(j *fsm.Job, w *fsm.Worker) {
	cmd := &fsm.Assign{Job: j.ID, Worker: w.ID, Attempt: j.Attempt + 1}
	if d.born[j.ID] {
		d.assigns[j.ID] = cmd
	} else {
		d.emit(cmd)
	}
	own := d.edit(j)
	own.State, own.Worker, own.Hive, own.Attempt = fsm.JobRunning, w.ID, w.Hive, cmd.Attempt
	if h, ok := d.hive(w.Hive); ok {
		own.Incarnation = h.Incarnation
	}
	own.Begin, own.AssignedIndex = cmd.Begin, d.index
	own.Delivered, own.Ending, own.AbandonAt = false, fsm.EndNone, 0
	d.queued--
	d.busy[w.ID]++
	d.editWorker(w).LastUsed = d.now
}

// started notes that an attempt delivers.
func (d *draft) started(j *fsm.Job, cmd *fsm.Started) {
	d.emit(cmd)
	d.edit(j).Delivered = true
}

// end ends a job; Job and Attempt of the command are filled in here.
func (d *draft) end(j *fsm.Job, cmd fsm.EndJob) {
	cmd.Job, cmd.Attempt = j.ID, j.Attempt
	d.emit(&cmd)
	if j.State == fsm.JobRunning {
		d.vacate(j.Worker)
	} else {
		d.queued--
	}
	d.bytes -= int64(len(j.Body.Data))
	d.ended++
	own := d.edit(j)
	own.State, own.Ended, own.Failure = cmd.State, d.now, cmd.Failure
}

// requeue takes a running job back into the queue.
func (d *draft) requeue(j *fsm.Job, cmd fsm.Requeue) {
	cmd.Job, cmd.Attempt = j.ID, j.Attempt
	d.emit(&cmd)
	d.vacate(j.Worker)
	d.queued++
	own := d.edit(j)
	own.State, own.Worker, own.Hive = fsm.JobQueued, "", ""
	own.NotBefore, own.Avoid, own.AbandonAt = cmd.NotBefore, cmd.Avoid, cmd.AbandonAt
	if cmd.Counted {
		own.Retries++
	}
	if own.NotBefore == 0 {
		d.freshen(own)
	}
}

// vacate frees a slot.
func (d *draft) vacate(worker string) {
	d.busy[worker]--
	w, ok := d.worker(worker)
	if !ok || w.State.Gone() {
		return
	}
	d.editWorker(w).LastUsed = d.now
	if w.State == fsm.WorkerDraining {
		d.emptying = append(d.emptying, worker)
	}
}

// ready ends a job's backoff.
func (d *draft) ready(j *fsm.Job) {
	d.emit(&fsm.Ready{Job: j.ID})
	own := d.edit(j)
	own.NotBefore = 0
	d.freshen(own)
}

// wishEnd asks a running job to end.
func (d *draft) wishEnd(j *fsm.Job, why fsm.Ending) {
	d.emit(&fsm.WishEnd{Job: j.ID, Reason: why})
	own := d.edit(j)
	own.Ending, own.AssignedIndex = why, d.index
}

// hold adds a holder.
func (d *draft) hold(j *fsm.Job, h fsm.Holder) {
	d.emit(&fsm.Hold{Job: j.ID, Holder: h})
	own := d.edit(j)
	own.Holders = append(slices.Clone(own.Holders), h)
	own.AbandonAt = 0
}

// release removes a holder; a queued job without another is given up grace from now.
func (d *draft) release(j *fsm.Job, h fsm.Holder, grace fsm.Time) {
	cmd := &fsm.Release{Job: j.ID, Holder: h}
	left := slices.DeleteFunc(slices.Clone(j.Holders), func(o fsm.Holder) bool { return o == h })
	if len(left) == 0 && j.State == fsm.JobQueued && !j.Detached {
		cmd.AbandonAt = d.now + grace
	}
	d.emit(cmd)
	own := d.edit(j)
	own.Holders = left
	if cmd.AbandonAt != 0 {
		own.AbandonAt = cmd.AbandonAt
	}
}

// forgetJob expires an ended job.
func (d *draft) forgetJob(j *fsm.Job) {
	d.emit(&fsm.ExpireJob{ID: j.ID})
	d.jobs[j.ID] = nil
	d.ended--
}

// idempotency finds what a tenant's key made.
func (d *draft) idempotency(tenant, key string) (*fsm.Idempotency, bool) {
	if i, ok := d.keys[idemKey{tenant, key}]; ok {
		return i, i != nil
	}
	return d.view.Idempotency(tenant, key)
}

// forgetKey expires an idempotency key.
func (d *draft) forgetKey(tenant, key string) {
	d.emit(&fsm.ExpireKey{Tenant: tenant, Key: key})
	d.keys[idemKey{tenant, key}] = nil
	d.keyed--
}
