package cluster

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/hashicorp/raft"

	"queen-rbee/fsm"
	"queen-rbee/schedule"
)

// Methods of the leader.
const (
	methodJoin     = "queen.join"
	methodAnnounce = "queen.announce"
	methodRemove   = "queen.remove"
	methodTransfer = "queen.transfer"
	methodIndex    = "queen.index"
)

const (
	changeTimeout  = 10 * time.Second // to get a change of membership into raft
	answerTimeout  = time.Second
	maxJoinRequest = 16 << 10
)

func (n *node) leaderMethods() map[string]LeaderHandler {
	return map[string]LeaderHandler{
		methodJoin:     func(ctx context.Context, b []byte) ([]byte, error) { return n.admit(ctx, b, true) },
		methodAnnounce: func(ctx context.Context, b []byte) ([]byte, error) { return n.admit(ctx, b, false) },
		methodRemove:   n.remove,
		methodTransfer: n.transfer,
		methodIndex:    n.index,
	}
}

// server finds a member in raft's configuration.
func (n *node) server(id string) (raft.Server, bool) {
	return find(n.servers(), id)
}

func find(servers []raft.Server, id string) (raft.Server, bool) {
	for _, s := range servers {
		if string(s.ID) == id {
			return s, true
		}
	}
	return raft.Server{}, false
}

func (n *node) servers() []raft.Server {
	f := n.raft.GetConfiguration()
	if err := f.Error(); err != nil {
		return nil
	}
	return f.Configuration().Servers
}

// admit makes a queen a member (joining), or takes in what a member says of itself at its start.
func (n *node) admit(ctx context.Context, body []byte, joining bool) ([]byte, error) {
	var r JoinRequest
	if err := json.Unmarshal(body, &r); err != nil {
		return nil, fsm.Errorf(fsm.CodeInvalid, "join: %v", err)
	}
	if err := r.validate(); err != nil {
		return nil, err
	}
	l := n.established.Load()
	if l == nil {
		return nil, errMoved
	}
	meta := n.replica.view().Meta()
	if slices.Contains(n.dir.formerly(), r.ClusterID) {
		return nil, fsm.Errorf(fsm.CodeConflict, "%s", outlived(r.ID, r.ClusterID, meta.ClusterID))
	}
	if r.ClusterID != "" && r.ClusterID != meta.ClusterID {
		return nil, fsm.Errorf(fsm.CodeConflict, "the data directory of %s belongs to cluster %s, this is cluster %s: give another --data-dir", r.ID, r.ClusterID, meta.ClusterID)
	}
	if r.Level < meta.Level {
		return nil, fsm.Errorf(fsm.CodeConflict, "queen %s (version %s) reads format level %d and the cluster is at %d: start a newer build", r.ID, r.Version, r.Level, meta.Level)
	}
	if err := n.seat(r, joining); err != nil {
		return nil, err
	}
	index, err := l.finish(ctx, schedule.Request{Member: &schedule.Member{Queen: r.row()}})
	if err != nil {
		return nil, err
	}
	a := JoinAnswer{Index: index, ClusterID: meta.ClusterID, Leader: n.cfg.Name, Formerly: n.dir.formerly()}
	for q := range n.replica.view().Queens() {
		a.Gossip, a.Raft = append(a.Gossip, q.Gossip), append(a.Raft, q.Raft)
	}
	return json.Marshal(a)
}

// seat puts a queen into raft's configuration under its address: as a learner when it is new.
func (n *node) seat(r JoinRequest, joining bool) error {
	s, member := n.server(r.ID)
	row, known := n.replica.view().Queen(r.ID)
	if was := roleOf(s, row); member && was != 0 && was != r.Role {
		return fsm.Errorf(fsm.CodeConflict, "queen %s is a %s of this cluster, not a %s: start it with the --role it has, or remove it, empty its data directory and join again with the other", r.ID, was, r.Role)
	}
	switch {
	case !member && !joining, !member && r.ClusterID != "":
		return fsm.Errorf(fsm.CodeConflict, "queen %s was removed from this cluster: to bring it back, empty its data directory and join again", r.ID)
	case member && joining && r.ClusterID == "" && (known && row.Boot != r.Boot || !known && string(s.Address) != r.Raft):
		return fsm.Errorf(fsm.CodeConflict, "there is a queen %s already: give this one another --name, or remove that one first", r.ID)
	case member && string(s.Address) == r.Raft:
		return nil
	}
	n.log.Info("seating a queen", "id", r.ID, "raft", r.Raft, "new", !member)
	add := n.raft.AddNonvoter
	if member && s.Suffrage == raft.Voter {
		add = n.raft.AddVoter // of a voter, this changes the address
	}
	return changed(add(raft.ServerID(r.ID), raft.ServerAddress(r.Raft), 0, changeTimeout).Error())
}

// roleOf is what a member is: by its vote, else by its row. A learner without a row may
// still become either; row may be nil.
func roleOf(s raft.Server, row *fsm.Queen) fsm.Role {
	switch {
	case s.Suffrage == raft.Voter:
		return fsm.RoleVoter
	case row != nil:
		return row.Role
	}
	return 0
}

// changed gives a failed change of membership its code.
func changed(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipTransferInProgress):
		return errMoved
	case errors.Is(err, raft.ErrLeadershipLost), errors.Is(err, raft.ErrRaftShutdown):
		return errPartly
	}
	return fsm.Errorf(fsm.CodeInternal, "the membership was not changed: %v", err)
}

func (r *JoinRequest) validate() error {
	bad := func(field, format string, args ...any) error {
		return fsm.Errorf(fsm.CodeInvalid, "%s: %s", field, fmt.Sprintf(format, args...))
	}
	if !namePattern.MatchString(r.ID) {
		return bad("id", "%.80q is not a queen's name", r.ID)
	}
	if r.Role != fsm.RoleVoter && r.Role != fsm.RoleRelay {
		return bad("role", "%d is unknown", r.Role)
	}
	for _, a := range [][2]string{{"raft", r.Raft}, {"gossip", r.Gossip}} {
		if host, port, err := net.SplitHostPort(a[1]); err != nil || host == "" || port == "" || len(a[1]) > 300 {
			return bad(a[0], "%.120q is not host:port", a[1])
		}
	}
	if r.Boot == "" || len(r.Boot) > 64 || len(r.HTTP) > 300 || len(r.Version) > 100 || len(r.ClusterID) > 64 {
		return bad("boot", "boot, http, version or cluster_id is missing or too long")
	}
	return nil
}

func (r *JoinRequest) row() fsm.Queen {
	return fsm.Queen{ID: r.ID, Boot: r.Boot, Role: r.Role, HTTP: r.HTTP, Raft: r.Raft, Gossip: r.Gossip, Version: r.Version, Level: r.Level}
}

// remove ends a membership, unless too few of the remaining voters would answer.
func (n *node) remove(ctx context.Context, body []byte) ([]byte, error) {
	l := n.established.Load()
	if l == nil {
		return nil, errMoved
	}
	id := string(body)
	s, member := n.server(id)
	_, known := n.replica.view().Queen(id)
	switch {
	case !member && !known:
		return nil, fsm.Errorf(fsm.CodeNotFound, "there is no queen %.80q", id)
	case member:
		if err := n.unseat(ctx, s); err != nil {
			return nil, err
		}
	}
	index, err := l.finish(ctx, schedule.Request{Forget: &schedule.Forget{ID: id}})
	if err != nil {
		return nil, err
	}
	answer := binary.BigEndian.AppendUint64(nil, index)
	if !member {
		return answer, nil
	}
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	_, _ = n.askPeer(ctx, string(s.Address), wireCall{Method: peerLook}) // so that it stops; it finds out later otherwise
	return answer, nil
}

// finish proposes what belongs to a change of membership that is made already, and returns
// the batch index at which it stands. It does not go on to another leader: who called does,
// with the whole.
func (l *leadership) finish(ctx context.Context, r schedule.Request) (uint64, error) {
	got := l.propose(ctx, r)
	switch {
	case got.fate != answered:
		return 0, errPartly
	case got.err != nil:
		return 0, got.err
	}
	return got.answer.Index, nil
}

func (n *node) unseat(ctx context.Context, s raft.Server) error {
	if s.Suffrage == raft.Voter {
		left, answering := n.votersWithout(ctx, s.ID)
		if ctx.Err() != nil { // nobody was heard out: leadership has ended
			return errMoved
		}
		if need := left/2 + 1; left == 0 || answering < need {
			return fsm.Errorf(fsm.CodeConflict, "removing %s would leave %d voters of which %d answer, and %d are needed: bring others back, or add one, first", s.ID, left, answering, need)
		}
	}
	if string(s.ID) == n.cfg.Name {
		err := handedOn(n.raft.LeadershipTransfer().Error())
		if err != nil && !errors.Is(err, errMoved) {
			return fsm.Errorf(fsm.CodeConflict, "%s leads and nobody could take over: %v", s.ID, err)
		}
		return errMoved // the next leader removes us
	}
	if err := changed(n.raft.RemoveServer(s.ID, 0, changeTimeout).Error()); err != nil {
		return err
	}
	n.log.Info("removed a queen", "id", s.ID)
	return nil
}

// votersWithout counts the voters beside one, and those of them that answer now.
func (n *node) votersWithout(ctx context.Context, id raft.ServerID) (left, answering int) {
	var addrs []string
	for _, s := range n.servers() {
		if s.Suffrage != raft.Voter || s.ID == id {
			continue
		}
		left++
		if string(s.ID) == n.cfg.Name {
			answering++
		} else {
			addrs = append(addrs, string(s.Address))
		}
	}
	for _, r := range n.askAll(ctx, addrs) {
		if r != nil {
			answering++
		}
	}
	return left, answering
}

// transfer hands leadership on.
func (n *node) transfer(_ context.Context, body []byte) ([]byte, error) {
	to := string(body)
	f := n.raft.LeadershipTransfer
	switch s, ok := n.server(to); {
	case to == n.cfg.Name:
		return nil, nil
	case to != "" && !ok:
		return nil, fsm.Errorf(fsm.CodeNotFound, "there is no queen %.80q", to)
	case to != "" && s.Suffrage != raft.Voter:
		return nil, fsm.Errorf(fsm.CodeConflict, "queen %s does not vote, so it cannot lead", to)
	case to != "":
		f = func() raft.Future { return n.raft.LeadershipTransferToServer(s.ID, s.Address) }
	}
	err := handedOn(f().Error())
	if err != nil && !errors.Is(err, errMoved) {
		return nil, fsm.Errorf(fsm.CodeConflict, "leadership was not handed on: %v", err)
	}
	return nil, err
}

// handedOn is errMoved where a transfer failed since leadership was going, or gone, already.
func handedOn(err error) error {
	if errors.Is(err, raft.ErrNotLeader) || errors.Is(err, raft.ErrLeadershipTransferInProgress) {
		return errMoved
	}
	return err
}

// index tells the batch index that a strong read must see: all this leader ever acknowledged
// is in its View, and a Barrier stood before its first answer.
func (n *node) index(context.Context, []byte) ([]byte, error) {
	l := n.established.Load()
	if l == nil {
		return nil, errMoved
	}
	i := n.replica.view().Meta().Index
	if err := l.proposer.raft.verify(); err != nil {
		return nil, errMoved
	}
	return binary.BigEndian.AppendUint64(nil, i), nil
}
