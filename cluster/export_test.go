package cluster

// Snapshot makes a running queen take a snapshot now.
func (q *Queen) Snapshot() error { return q.node.Load().raft.Snapshot().Error() }

// TrailingLogs is how many entries stay behind a snapshot.
const TrailingLogs = trailingLogs
