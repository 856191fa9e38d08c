package agent

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"queen-rbee/hives"
	"queen-rbee/hives/agent/agenttest"
	"queen-rbee/hives/runlog"
)

// TestNothingOldStartsAfterASilence: while the hive was cut off its run ended elsewhere, and
// the queen that rang for it wakes between the first answered beat and the desired state.
func TestNothingOldStartsAfterASilence(t *testing.T) {
	r := newRig(t, func(c *Config) { c.OfflineAfter = time.Second })
	r.spawn("w1", 1)
	old := r.bell("j1", "one")
	fail := func(paths ...string) {
		r.queen.Fail(func(req *http.Request) (int, string) {
			for _, p := range paths {
				if strings.HasSuffix(req.URL.Path, p) {
					return 503, "no_leader"
				}
			}
			return 0, ""
		})
	}
	fail("/heartbeat", "/desired")
	up := r.agent.hive.up
	agenttest.Eventually(t, "the silence is too long", func() bool { return !up.fresh() })
	r.queen.Want(func(uint64, *hives.Desired) {}) // the end of j1
	fail("/desired")
	agenttest.Eventually(t, "a beat is answered", up.fresh)
	if _, _, _, err := r.execute("w1", old); hives.CodeOf(err) != hives.CodeStale {
		t.Fatalf("before the desired state: %v", err)
	}
	fail()
	agenttest.Eventually(t, "doorbells start runs again", func() bool {
		_, _, _, err := r.execute("w1", r.bell("j2", "two"))
		return err == nil
	})
	if _, _, _, err := r.execute("w1", old); hives.CodeOf(err) != hives.CodeStale {
		t.Fatalf("after it: %v", err)
	}
}

// TestWhatEndsASilence: only a strong answer that was asked for after it.
func TestWhatEndsASilence(t *testing.T) {
	store, err := runlog.Open(t.TempDir(), runlog.Limits{}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	tab := newTable(store, hclog.NewNullLogger())
	tab.parts.acted = func(string, uint64) {}
	tab.fresh = func() bool { return true }
	tab.adopt("e", 1)
	refuses := func() bool {
		tab.mu.Lock()
		defer tab.mu.Unlock()
		return tab.youngerLocked("e", 100) != nil
	}
	index := uint64(0)
	answer := func(settles uint64) {
		index++
		tab.apply(hives.Desired{Epoch: "e", Index: index, Desired: hives.HiveRunning}, settles)
	}
	answer(tab.silent())
	if refuses() {
		t.Fatal("before any silence")
	}
	before := tab.silent()
	tab.silence()
	answer(0)
	if !refuses() {
		t.Fatal("an answer of any queen ended it")
	}
	answer(before)
	if !refuses() {
		t.Fatal("a strong answer ended it that was asked for before")
	}
	asked := tab.silent()
	answer(asked)
	if refuses() {
		t.Fatal("a strong answer did not end it")
	}
	tab.silence()
	answer(asked)
	if !refuses() {
		t.Fatal("the next silence was ended by an answer of before")
	}
}
