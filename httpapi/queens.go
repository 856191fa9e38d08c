package httpapi

import (
	"context"
	"errors"
	"net"
	"net/http"
	"slices"
	"strconv"
	"time"

	"queen-rbee/cluster"
	"queen-rbee/fsm"
)

type queenJSON struct {
	ID           string `json:"id"`
	HTTPURL      string `json:"http_url"`
	RaftAddr     string `json:"raft_addr"`
	Role         string `json:"role"`
	Votes        bool   `json:"votes"` // a new voter does not before it has caught up
	Status       string `json:"status"`
	Leader       bool   `json:"leader"`
	AppliedIndex uint64 `json:"applied_index"`
	Version      string `json:"version"`
}

type clusterJSON struct {
	ClusterID   string      `json:"cluster_id"`
	Epoch       string      `json:"epoch"`
	Leader      string      `json:"leader"`
	Term        uint64      `json:"term"`
	CommitIndex uint64      `json:"commit_index"`
	Queens      []queenJSON `json:"queens"`
}

var roles = map[fsm.Role]string{fsm.RoleVoter: "voter", fsm.RoleRelay: "relay"}

// showCluster is GET /v2/cluster, as this queen sees it.
func (s *Server) showCluster(w http.ResponseWriter, r *request) error {
	st, m := s.queen.Status(), r.view.Meta()
	out := clusterJSON{
		ClusterID: m.ClusterID, Epoch: m.Epoch.String(), Leader: st.Leader, Term: st.Term,
		CommitIndex: m.Index, Queens: []queenJSON{},
	}
	applied := s.queen.Applied(r.Context())
	for _, p := range st.Peers {
		if _, answers := applied[p.ID]; answers {
			p.Presence = cluster.Alive // whatever gossip says: this queen may have just started to listen to it
		}
		out.Queens = append(out.Queens, queenJSON{
			ID: p.ID, HTTPURL: p.HTTP, RaftAddr: p.Raft, Role: roles[p.Role], Votes: p.Voter, Version: p.Version,
			Status: p.Presence, Leader: p.Leader, AppliedIndex: applied[p.ID],
		})
	}
	s.index(w, m.Index)
	return writeJSON(w, http.StatusOK, out)
}

// clusterHash is GET /v2/cluster/hash?index=N: the newest when no index is given.
func (s *Server) clusterHash(w http.ResponseWriter, r *request) error {
	index := r.view.Meta().Index
	if q := r.URL.Query().Get("index"); q != "" {
		var err error
		if index, err = strconv.ParseUint(q, 10, 64); err != nil {
			return fsm.Errorf(fsm.CodeInvalid, "index: %.40q is not an index", q)
		}
		if _, err := s.queen.WaitIndex(r.Context(), index); err != nil {
			return err
		}
	}
	sum, ok := s.queen.HashAt(index)
	if !ok {
		return fsm.Errorf(fsm.CodeNotFound, "the hash at index %d is not kept here: the last 1,024 are", index)
	}
	s.index(w, index)
	return writeJSON(w, http.StatusOK, map[string]any{"index": index, "hash": sum.String()})
}

// clusterToken is GET /v2/cluster/token: what joins the next queen and the next hive.
func (s *Server) clusterToken(w http.ResponseWriter, r *request) error {
	var urls []string
	for q := range r.view.Queens() {
		urls = append(urls, q.HTTP)
	}
	token := s.queen.Token()
	hiveToken := cluster.HiveToken(token)
	hive := "rbee-hive serve --id NAME --data-dir DIR --addr 0.0.0.0:7835 --advertise-url http://HOST:7835 --token " + hiveToken
	queen := "queen-rbee serve --name NAME --data-dir DIR --advertise-host HOST" +
		" --http-addr 0.0.0.0:7833 --raft-addr 0.0.0.0:7832 --gossip-addr 0.0.0.0:7831 --token " + token
	for _, u := range urls {
		hive += " --queen " + u
		queen += " --join " + u
	}
	return writeJSON(w, http.StatusOK, map[string]string{
		"cluster_token": token, "hive_token": hiveToken,
		"join_command": queen, "hive_command": hive,
	})
}

// joinCluster is POST /v2/cluster/join.
func (s *Server) joinCluster(w http.ResponseWriter, r *request) error {
	var req cluster.JoinRequest
	if err := decodeStrict(r.body, &req); err != nil {
		return err
	}
	ans, err := s.queen.Join(r.Context(), req)
	if err != nil {
		return err
	}
	s.index(w, ans.Index)
	s.log.Info("queen joins", "queen", req.ID, "raft", req.Raft, "http", req.HTTP)
	return writeJSON(w, http.StatusOK, ans)
}

// transfer is POST /v2/cluster/transfer {to?}.
func (s *Server) transfer(w http.ResponseWriter, r *request) error {
	var req struct {
		To string `json:"to"`
	}
	if len(r.body) > 0 {
		if err := decodeStrict(r.body, &req); err != nil {
			return err
		}
	}
	if _, ok := r.view.Queen(req.To); !ok && req.To != "" {
		v, err := s.queen.Strong(r.Context()) // this replica may be behind
		if err != nil {
			return err
		}
		if _, ok := v.Queen(req.To); !ok {
			return fsm.Errorf(fsm.CodeNotFound, "to: there is no queen %.100q", req.To)
		}
	}
	if err := s.queen.Transfer(r.Context(), req.To); err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, map[string]string{"leader": s.awaitLeader(r.Context())})
}

// awaitLeader is the leader once this queen knows one again, or empty after a while: a
// transfer that was done is not told as failed because its news is slow.
func (s *Server) awaitLeader(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for {
		if id := s.queen.Status().Leader; id != "" {
			return id
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return ""
		}
	}
}

// removeQueen is DELETE /v2/cluster/queens/{id}.
func (s *Server) removeQueen(w http.ResponseWriter, r *request) error {
	index, err := s.queen.Remove(r.Context(), r.vars["id"])
	if err != nil {
		return err
	}
	s.index(w, index)
	return writeJSON(w, http.StatusOK, map[string]string{"removed": r.vars["id"]})
}

// health is GET /health: the process answers.
func (s *Server) health(w http.ResponseWriter, _ *request) error {
	return writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
}

// ready is GET /ready: 503 only while starting, catching up or draining. A missing leader
// shows in the body, and as 503 with ?leader=1: a queen without one still serves reads and streams.
func (s *Server) ready(w http.ResponseWriter, r *request) error {
	st := s.queen.Status()
	body := map[string]any{
		"status": "ready", "leader": st.Leader, "applied_index": r.view.Meta().Index, "commit_index": r.view.Meta().Index,
	}
	status := http.StatusOK
	switch {
	case s.drain.Err() != nil:
		body["status"], status = "draining", http.StatusServiceUnavailable
	case !st.Ready:
		body["status"], status = "starting", http.StatusServiceUnavailable
	case st.Leader == "" && r.URL.Query().Get("leader") == "1":
		body["status"], status = "no_leader", http.StatusServiceUnavailable
	}
	return writeJSON(w, status, body)
}

// sortedSet sorts and drops repeats.
func sortedSet(s []string) []string {
	slices.Sort(s)
	return slices.Compact(s)
}

// Listen opens the HTTP port, with an error that says what to do.
func Listen(addr string) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	if e, ok := errors.AsType[*net.OpError](err); ok {
		return nil, fsm.Errorf(fsm.CodeInvalid, "http-addr: cannot listen on %s: %v; choose another port or stop what uses it", addr, e.Err)
	}
	return l, err
}
