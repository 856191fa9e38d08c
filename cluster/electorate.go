package cluster

import (
	"context"
	"encoding/binary"
	"sync"

	"github.com/hashicorp/raft"
)

// electorate is who decides whether this queen still leads. raft v1.8.0 counts the answers of
// non-voters, too, when it verifies a leader: one that is cut off together with a relay would
// be confirmed by it while the others elect. With non-voters about, the voters are asked here.
type electorate struct {
	n   *node
	ctx context.Context // of the leadership
}

// mixed tells whether anybody in raft's configuration has no vote.
func (e electorate) mixed() bool {
	for _, s := range e.n.servers() {
		if s.Suffrage != raft.Voter {
			return true
		}
	}
	return false
}

// confirm returns nil once a majority of the voters has said, after the call, that it knows
// of no later term than the one this queen leads in. Whoever is elected later gets a vote
// from one of them, after this; so all that was acknowledged before the call was so here.
func (e electorate) confirm(term uint64) error {
	ctx, cancel := context.WithTimeout(e.ctx, answerTimeout)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel() // those that have not answered are not waited for
	voters, yes := 0, 0
	answers := make(chan bool)
	for _, s := range e.n.servers() {
		switch {
		case s.Suffrage != raft.Voter:
		case string(s.ID) == e.n.cfg.Name:
			voters++
			if e.n.raft.CurrentTerm() <= term {
				yes++
			}
		default:
			voters++
			wg.Go(func() {
				select {
				case answers <- e.knowsNoLater(ctx, string(s.Address), term):
				case <-ctx.Done():
				}
			})
		}
	}
	for yes < voters/2+1 {
		select {
		case ok := <-answers:
			if ok {
				yes++
			}
		case <-ctx.Done():
			return raft.ErrLeadershipLost
		}
	}
	return nil
}

// knowsNoLater asks one voter.
func (e electorate) knowsNoLater(ctx context.Context, addr string, term uint64) bool {
	body, err := e.n.askPeer(ctx, addr, wireCall{Method: peerTerm})
	return err == nil && len(body) == 8 && binary.BigEndian.Uint64(body) <= term
}
