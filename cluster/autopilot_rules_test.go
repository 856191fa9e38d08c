package cluster

import (
	"fmt"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	autopilot "github.com/hashicorp/raft-autopilot"
)

// TestWhoGetsAVote goes through what a learner must be before autopilot lets it vote.
func TestWhoGetsAVote(t *testing.T) {
	healthy := func(kind autopilot.NodeType, state autopilot.RaftState, since time.Duration) *autopilot.ServerState {
		return &autopilot.ServerState{Server: autopilot.Server{NodeType: kind}, State: state,
			Health: autopilot.ServerHealth{Healthy: true, StableSince: time.Now().Add(-since)}}
	}
	ill := healthy(typeLearner, autopilot.RaftNonVoter, time.Hour)
	ill.Health.Healthy = false
	for name, tc := range map[string]struct {
		voters int
		queen  *autopilot.ServerState
		want   bool
	}{
		"healthy for long":          {3, healthy(typeLearner, autopilot.RaftNonVoter, time.Minute), true},
		"healthy, but not for long": {3, healthy(typeLearner, autopilot.RaftNonVoter, 9*time.Second), false},
		"not healthy":               {3, ill, false},
		"a relay":                   {3, healthy(typeRelay, autopilot.RaftNonVoter, time.Hour), false},
		"a voter already":           {3, healthy(typeVoter, autopilot.RaftVoter, time.Hour), false},
		"where two vote":            {2, healthy(typeLearner, autopilot.RaftNonVoter, time.Hour), false},
	} {
		s := &autopilot.State{Servers: map[raft.ServerID]*autopilot.ServerState{"new": tc.queen}}
		for i := range tc.voters {
			s.Voters = append(s.Voters, raft.ServerID(fmt.Sprint("voter-", i)))
		}
		got := new(pilot).CalculatePromotionsAndDemotions(&autopilot.Config{ServerStabilizationTime: 10 * time.Second}, s)
		if (len(got.Promotions) == 1) != tc.want || len(got.Demotions) != 0 || got.Leader != "" {
			t.Errorf("%s: %+v, want a vote: %v", name, got, tc.want)
		}
	}
}

// TestWhoIsDead has neither gossip nor silence alone for a death.
func TestWhoIsDead(t *testing.T) {
	for name, tc := range map[string]struct {
		answered     bool
		silent, dead time.Duration
		presence     string
		want         autopilot.NodeStatus
	}{
		"answers":                            {true, 0, time.Minute, Alive, autopilot.NodeAlive},
		"answers, whatever gossip says":      {true, 0, time.Minute, Dead, autopilot.NodeAlive},
		"gossip alone":                       {false, time.Second, time.Minute, Dead, autopilot.NodeUnknown},
		"has left, a moment ago":             {false, time.Second, time.Minute, Left, autopilot.NodeUnknown},
		"silent for long, but gossip has it": {false, time.Hour, time.Minute, Alive, autopilot.NodeUnknown},
		"silent for long":                    {false, time.Minute, time.Minute, Dead, autopilot.NodeFailed},
		"silent for long, and suspect":       {false, time.Minute, time.Minute, Suspect, autopilot.NodeFailed},
		"never":                              {false, time.Hour, 0, Dead, autopilot.NodeUnknown},
	} {
		if got := judge(tc.answered, tc.silent, tc.dead, tc.presence); got != tc.want {
			t.Errorf("%s: %s, want %s", name, got, tc.want)
		}
	}
	alive, dead := &autopilot.Server{ID: "q1", NodeStatus: autopilot.NodeUnknown}, &autopilot.Server{ID: "q2", NodeStatus: autopilot.NodeFailed}
	got := new(pilot).FilterFailedServerRemovals(nil, nil, &autopilot.FailedServers{
		StaleNonVoters: []raft.ServerID{"q3"}, StaleVoters: []raft.ServerID{"q4"}, FailedNonVoters: []*autopilot.Server{dead}, FailedVoters: []*autopilot.Server{alive, dead},
	})
	if len(got.FailedVoters) != 1 || got.FailedVoters[0] != dead || len(got.StaleVoters)+len(got.StaleNonVoters)+len(got.FailedNonVoters) != 0 {
		t.Errorf("%+v are to be removed, want the dead voter alone", got)
	}
}
