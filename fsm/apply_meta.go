package fsm

import "encoding/hex"

func (t *turn) genesis(c *Genesis) *Error {
	switch {
	case !t.meta.Epoch.IsZero():
		return Errorf(CodeConflict, "the cluster has its genesis already: id %s", t.meta.ClusterID)
	case c.Epoch.IsZero() || c.ClusterID == "":
		return Errorf(CodeInvalid, "genesis without cluster id or epoch")
	case c.Level > CurrentLevel:
		return Errorf(CodeInvalid, "level %d is above %d", c.Level, CurrentLevel)
	}
	t.meta.ClusterID, t.meta.Epoch, t.meta.Level = c.ClusterID, c.Epoch, c.Level
	t.meta.NextOrder = 1
	t.mark(TableMeta, "")
	return t.setKey(&PutKey{Key{Hash: c.AdminKey, Role: KeyAdmin, Name: "admin", Created: t.wall}})
}

func (t *turn) raiseLevel(c *RaiseLevel) *Error {
	switch {
	case c.Level == t.meta.Level:
		return nil
	case c.Level < t.meta.Level || c.Level > CurrentLevel:
		return Errorf(CodeConflict, "level %d after %d, at most %d", c.Level, t.meta.Level, CurrentLevel)
	}
	t.meta.Level = c.Level
	t.mark(TableMeta, "")
	return nil
}

func (t *turn) setQueen(c *PutQueen) *Error {
	q := c.Queen
	if q.ID == "" {
		return Errorf(CodeInvalid, "queen without an id")
	}
	was, _ := t.queens.get(q.ID)
	q.sum = Sum{}
	if was != nil {
		q.sum = was.sum
		if q == *was {
			return nil
		}
	}
	t.putQueen(was, &q)
	t.mark(TableQueen, q.ID)
	return nil
}

func (t *turn) dropQueen(c *DropQueen) *Error {
	if was, ok := t.queens.get(c.ID); ok {
		t.putQueen(was, nil)
		t.mark(TableQueen, c.ID)
	}
	return nil
}

func (t *turn) setKey(c *PutKey) *Error {
	k := c.Key
	if k.Role != KeyUser && k.Role != KeyAdmin {
		return Errorf(CodeInvalid, "key without a role")
	}
	was, _ := t.keys.get(string(k.Hash[:]))
	k.sum = Sum{}
	if was != nil {
		k.sum = was.sum
		if k == *was {
			return nil
		}
	}
	t.putKey(was, &k)
	t.mark(TableKey, hex.EncodeToString(k.Hash[:]))
	return nil
}

func (t *turn) expireKey(c *ExpireKey) *Error {
	if was, ok := t.idempotency.get(&Idempotency{Tenant: c.Tenant, Key: c.Key}); ok {
		t.putIdempotency(was, nil)
		t.mark(TableIdempotency, c.Tenant+"/"+c.Key)
	}
	return nil
}
