package cluster

import "github.com/hashicorp/raft"

// Faults wrap what raft writes to and speaks through, so that tests can put faults in. A nil
// function wraps nothing. They are called at each start, before raft is.
type Faults struct {
	Log       func(raft.LogStore) raft.LogStore // forwards IsMonotonic
	Votes     func(raft.StableStore) raft.StableStore
	Snapshots func(raft.SnapshotStore) raft.SnapshotStore
	Net       func(raft.Transport) raft.Transport // forwards RequestPreVote and Close
}

// disk puts the faults of a disk under the guard, which is to notice them.
func (f Faults) disk(s *storage) {
	if f.Log != nil {
		s.logs.LogStore = f.Log(s.logs.LogStore)
	}
	if f.Votes != nil {
		s.stable.StableStore = f.Votes(s.stable.StableStore)
	}
	if f.Snapshots != nil {
		s.snapshots = f.Snapshots(s.snapshots)
	}
}

func (f Faults) net(t raft.Transport) raft.Transport {
	if f.Net == nil {
		return t
	}
	return f.Net(t)
}
