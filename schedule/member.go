package schedule

import "queen-rbee/fsm"

// genesis serves a gather on a state that is not born: one Genesis gives it life, every
// other request is refused.
func (p *planner) genesis(reqs []Request) {
	born := false
	for i := range reqs {
		p.req = i
		g := reqs[i].Genesis
		switch {
		case g == nil:
			p.answers[i].Err = fsm.Errorf(fsm.CodeNoLeader, "the cluster is not yet bootstrapped")
		case g.Epoch.IsZero() || g.ClusterID == "":
			p.answers[i].Err = fsm.Errorf(fsm.CodeInvalid, "genesis needs a cluster id and an epoch")
		case !born:
			born = true
			p.emit(&fsm.Genesis{ClusterID: g.ClusterID, Epoch: g.Epoch, Level: fsm.CurrentLevel, AdminKey: g.AdminKey})
		}
	}
}

// serveMember serves what concerns the cluster's members and keys, and Tick.
func (p *planner) serveMember(r *Request) *fsm.Error {
	switch {
	case r.Genesis != nil, r.Tick != nil:
		return nil
	case r.Member != nil:
		return p.member(r.Member.Queen)
	case r.Forget != nil:
		p.forget(r.Forget.ID)
		return nil
	case r.PutKey != nil:
		return p.putKey(r.PutKey.Key)
	}
	return fsm.Errorf(fsm.CodeInvalid, "an empty request")
}

func (p *planner) member(q fsm.Queen) *fsm.Error {
	if err := text("queen.id", q.ID, maxID, true); err != nil {
		return err
	}
	if q.Level < p.meta.Level {
		return fsm.Errorf(fsm.CodeConflict, "queen %s (version %s) reads format level %d, this cluster is at level %d: upgrade it first",
			q.ID, q.Version, q.Level, p.meta.Level)
	}
	old, ok := p.queen(q.ID)
	if ok && old.Boot == q.Boot && old.Role == q.Role && old.HTTP == q.HTTP && old.Raft == q.Raft &&
		old.Gossip == q.Gossip && old.Version == q.Version && old.Level == q.Level {
		return nil
	}
	p.emit(&fsm.PutQueen{Queen: q})
	p.queens[q.ID] = &q
	return nil
}

// raiseLevel lets the state use what this build knows, once every member can read it. What
// needs the level is decided from the next plan on.
func (p *planner) raiseLevel() {
	if p.meta.Level >= fsm.CurrentLevel {
		return
	}
	members := 0
	for was := range p.view.Queens() {
		q, ok := p.queen(was.ID)
		if !ok {
			continue
		}
		if members++; q.Level < fsm.CurrentLevel {
			return
		}
	}
	if members > 0 {
		p.emit(&fsm.RaiseLevel{Level: fsm.CurrentLevel})
	}
}

func (p *planner) forget(id string) {
	if _, ok := p.queen(id); ok {
		p.emit(&fsm.DropQueen{ID: id})
		p.queens[id] = nil
	}
}

func (p *planner) queen(id string) (*fsm.Queen, bool) {
	if q, ok := p.queens[id]; ok {
		return q, q != nil
	}
	return p.view.Queen(id)
}

func (p *planner) putKey(k fsm.Key) *fsm.Error {
	if err := text("tenant", k.Tenant, maxID, true); err != nil {
		return err
	}
	if k.Role != fsm.KeyUser && k.Role != fsm.KeyAdmin {
		return fsm.Errorf(fsm.CodeInvalid, "role: want user or admin")
	}
	if k.Hash == ([32]byte{}) {
		return fsm.Errorf(fsm.CodeInvalid, "hash: must be the SHA-256 of the key")
	}
	old, ok := p.apiKeys[k.Hash]
	if !ok {
		old, ok = p.view.Key(k.Hash)
	}
	if ok && old.Tenant == k.Tenant && old.Role == k.Role && old.Name == k.Name && old.Created == k.Created {
		return nil
	}
	p.emit(&fsm.PutKey{Key: k})
	p.apiKeys[k.Hash] = &k
	return nil
}
