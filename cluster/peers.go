package cluster

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"strconv"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"queen-rbee/fsm"
)

// Methods any queen answers for another.
const (
	peerStatus = "peer.status"
	peerLook   = "peer.look"
	peerTerm   = "peer.term"
)

// report is a queen's word on itself.
type report struct {
	ID         string `json:"id"`
	Boot       string `json:"boot"`
	LogIndex   uint64 `json:"log_index"` // raft's, of the last entry applied
	Applied    uint64 `json:"applied"`   // batch index
	Leader     string `json:"leader"`
	LeaderAddr string `json:"leader_addr"`
	Term       uint64 `json:"term"` // in which it leads

	LastIndex uint64 `json:"last_index"` // raft's, of the last entry in its log
	LastTerm  uint64 `json:"last_term"`
	Contact   int64  `json:"contact_ms"` // since it heard of the leader; 0 on the leader, -1 for never
}

// report is this queen's.
func (n *node) report() *report {
	at := n.board.read()
	r := &report{ID: n.cfg.Name, Boot: n.cfg.Boot, LogIndex: n.raft.AppliedIndex(), Applied: n.replica.view().Meta().Index,
		Leader: at.id, LeaderAddr: at.addr, Term: at.term, LastIndex: n.raft.LastIndex()}
	r.LastTerm, _ = strconv.ParseUint(n.raft.Stats()["last_log_term"], 10, 64) // raft's own words
	if n.raft.State() != raft.Leader {
		r.Contact = -1
		if last := n.raft.LastContact(); !last.IsZero() {
			r.Contact = time.Since(last).Milliseconds()
		}
	}
	return r
}

// announceEvery is how often a queen looks whether it is known as it is.
const announceEvery = 5 * time.Second

func (n *node) peerMethods() map[string]peerHandler {
	return map[string]peerHandler{
		peerStatus: func(context.Context, []byte) ([]byte, error) {
			return json.Marshal(n.report())
		},
		// term: raft's newest here, read after the question has come.
		peerTerm: func(context.Context, []byte) ([]byte, error) {
			return binary.BigEndian.AppendUint64(nil, n.raft.CurrentTerm()), nil
		},
		// look: something changed about this queen's membership; it asks the leader anew.
		peerLook: func(context.Context, []byte) ([]byte, error) {
			select {
			case n.look <- struct{}{}:
			default:
			}
			return nil, nil
		},
	}
}

// askPeer calls a method of a queen, leader or not.
func (n *node) askPeer(ctx context.Context, addr string, c wireCall) ([]byte, error) {
	l, err := n.links.get(ctx, addr)
	if err != nil {
		return nil, err
	}
	r, fate := l.call(ctx, c)
	switch {
	case fate != answered:
		return nil, errNoLeader("queen at " + addr + " did not answer")
	case r.Err != nil:
		return nil, r.Err
	}
	return r.Body, nil
}

// askAll asks queens for their reports at once, for at most answerTimeout; nil for those
// that do not answer.
func (n *node) askAll(ctx context.Context, addrs []string) []*report {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	reports := make([]*report, len(addrs))
	var wg sync.WaitGroup
	for i, a := range addrs {
		wg.Go(func() {
			body, err := n.askPeer(ctx, a, wireCall{Method: peerStatus})
			var r report
			if err == nil && json.Unmarshal(body, &r) == nil {
				reports[i] = &r
			}
		})
	}
	wg.Wait()
	return reports
}

// announce tells the leader of this start until it is known, and again whenever another
// queen says to look, its row is not what it says of itself, or no leader has been known for
// a while. It ends the queen when the
// leader says that it is no member.
func (n *node) announce(ctx context.Context) error {
	again := time.NewTicker(announceEvery)
	defer again.Stop()
	for {
		n.announceOnce(ctx)
		for waiting := true; waiting; {
			select {
			case <-ctx.Done():
				return nil
			case <-n.look:
				waiting = false
			case <-again.C:
				waiting = n.board.read().id != "" && n.known()
			}
		}
	}
}

// known tells whether the state has this start as it is.
func (n *node) known() bool {
	row, ok := n.replica.view().Queen(n.cfg.Name)
	if !ok {
		return false
	}
	r := n.joinRequest("")
	mine := r.row()
	return row.Boot == mine.Boot && row.Role == mine.Role && row.HTTP == mine.HTTP && row.Raft == mine.Raft &&
		row.Gossip == mine.Gossip && row.Version == mine.Version && row.Level == mine.Level
}

func (n *node) announceOnce(ctx context.Context) {
	body, _ := json.Marshal(n.joinRequest(n.replica.view().Meta().ClusterID)) // plain fields
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, 2*time.Second) {
		tryCtx, cancel := context.WithTimeout(ctx, 2*time.Second)
		_, err := n.forward.send(tryCtx, wireCall{Method: methodAnnounce, Body: body}, true)
		if err != nil && n.board.read().id == "" {
			err = n.announceRoundabout(tryCtx, body, err)
		}
		cancel()
		switch code := asError(err).Code; {
		case err == nil:
			return
		case code == fsm.CodeConflict || code == fsm.CodeInvalid:
			n.fail(startError(err, "the leader does not accept this queen: %s", asError(err).Message))
			return
		}
		if !sleep(ctx, pause) {
			return
		}
	}
}

// announceRoundabout looks for the leader among all known queens: one that comes back under
// another address is not found by the leader, and so does not know it.
func (n *node) announceRoundabout(ctx context.Context, body []byte, err error) error {
	for _, r := range n.askAll(ctx, n.otherAddrs()) {
		if r == nil || r.LeaderAddr == "" || r.Leader == n.cfg.Name {
			continue
		}
		_, err = n.askPeer(ctx, r.LeaderAddr, wireCall{Method: methodAnnounce, Body: body, Term: r.Term})
		return err
	}
	return err
}

// otherAddrs are the raft addresses of the other members.
func (n *node) otherAddrs() []string {
	var addrs []string
	for _, s := range n.servers() {
		if string(s.ID) != n.cfg.Name {
			addrs = append(addrs, string(s.Address))
		}
	}
	return addrs
}
