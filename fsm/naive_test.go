package fsm

import (
	"fmt"
	"slices"
)

// naive is a second, simple-minded statement of what commands do: plain maps, no indexes, no
// hashes, no copies, written from the contract and not from Apply. It keeps only what
// decides: states, attempts, slots, holders.
type naive struct {
	jobs    map[string]*naiveJob
	workers map[string]*naiveWorker
	hives   map[string]*naiveHive
	idem    map[[2]string]naiveKey
	blocks  map[[2]string]uint32
	models  map[string]*naiveModel
	copies  map[[2]string]bool // by hive and model
}

type naiveModel struct {
	aliases []string
	dropped bool
	engine  string
}

type naiveJob struct {
	model           string
	state, ending   string
	worker          string
	attempt         uint32
	delivered       bool
	backoff, giveUp Time
	retries         uint32
	detached        bool
	holders         []Holder
	keep            KeepAlive
	ended           int // how often
}

type naiveWorker struct {
	hive, model, state string
	slots              int
	holds, catalog     bool
	keep               KeepAlive
}

type naiveHive struct {
	online      bool
	leaving     bool
	boot        string
	incarnation uint64
}

type naiveKey struct {
	job    string
	expiry Time
}

func newNaive() *naive {
	return &naive{map[string]*naiveJob{}, map[string]*naiveWorker{}, map[string]*naiveHive{},
		map[[2]string]naiveKey{}, map[[2]string]uint32{}, map[string]*naiveModel{}, map[[2]string]bool{}}
}

func (n *naive) runs(worker string) (count int) {
	for _, j := range n.jobs {
		if j.state == "running" && j.worker == worker {
			count++
		}
	}
	return count
}

// do says whether a command is allowed, and does it.
func (n *naive) do(cmd Command, now Time) bool {
	switch c := cmd.(type) {
	case *RegisterHive:
		return n.register(c)
	case *SetHiveStatus:
		h := n.hives[c.ID]
		if h != nil {
			h.online = c.Status == HiveOnline
		}
		return h != nil
	case *HiveLeaving:
		h := n.hives[c.ID]
		if h != nil {
			h.leaving = true
		}
		return h != nil
	case *DropHive:
		return n.dropHive(c.ID)
	case *Spawn:
		return n.spawn(c)
	case *SetWorkerState:
		return n.workerState(c)
	case *BlockHive:
		if c.Fails > 0 && n.hives[c.Hive] == nil {
			return false
		}
		n.blocks[[2]string{c.Hive, c.Model}] = c.Fails
		return true
	case *ExpireWorker:
		w := n.workers[c.ID]
		if w != nil && (w.state != "stopped" && w.state != "failed" || n.runs(c.ID) > 0) {
			return false
		}
		delete(n.workers, c.ID)
		return true
	case *ExpireJob:
		if j := n.jobs[c.ID]; j != nil && (j.state == "queued" || j.state == "running") {
			return false
		}
		delete(n.jobs, c.ID)
		return true
	case *ExpireKey:
		delete(n.idem, [2]string{c.Tenant, c.Key})
		return true
	case *Submit:
		return n.submit(c, now)
	case *PutModel, *DropModel, *ExpireModel, *SetCopy, *DropCopy, *FreeWorker:
		return n.doCatalog(cmd)
	}
	return n.doJob(cmd)
}

func (n *naive) register(c *RegisterHive) bool {
	h := n.hives[c.ID]
	if h == nil {
		h = &naiveHive{}
	}
	if h.boot == c.Boot {
		return h.incarnation == c.Incarnation
	}
	if h.incarnation > 0 && c.Incarnation != h.incarnation+1 || c.Incarnation == 0 {
		return false
	}
	for key := range n.blocks {
		m := n.models[key[1]]
		file := m != nil && !m.dropped && m.engine != "" && slices.Contains(c.Facts.Engines, m.engine)
		if key[0] == c.ID && !file && !slices.ContainsFunc(c.Facts.Models, func(m EngineModel) bool { return m.Ref == key[1] }) {
			delete(n.blocks, key)
		}
	}
	n.hives[c.ID] = &naiveHive{true, false, c.Boot, c.Incarnation}
	return true
}

func (n *naive) dropHive(id string) bool {
	h := n.hives[id]
	if h == nil {
		return true
	}
	for _, w := range n.workers {
		if w.hive == id && w.state != "stopped" && w.state != "failed" {
			return false
		}
	}
	for _, j := range n.jobs {
		if j.state == "running" && n.workers[j.worker].hive == id {
			return false
		}
	}
	if h.online {
		return false
	}
	delete(n.hives, id)
	for key := range n.blocks {
		if key[0] == id {
			delete(n.blocks, key)
		}
	}
	for key := range n.copies {
		if key[0] == id {
			delete(n.copies, key)
		}
	}
	for _, w := range n.workers {
		w.holds = w.holds && w.hive != id
	}
	return true
}

func (n *naive) doCatalog(cmd Command) bool {
	switch c := cmd.(type) {
	case *PutModel:
		for ref, m := range n.models {
			for _, name := range append([]string{c.Model.Ref}, c.Model.Aliases...) {
				if ref != c.Model.Ref && !m.dropped && (name == ref || slices.Contains(m.aliases, name)) {
					return false
				}
			}
		}
		n.models[c.Model.Ref] = &naiveModel{slices.DeleteFunc(slices.Clone(c.Model.Aliases), func(a string) bool { return a == c.Model.Ref }), false, c.Model.Engine}
	case *DropModel:
		if m := n.models[c.Ref]; m != nil {
			m.dropped = true
		}
	case *ExpireModel:
		m := n.models[c.Ref]
		if m == nil {
			return true
		}
		if !m.dropped {
			return false
		}
		for _, w := range n.workers {
			if w.model == c.Ref && w.catalog && w.state != "stopped" && w.state != "failed" {
				return false
			}
		}
		delete(n.models, c.Ref)
		for hive := range n.hives {
			delete(n.copies, [2]string{hive, c.Ref})
			delete(n.blocks, [2]string{hive, c.Ref})
		}
	case *SetCopy:
		m := n.models[c.Copy.Model]
		if m == nil || n.hives[c.Copy.Hive] == nil || c.Copy.Wanted && m.dropped {
			return false
		}
		n.copies[[2]string{c.Copy.Hive, c.Copy.Model}] = true
	case *DropCopy:
		delete(n.copies, [2]string{c.Hive, c.Model})
	case *FreeWorker:
		if w := n.workers[c.ID]; w != nil {
			w.holds = false
		}
	}
	return true
}

func (n *naive) spawn(c *Spawn) bool {
	if w := n.workers[c.ID]; w != nil {
		return w.hive == c.Hive && w.model == c.Model
	}
	if n.hives[c.Hive] == nil {
		return false
	}
	n.workers[c.ID] = &naiveWorker{c.Hive, c.Model, "spawning", c.Slots, false, c.LoadFor > 0, 0}
	return true
}

func (n *naive) workerState(c *SetWorkerState) bool {
	w, next := n.workers[c.ID], c.State.String()
	if w == nil {
		return false
	}
	gone := w.state == "stopped" || w.state == "failed"
	switch {
	case c.Holds && next != "stopped" && next != "failed":
		return false
	case next == w.state && gone:
		return c.Slots == 0 || c.Slots >= n.runs(c.ID)
	case gone && next != w.state:
		return false
	case w.state == "draining" && (next == "spawning" || next == "loading" || next == "ready"):
		return false
	case c.Slots > 0 && c.Slots < n.runs(c.ID):
		return false
	}
	if next != w.state {
		w.holds = c.Holds
	}
	w.state = next
	if c.Slots > 0 {
		w.slots = c.Slots
	}
	return true
}

func (n *naive) submit(c *Submit, now Time) bool {
	if n.jobs[c.Job.ID] != nil {
		return true
	}
	if c.Job.IdempotencyKey != "" {
		at := [2]string{c.Job.Tenant, c.Job.IdempotencyKey}
		if k, ok := n.idem[at]; ok && k.expiry > now {
			return false
		}
		n.idem[at] = naiveKey{c.Job.ID, now + c.IdempotencyTTL}
	}
	j := &naiveJob{model: c.Job.Model, state: "queued", detached: c.Job.Detached, backoff: c.Job.NotBefore, giveUp: c.Job.AbandonAt, keep: c.Job.KeepAlive}
	for _, h := range c.Job.Holders {
		j.hold(h)
	}
	n.jobs[c.Job.ID] = j
	return true
}

func (j *naiveJob) hold(h Holder) {
	if !slices.Contains(j.holders, h) {
		j.holders = append(j.holders, h)
		slices.SortFunc(j.holders, func(a, b Holder) int {
			if a.Queen+"/"+a.Boot < b.Queen+"/"+b.Boot {
				return -1
			}
			return 1
		})
	}
}

func (n *naive) doJob(cmd Command) bool {
	switch c := cmd.(type) {
	case *Assign:
		return n.assign(c)
	case *Started:
		j := n.running(c.Job, c.Attempt)
		if j != nil {
			j.delivered = true
		}
		return j != nil
	case *EndJob:
		j := n.jobs[c.Job]
		if j == nil || j.state != "queued" && j.state != "running" || j.attempt != c.Attempt ||
			j.state == "queued" && c.State == JobComplete {
			return false
		}
		if w := n.workers[j.worker]; j.state == "running" && w != nil && w.state != "stopped" && w.state != "failed" && j.keep != 0 {
			w.keep = j.keep
		}
		j.state, j.holders, j.backoff, j.giveUp = c.State.String(), nil, 0, 0
		j.ended++
		return true
	case *Requeue:
		return n.requeue(c)
	case *Ready:
		j := n.jobs[c.Job]
		if j == nil || j.state != "queued" {
			return false
		}
		j.backoff = 0
		return true
	case *WishEnd:
		j := n.jobs[c.Job]
		if j == nil || j.state != "running" {
			return false
		}
		if j.ending != "" && j.ending != "drained" && j.ending != c.Reason.String() {
			return false
		}
		j.ending = c.Reason.String()
		return true
	case *Hold:
		j := n.jobs[c.Job]
		if j == nil || j.state != "queued" && j.state != "running" {
			return false
		}
		j.hold(c.Holder)
		j.giveUp = 0
		return true
	case *Release:
		j := n.jobs[c.Job]
		if j == nil || !slices.Contains(j.holders, c.Holder) {
			return true
		}
		j.holders = slices.DeleteFunc(j.holders, func(h Holder) bool { return h == c.Holder })
		if len(j.holders) == 0 && j.state == "queued" && !j.detached {
			j.giveUp = c.AbandonAt
		}
		return true
	}
	panic(fmt.Sprintf("the model does not know %T", cmd))
}

func (n *naive) running(job string, attempt uint32) *naiveJob {
	if j := n.jobs[job]; j != nil && j.state == "running" && j.attempt == attempt {
		return j
	}
	return nil
}

func (n *naive) assign(c *Assign) bool {
	j, w := n.jobs[c.Job], n.workers[c.Worker]
	if j != nil && j.state == "running" && j.attempt == c.Attempt && j.worker == c.Worker {
		return true
	}
	if j == nil || w == nil || j.state != "queued" || j.backoff != 0 || c.Attempt != j.attempt+1 {
		return false
	}
	if w.state != "ready" || w.model != j.model || n.runs(c.Worker) >= w.slots || n.hives[w.hive] == nil || !n.hives[w.hive].online || n.hives[w.hive].leaving {
		return false
	}
	j.state, j.worker, j.attempt, j.giveUp = "running", c.Worker, c.Attempt, 0
	return true
}

func (n *naive) requeue(c *Requeue) bool {
	if j := n.jobs[c.Job]; j != nil && j.state == "queued" && j.attempt == c.Attempt && c.Attempt > 0 {
		return true
	}
	j := n.running(c.Job, c.Attempt)
	if j == nil || j.ending != "" && j.ending != "drained" {
		return false
	}
	j.state, j.worker, j.ending, j.delivered, j.backoff = "queued", "", "", false, c.NotBefore
	if c.Counted {
		j.retries++
	}
	if len(j.holders) == 0 && !j.detached {
		j.giveUp = c.AbandonAt
	}
	return true
}
