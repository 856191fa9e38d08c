package fsm

import (
	"iter"
	"math"
)

// Job finds a job by id.
func (v *View) Job(id string) (*Job, bool) { return v.jobs.get(id) }

// Queue yields the ready queued jobs of a model in the order they should be assigned:
// by (Rank, Order).
func (v *View) Queue(model string) iter.Seq[*Job] {
	return func(yield func(*Job) bool) {
		for j := range v.queue.from(headOf(model)) {
			if j.Model != model || !yield(j) {
				return
			}
		}
	}
}

// headOf is below every place in the queue of a model.
func headOf(model string) *Job { return &Job{Model: model, Rank: math.MinInt64} }

// TimerKind is what is due for a queued or running job.
type TimerKind uint8

// Kinds of timers.
const (
	TimerReady TimerKind = iota + 1 // NotBefore of a queued job
	TimerDeadline
	TimerAbandon // AbandonAt of a queued job
)

// Timer is one due time of one job.
type Timer struct {
	At   Time
	Kind TimerKind
	Job  string
}

// Timers yields what is due at or before now, earliest first.
func (v *View) Timers(now Time) iter.Seq[Timer] {
	return func(yield func(Timer) bool) {
		for k := range v.timers.all() {
			if k.At > now || !yield(k) {
				return
			}
		}
	}
}

// NextTimer is the earliest timer at all.
func (v *View) NextTimer() (Timer, bool) { return v.timers.first() }

// Running counts the running jobs on a worker.
func (v *View) Running(worker string) int {
	n, _ := v.running.get(worker)
	return n
}

// RunsOnWorker yields the running jobs of a worker in order of id.
func (v *View) RunsOnWorker(worker string) iter.Seq[*Job] {
	return rows(v.jobs, linked(v.workerRuns, worker))
}

// RunsOnHive yields the running jobs of a hive in order of id.
func (v *View) RunsOnHive(hive string) iter.Seq[*Job] { return rows(v.jobs, linked(v.hiveRuns, hive)) }

// HeldBy yields the jobs that a queen process holds.
func (v *View) HeldBy(h Holder) iter.Seq[*Job] {
	return func(yield func(*Job) bool) {
		for k := range v.holdings.from(holding{holder: &h}) {
			if *k.holder != h {
				return
			}
			if j, ok := v.jobs.get(k.job); ok && !yield(j) {
				return
			}
		}
	}
}

// Holders yields the distinct holders of all jobs, in order.
func (v *View) Holders() iter.Seq[Holder] {
	return func(yield func(Holder) bool) {
		k, ok := v.holdings.next(holding{holder: &Holder{}})
		for ok && yield(*k.holder) {
			k, ok = v.holdings.next(holding{holder: &Holder{k.holder.Queen, after(k.holder.Boot)}})
		}
	}
}

// EndedBefore yields ended jobs whose end is at or before t, earliest first.
func (v *View) EndedBefore(t Time) iter.Seq[*Job] { return rows(v.jobs, until(v.ended, t)) }
