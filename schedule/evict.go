package schedule

import (
	"cmp"
	"slices"

	"queen-rbee/fsm"
)

// lack is a model for which a worker found no place: for a job, or to keep its replicas.
type lack struct {
	model string
	job   *fsm.Job
}

// device names one device of a hive.
type device struct{ hive, id string }

// lack sees to it that room is made for a model that found no place: only where no worker is
// there that could serve the job in its turn.
func (p *planner) lack(model string, j *fsm.Job) {
	if j != nil && p.served(j) {
		return
	}
	n := p.lacks
	p.lacks++
	if !p.turn(n) {
		p.wake(p.now + period)
		return
	}
	p.makeRoom(lack{model, j})
}

// roomsAPlan bounds for how many models a plan makes room.
const roomsAPlan = 32

// turn tells whether it is the n-th model's turn: every second period that of those that wait
// longest, else that of each of the others in time, lest some that find no room keep all from it.
func (p *planner) turn(n int) bool {
	const windows = 64
	tick := int(p.now / period)
	if tick%2 == 0 {
		return n < roomsAPlan
	}
	return n/roomsAPlan%windows == tick/2%windows || n < roomsAPlan/4
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}

// clearing is a device and the workers that must leave it.
type clearing struct {
	at      device
	need    int64
	victims []victim
	holder  bool // the hive has the model's file
}

// victim is a worker that may have to leave, and how gladly it is let go.
type victim struct {
	w     *fsm.Worker
	class int // 0: a load nobody waits for; 1: rests; 2: serves, and has for long
	keep  fsm.Time
}

// better orders clearings: the least loved victims, the fewest, where the file is, the longest
// unused.
func (c clearing) better(o clearing) bool {
	return cmp.Or(cmp.Compare(c.worst(), o.worst()), cmp.Compare(len(c.victims), len(o.victims)), cmp.Compare(bit(o.holder), bit(c.holder)),
		cmp.Compare(c.victims[0].w.LastUsed, o.victims[0].w.LastUsed)) < 0
}

func (c clearing) worst() (class int) {
	for _, v := range c.victims {
		class = max(class, v.class)
	}
	return class
}

// makeRoom lets workers of other models leave one device, so that a worker of this one fits. It
// is spawned when the device is free by its hive's word; until then whoever finds that room is
// on its way waits for it.
func (p *planner) makeRoom(l lack) {
	var best *clearing
	hives := p.hivesWith(l.model)
	if l.job != nil {
		hives = p.hivesFor(l.job)
	}
	for h := range hives {
		if !usable(h) || l.job != nil && !suits(h, l.job) || p.holds(h.ID, l.model) {
			continue
		}
		if b, ok := p.block(l.model, h.ID); ok && b.Until > p.now {
			p.wake(b.Until)
			continue
		}
		y, there := p.copy(l.model, h.ID)
		for _, m := range p.offered(h, l.model) {
			for i, d := range h.Facts.Devices {
				c := clearing{at: device{h.ID, d.ID}, need: m.VRAM, holder: there && y.State == fsm.CopyPresent}
				if m.VRAM > d.Total {
					continue
				}
				if p.onItsWay(c, p.freeMemory(h)[i]) {
					p.promise(c)
					return
				}
				if p.chooseVictims(&c, l, p.freeMemory(h)[i]) && (best == nil || c.better(*best)) {
					best = &c
				}
			}
		}
	}
	if best == nil {
		return
	}
	for _, v := range best.victims {
		p.drainFor(v.w, &fsm.Failure{Code: evicted, Message: "model " + l.model + " needs the room"})
	}
	delete(p.memory, best.at.hive)
	p.promise(*best)
}

// onItsWay tells whether what is free on a device, and what is leaving it, is enough.
func (p *planner) onItsWay(c clearing, free int64) bool {
	leaving := int64(0)
	for w := range p.remaining(c.at.hive) {
		if w.Device == c.at.id {
			leaving += w.VRAM
		}
	}
	for w := range p.workersOn(c.at.hive) {
		if w.Device == c.at.id && w.State == fsm.WorkerDraining {
			leaving += w.VRAM
		}
	}
	return leaving > 0 && free+leaving-p.promised[c.at] >= c.need
}

func (p *planner) promise(c clearing) {
	if p.promised == nil {
		p.promised = map[device]int64{}
	}
	p.promised[c.at] += c.need
	p.wake(p.now + recheck)
}

// chooseVictims finds the fewest workers on a device whose leaving makes room, of those the ones let
// go most gladly.
func (p *planner) chooseVictims(c *clearing, l lack, free int64) bool {
	missing := c.need - max(free-p.promised[c.at], 0)
	all := p.victims(c.at, l)
	bySize := slices.Clone(all)
	slices.SortStableFunc(bySize, func(a, b victim) int { return cmp.Compare(b.w.VRAM, a.w.VRAM) })
	fewest, sum := 0, int64(0)
	for fewest < len(bySize) && sum < missing {
		sum += bySize[fewest].w.VRAM
		fewest++
	}
	if sum < missing || fewest == 0 {
		return false
	}
	for i, v := range all {
		if fewest == 0 {
			break
		}
		if v.w.VRAM+largest(all[i+1:], fewest-1) >= missing {
			c.victims = append(c.victims, v)
			missing -= v.w.VRAM
			fewest--
		}
	}
	return true
}

// largest is what the n largest of some workers take.
func largest(of []victim, n int) (sum int64) {
	sizes := make([]int64, len(of))
	for i, v := range of {
		sizes[i] = v.w.VRAM
	}
	slices.Sort(sizes)
	for _, size := range sizes[len(sizes)-min(n, len(sizes)):] {
		sum += size
	}
	return sum
}

// victims are the workers on a device that may have to leave, those let go most gladly first:
// loads nobody waits for, then what rests, the shortest keep-alive and the longest unused
// first. What serves may be drained when the other has waited for long.
func (p *planner) victims(at device, l lack) []victim {
	var list []victim
	losses := map[string]int{}
	for w := range p.workersOn(at.hive) {
		if w.Device != at.id || w.VRAM == 0 || w.Model == l.model || w.Index == p.index && w.State != fsm.WorkerReady || !p.evictable(w) {
			continue
		}
		if losses[w.Model]++; losses[w.Model] > p.spare(w.Model) {
			continue
		}
		class, ok := p.leaves(w, l)
		if !ok {
			continue
		}
		keep, ends := p.keepOf(w)
		if !ends {
			keep = forever
		}
		list = append(list, victim{w, class, keep})
	}
	slices.SortStableFunc(list, func(a, b victim) int {
		return cmp.Or(cmp.Compare(a.class, b.class), cmp.Compare(a.keep, b.keep), cmp.Compare(a.w.LastUsed, b.w.LastUsed), cmp.Compare(a.w.ID, b.w.ID))
	})
	return list
}

// evictable tells a worker that is not pinned and that its model can spare.
func (p *planner) evictable(w *fsm.Worker) bool {
	m, ok := p.model(w.Model)
	return (!ok || !m.Pin) && p.spare(w.Model) > 0
}

// leaves tells whether a worker may have to leave for another model now, and how gladly. The
// plan looks again when it may have to.
func (p *planner) leaves(w *fsm.Worker, l lack) (class int, ok bool) {
	switch w.State {
	case fsm.WorkerSpawning, fsm.WorkerLoading:
		if p.waited(w.Model) {
			return 0, false // others wait on this load
		}
		return 0, p.after(w.Since + p.lim.EvictIdle)
	case fsm.WorkerReady:
		if p.running(w.ID) == 0 && p.after(w.LastUsed+p.lim.EvictIdle) {
			return 1, true
		}
		if l.job == nil {
			return 0, false
		}
		return 2, p.after(max(l.job.Submitted, w.Since) + p.lim.SwapAfter)
	}
	return 0, false
}

// after tells whether a time has come; if not, the plan looks again then.
func (p *planner) after(t fsm.Time) bool {
	if p.now < t {
		p.wake(t)
		return false
	}
	return true
}

// waited tells whether a job waits for a model.
func (p *planner) waited(model string) bool {
	return p.view.Waits(model) || slices.ContainsFunc(p.fresh[model], func(j *fsm.Job) bool {
		now, ok := p.job(j.ID)
		return ok && now.State == fsm.JobQueued
	})
}
