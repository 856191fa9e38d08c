package httpapi

import (
	"encoding/json"
	"net/http"
	"strconv"
	"testing"

	"queen-rbee/cluster"
	"queen-rbee/fsm"
)

// changedAt is the index at which sole queens change their members, by their word.
const changedAt = 4711

// TestAChangeOfMembersTellsItsIndex has joins and removals answer where they stand, not what
// was read before.
func TestAChangeOfMembersTellsItsIndex(t *testing.T) {
	w := newWorld(t)
	for _, c := range [][]string{
		{"DELETE", "/v2/cluster/queens/q2", ""},
		{"POST", cluster.JoinPath, `{"id":"q2"}`, "Authorization", "Bearer " + testToken},
	} {
		status, body, head := w.read(c[0], c[1], c[2], c[3:]...)
		if got := head.Get(headerIndex); status != http.StatusOK || got != strconv.Itoa(changedAt) {
			t.Errorf("%s: %d %s with index %q, want %d", c[1], status, body, got, changedAt)
		}
	}
}

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
