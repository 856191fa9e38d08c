package schedule

import "queen-rbee/fsm"

// retireMost is how much a plan forgets at most: retention must never make an entry large.
const retireMost = 1024

// retire forgets what need not be kept: ended jobs, idempotency keys, workers long gone.
func (p *planner) retire() {
	from := p.made()
	left := func() bool {
		if p.made()-from >= retireMost {
			p.more = true
			return false
		}
		return p.room()
	}
	p.retireJobs(left)
	if !p.retireKeys(left) {
		return
	}
	for w := range p.view.WorkersGoneBefore(forever) {
		if due := w.GoneAt + p.lim.RetainMin; due > p.now {
			p.wake(due)
			break
		}
		if p.running(w.ID) > 0 {
			continue // its runs are not settled yet
		}
		if now, ok := p.worker(w.ID); ok && now.Holds {
			if h, there := p.hive(w.Hive); there && h.Status == fsm.HiveOnline {
				continue // its hive has not let go of it
			}
		}
		if !left() {
			return
		}
		p.forgetWorker(w)
	}
}

// retireKeys forgets idempotency keys, the oldest first: those that have expired, and beyond
// IdempotencyKeys those older than RetainMin. It tells whether there was room for all.
func (p *planner) retireKeys(left func() bool) bool {
	for i := range p.view.IdempotencyExpired(forever) {
		if now, ok := p.idempotency(i.Tenant, i.Key); !ok || now.Job != i.Job {
			continue
		}
		due := i.Expiry
		if p.keyed > p.lim.IdempotencyKeys {
			due = min(due, i.Expiry-p.lim.IdempotencyTTL+p.lim.RetainMin)
		}
		if due > p.now {
			p.wake(due)
			return true
		}
		if !left() {
			return false
		}
		p.forgetKey(i.Tenant, i.Key)
	}
	return true
}

// retireJobs forgets ended jobs, the earliest first: those older than Retain, and beyond
// RetainJobs those older than RetainMin.
func (p *planner) retireJobs(left func() bool) {
	for j := range p.view.EndedBefore(forever) {
		keep := p.lim.Retain
		if p.ended > p.lim.RetainJobs {
			keep = min(p.lim.Retain, p.lim.RetainMin)
		}
		if due := j.Ended + keep; due > p.now {
			p.wake(due)
			return
		}
		if !left() {
			return
		}
		p.forgetJob(j)
	}
	if p.ended > 0 {
		p.wake(p.now + p.lim.Retain) // those that ended in this plan
	}
}
