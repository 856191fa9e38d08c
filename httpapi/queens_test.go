package httpapi

import (
	"encoding/json"
	"net/http"
	"testing"

	"queen-rbee/cluster"
	"queen-rbee/fsm"
)

// TestWhoAnswersIsAlive: a queen that has just started has not heard gossip of the others yet.
func TestWhoAnswersIsAlive(t *testing.T) {
	w := newWorld(t)
	w.queen.peers = []cluster.Peer{
		{Queen: fsm.Queen{ID: "q2", Role: fsm.RoleVoter}, Voter: true, Presence: cluster.Dead},
		{Queen: fsm.Queen{ID: "q3", Role: fsm.RoleVoter}, Presence: cluster.Dead},
	}
	w.queen.applied = map[string]uint64{"q2": 7}
	status, body, _ := w.read("GET", "/v2/cluster", "")
	var got clusterJSON
	if err := json.Unmarshal([]byte(body), &got); err != nil || status != http.StatusOK || len(got.Queens) != 2 {
		t.Fatalf("%d %s %v", status, body, err)
	}
	if q := got.Queens[0]; q.Status != cluster.Alive || q.AppliedIndex != 7 || !q.Votes || q.Role != "voter" {
		t.Errorf("who answers is %+v", q)
	}
	if q := got.Queens[1]; q.Status != cluster.Dead || q.Votes {
		t.Errorf("who does not is %+v", q)
	}
}
