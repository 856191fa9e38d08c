package cluster

// Snapshot makes a running queen take a snapshot now.
func (q *Queen) Snapshot() error { return q.node.Load().raft.Snapshot().Error() }

// TrailingLogs is how many entries stay behind a snapshot.
const TrailingLogs = trailingLogs

// LoseVotes makes the store of term and vote fail from now on.
func (q *Queen) LoseVotes() error {
	s := q.node.Load().storage
	return s.closers[len(s.closers)-1].Close()
}
