package schedule

import (
	"time"

	"queen-rbee/fsm"
)

// Plan decides. It is pure: the same world, requests and time give the same plan. now is
// cluster time (never below the view's) and wall is for people. It may be called from any
// goroutine; it keeps nothing of its arguments and changes none of them.
//
// The batch may be empty of commands; then nothing needs to be committed and the answers
// are true at the View's own index.
func Plan(w World, reqs []Request, now fsm.Time, wall fsm.Millis) Planned {
	p := &planner{draft: newDraft(w, now), world: w, answers: make([]Answer, len(reqs))}
	if p.meta.Epoch.IsZero() {
		p.genesis(reqs)
		return p.planned(wall)
	}
	p.thorough = thorough(p.meta.Now, p.now, reqs)
	own := p.own(reqs)
	for i := range reqs {
		if !aboutNew(&reqs[i], own) {
			p.serve(i, &reqs[i])
		}
	}
	p.req = byPlan
	if p.thorough {
		p.raiseLevel()
		p.watchHives()
	} else {
		p.wake((p.now/period + 1) * period)
	}
	p.releaseGone()
	p.timers()
	p.stopEmptied()
	for i := range reqs {
		if aboutNew(&reqs[i], own) {
			p.serve(i, &reqs[i])
		}
	}
	p.req = byPlan
	p.serveQueues()
	if p.thorough {
		p.serveCatalog()
	}
	p.retire()
	p.nextTimer()
	return p.planned(wall)
}

// planner is one call of Plan: the draft and what is being answered.
type planner struct {
	*draft
	world   World
	answers []Answer
	about   []subject // answers that tell of a job as it is when all is decided

	thorough bool             // this plan looks at the whole fleet
	heard    map[string]bool  // hives that spoke in this very gather
	pools    map[string]*pool // by model
	memory   map[string][]int64
	full     bool // the queue has reached its limit: submissions are placed one by one
	refusals int  // submissions refused for capacity so far

	lacks    int              // how many found no place
	promised map[device]int64 // what those that wait for room on its way will take

	more  bool
	wakes fsm.Time
}

// period is how often a plan looks at the whole fleet, which costs time in the number of
// hives and workers: for silence, for drains, for where a worker could be spawned. In
// between, a plan costs what its requests cost.
const period = 100 * time.Millisecond

// thorough tells whether a plan is to look at the whole fleet: when nothing is asked, when
// more is asked than clients and runs do, and when the last batch was in an earlier period.
func thorough(last, now fsm.Time, reqs []Request) bool {
	if len(reqs) == 0 || now/period != last/period {
		return true
	}
	for i := range reqs {
		r := &reqs[i]
		if r.Submit == nil && r.Started == nil && r.Finished == nil && r.Cancel == nil && r.Hold == nil && r.Release == nil {
			return true
		}
	}
	return false
}

// subject is a request answered with the state of a job.
type subject struct {
	req int
	job string
}

// own are the ids of the jobs that this gather may give birth to.
func (p *planner) own(reqs []Request) map[string]bool {
	own := map[string]bool{}
	for i := range reqs {
		if s := reqs[i].Submit; s != nil {
			if _, known := p.view.Job(s.Job.ID); !known {
				own[s.Job.ID] = true
			}
		}
	}
	return own
}

// aboutNew tells requests about jobs that are submitted in the same gather. They are
// served in the order they came, after all others.
func aboutNew(r *Request, own map[string]bool) bool {
	switch {
	case r.Submit != nil:
		return own[r.Submit.Job.ID]
	case r.Cancel != nil:
		return own[r.Cancel.Job]
	case r.Hold != nil:
		return own[r.Hold.Job]
	case r.Release != nil:
		return own[r.Release.Job]
	}
	return false
}

// serve decides one request and notes its answer.
func (p *planner) serve(i int, r *Request) {
	p.req = i
	a := &p.answers[i]
	switch {
	case r.Submit != nil:
		p.submitJob(a, r.Submit)
	case r.Started != nil:
		p.startedJob(r.Started)
	case r.Finished != nil:
		a.Err = p.finishedJob(r.Finished)
	case r.Cancel != nil:
		p.cancelJob(a, r.Cancel)
	case r.Hold != nil:
		a.Err = p.holdJob(r.Hold)
	case r.Release != nil:
		a.Err = p.releaseJob(r.Release)
	case r.Register != nil:
		p.register(a, r.Register)
	case r.Beat != nil:
		p.beat(a, r.Beat)
	case r.HiveWish != nil:
		a.Err = p.wishHive(r.HiveWish)
	case r.DropHive != nil:
		a.Err = p.drop(r.DropHive)
	case r.SpawnWorker != nil:
		p.spawnWorker(a, r.SpawnWorker)
	case r.StopWorker != nil:
		p.stopWorker(a, r.StopWorker)
	default:
		if !p.serveModel(a, r) {
			a.Err = p.serveMember(r)
		}
	}
}

// room tells whether the plan may decide more on its own; when not, it is noted that
// something was left over.
func (p *planner) room() bool {
	if p.made() < p.lim.Decisions {
		return true
	}
	p.more = true
	return false
}

// wake notes that something is due at t.
func (p *planner) wake(t fsm.Time) {
	if t > 0 && (p.wakes == 0 || t < p.wakes) {
		p.wakes = t
	}
}

// planned closes the plan.
func (p *planner) planned(wall fsm.Millis) Planned {
	cmds, spans := p.commands(len(p.answers))
	index, epoch := p.meta.Index, p.meta.Epoch
	if len(cmds) > 0 {
		index = p.index
		if g, ok := cmds[0].(*fsm.Genesis); ok {
			epoch = g.Epoch
		}
	}
	for _, s := range p.about {
		p.tell(&p.answers[s.req], s.job)
	}
	for i := range p.answers {
		p.answers[i].Index, p.answers[i].Epoch = index, epoch
	}
	level := p.meta.Level
	if p.meta.Epoch.IsZero() {
		level = fsm.CurrentLevel
	}
	if p.wakes != 0 && p.wakes <= p.now {
		p.wakes = p.now + 1
	}
	return Planned{
		Batch:   fsm.Batch{Base: p.meta.Index, Epoch: p.meta.Epoch, Now: p.now, Wall: wall, Level: level, Commands: cmds},
		Answers: p.answers, Spans: spans, More: p.more, Wake: p.wakes,
	}
}

// tell answers with a job as the draft has it at the end of the plan.
func (p *planner) tell(a *Answer, id string) {
	j, ok := p.job(id)
	if !ok { // forgotten by this very plan
		if j, ok = p.view.Job(id); !ok {
			return
		}
	}
	a.Job, a.State = j.ID, j.State
	if j.State != fsm.JobRunning {
		return
	}
	a.Assigned = &Assignment{Worker: j.Worker, Hive: j.Hive, Incarnation: j.Incarnation,
		Attempt: j.Attempt, Index: j.AssignedIndex, Begin: j.Begin}
	if h, ok := p.hive(j.Hive); ok {
		a.Assigned.HiveURL = h.Facts.URL
	}
}

// tellOf answers the request being served with that job.
func (p *planner) tellOf(id string) { p.about = append(p.about, subject{p.req, id}) }
