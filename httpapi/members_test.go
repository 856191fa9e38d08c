package httpapi

import (
	"encoding/json"
	"net/http"
	"slices"
	"testing"

	"queen-rbee/cluster"
	"queen-rbee/fsm"
	"queen-rbee/hives"
	"queen-rbee/schedule"
)

// TestHivesAreToldWhoIsAMember, at their registration and with every beat.
func TestHivesAreToldWhoIsAMember(t *testing.T) {
	w := newWorld(t)
	w.register()
	is := func(when string, got []string, want ...string) {
		t.Helper()
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", when, got, want)
		}
	}
	is("a beat", w.beat(func(*hives.Heartbeat) {}).Queens, "http://127.0.0.1:1")
	w.queen.must(schedule.Request{Member: &schedule.Member{Queen: fsm.Queen{ID: "q2", Boot: "b2", Role: fsm.RoleVoter, HTTP: "http://127.0.0.1:2", Level: fsm.CurrentLevel}}})
	is("a beat after a queen has joined", w.beat(func(*hives.Heartbeat) {}).Queens, "http://127.0.0.1:1", "http://127.0.0.1:2")

	reg := `{"id":"h2","boot":"b1","url":"http://h2:1","version":"test","devices":[],"labels":{},"engines":[]}`
	status, body, _ := w.read("POST", "/v2/hives", reg, "Authorization", "Bearer "+cluster.HiveToken(testToken))
	var ans hives.Registered
	if err := json.Unmarshal([]byte(body), &ans); err != nil || status != http.StatusOK {
		t.Fatalf("%d %s: %v", status, body, err)
	}
	is("a registration", ans.Queens, "http://127.0.0.1:1", "http://127.0.0.1:2")
}
