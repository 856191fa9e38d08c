package cluster

import (
	"crypto/rand"
	"runtime"

	"github.com/hashicorp/raft"
	"github.com/oklog/ulid/v2"

	"queen-rbee/fsm"
)

// Snapshot makes a running queen take a snapshot now.
func (q *Queen) Snapshot() error { return q.node.Load().raft.Snapshot().Error() }

// TrailingLogs is how many entries stay behind a snapshot.
const TrailingLogs = trailingLogs

// LoseVotes makes the store of term and vote fail from now on.
func (q *Queen) LoseVotes() error {
	s := q.node.Load().storage
	return s.closers[len(s.closers)-1].Close()
}

// Append has raft store n entries with about so many bytes each, committed or not, and returns
// when they are in this queen's log; the state refuses them. An error says that it led no more.
func (q *Queen) Append(n, size int) error {
	body := make([]byte, size)
	_, _ = rand.Read(body) // never fails
	const noBase = 1 << 60
	data, err := fsm.EncodeBatch(&fsm.Batch{Base: noBase, Commands: []fsm.Command{&fsm.Submit{Job: fsm.Job{
		ID: ulid.Make().String(), Tenant: "default", Body: fsm.Body{Data: body, Size: uint32(size)},
	}}}})
	if err != nil {
		return err
	}
	r := q.node.Load().raft
	end := r.LastIndex() + uint64(n)
	for range n {
		r.Apply(data, 0)
	}
	for r.LastIndex() < end {
		if r.State() != raft.Leader {
			return raft.ErrNotLeader
		}
		runtime.Gosched()
	}
	return nil
}
