package cluster

import (
	"errors"

	"github.com/hashicorp/raft"

	"queen-rbee/fsm"
)

// raftLog is what the proposer needs of raft.
type raftLog interface {
	// commit proposes one entry and waits until raft has answered or leadership has ended,
	// however long that takes.
	commit(data []byte) (fsm.Outcome, fate, error)
	// verify returns nil when this queen led, in the same term, at a moment after the call.
	verify() error
}

// committer is the one place that tells refused, committed and unknown apart. It serves one
// term: raft itself takes an entry, and says that this queen leads, in whatever term is current.
type committer struct {
	raft    *raft.Raft
	term    uint64
	members electorate
}

func (c committer) commit(data []byte) (fsm.Outcome, fate, error) {
	if c.raft.CurrentTerm() != c.term {
		return fsm.Outcome{}, refused, raft.ErrNotLeader
	}
	f := c.raft.Apply(data, 0) // no time limit: raft's covers only the way into its channel
	if err := f.Error(); err != nil {
		return fsm.Outcome{}, fateOf(err), err
	}
	switch out := f.Response().(type) {
	case fsm.Outcome:
		return out, answered, nil
	case error: // the entry is in the log, but this queen stops
		return fsm.Outcome{}, unknown, out
	}
	return fsm.Outcome{}, unknown, errors.New("the entry had no outcome")
}

// fateOf says what became of an entry that raft did not commit in our sight. Only errors
// raft gives before it stores an entry are refusals.
func fateOf(err error) fate {
	switch {
	case err == nil:
		return answered
	case errors.Is(err, raft.ErrNotLeader),
		errors.Is(err, raft.ErrLeadershipTransferInProgress),
		errors.Is(err, raft.ErrEnqueueTimeout):
		return refused
	}
	// Leadership lost, shutdown, a disk that failed, a restore: another leader may have it.
	return unknown
}

func (c committer) verify() error {
	if c.members.mixed() {
		return c.members.confirm(c.term)
	}
	err := c.raft.VerifyLeader().Error()
	if err == nil && c.members.mixed() { // one was seated meanwhile
		err = c.members.confirm(c.term)
	}
	if err == nil && c.raft.CurrentTerm() != c.term { // lost, and won again meanwhile
		err = raft.ErrLeadershipLost
	}
	return err
}
