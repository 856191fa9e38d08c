package cluster

import "queen-rbee/fsm"

// JoinPath is where any queen's HTTP takes a JoinRequest as JSON, with the cluster token as
// bearer, and answers with a JoinAnswer.
const JoinPath = "/v2/cluster/join"

// JoinRequest asks for membership.
type JoinRequest struct {
	ID        string    `json:"id"`
	Boot      string    `json:"boot"`
	ClusterID string    `json:"cluster_id,omitempty"` // the data directory's, when it has one
	Role      fsm.Role  `json:"role"`
	HTTP      string    `json:"http"`
	Raft      string    `json:"raft"`
	Gossip    string    `json:"gossip"`
	Version   string    `json:"version"`
	Level     fsm.Level `json:"level"`
}

// JoinAnswer says what was joined.
type JoinAnswer struct {
	ClusterID string   `json:"cluster_id"`
	Leader    string   `json:"leader"`
	Index     uint64   `json:"index"`  // batch index at which the membership stands
	Gossip    []string `json:"gossip"` // addresses of members
	Raft      []string `json:"raft"`
	Formerly  []string `json:"formerly,omitempty"` // clusters that this one was recovered from
}
