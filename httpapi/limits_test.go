package httpapi

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"
	"github.com/prometheus/client_golang/prometheus"

	"queen-rbee/cluster"
	"queen-rbee/schedule"
)

// TestEveryBoundIsShown: what docs/limits.md lists of a queen is at /metrics, with its limit and
// what is used, and nothing else is; other metrics it names are there too.
func TestEveryBoundIsShown(t *testing.T) {
	text, err := os.ReadFile("../docs/limits.md")
	if err != nil {
		t.Fatal(err)
	}
	queens, _, _ := strings.Cut(string(text), "## Hives")
	listed := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\|").FindAllStringSubmatch(queens, -1) {
		listed[row[1]] = true
	}
	shown := metricsOfAQueen(t)
	series := regexp.MustCompile(`(?m)^(rbee_bound_(?:limit|used))\{bound="([a-z_]+)"\} (\S+)$`)
	limits, used := map[string]bool{}, map[string]bool{}
	for _, s := range series.FindAllStringSubmatch(shown, -1) {
		if s[1] == "rbee_bound_used" {
			used[s[2]] = true
			continue
		}
		if limits[s[2]] = true; s[3] == "0" {
			t.Errorf("%s has a limit of 0", s[2])
		}
	}
	if !maps.Equal(listed, limits) || !maps.Equal(listed, used) || len(listed) < 14 {
		t.Errorf("listed %v\nlimits %v\nused   %v", slices.Sorted(maps.Keys(listed)), slices.Sorted(maps.Keys(limits)), slices.Sorted(maps.Keys(used)))
	}
	for _, name := range regexp.MustCompile("`(rbee_[a-z_]+)").FindAllStringSubmatch(queens, -1) {
		if !strings.HasPrefix(name[1], "rbee_hive_") && !strings.Contains(shown, "\n"+name[1]) {
			t.Errorf("there is no %s", name[1])
		}
	}
	for _, bound := range []string{"connections", "streams", "blocking_queries", "body_bytes", "machine_body_bytes", "forwarded", "link_calls", "peer_calls", "proposer_requests", "proposer_bytes"} {
		if !strings.Contains(shown, `rbee_bound_refused_total{bound="`+bound+`"} 0`) {
			t.Errorf("nothing counts what is refused of %s", bound)
		}
	}
}

// metricsOfAQueen asks /metrics of an API whose registry a member shares.
func metricsOfAQueen(t *testing.T) string {
	w := newWorld(t)
	reg := prometheus.NewRegistry()
	cfg := cluster.Default()
	cfg.Name, cfg.DataDir, cfg.HTTPURL, cfg.Plan, cfg.Registerer = "q1", t.TempDir(), "http://127.0.0.1:1", schedule.Plan, reg
	if _, err := cluster.New(cfg); err != nil {
		t.Fatal(err)
	}
	api := w.api.cfg
	api.Registry, api.Logger = reg, hclog.NewNullLogger()
	w.api = New(api)
	addr := w.listen()
	conn := dial(t, addr)
	conn.say(whole("GET", "/health", ""))
	conn.answer() // so that there is a request to count
	conn = dial(t, addr)
	conn.say(whole("GET", "/metrics", ""))
	resp, text := conn.answer()
	if resp.StatusCode != 200 {
		t.Fatalf("%d %s", resp.StatusCode, text)
	}
	return text
}

// TestBoundsAreKept: what each bound of the API refuses, how it is told, and that it counts.
func TestBoundsAreKept(t *testing.T) {
	w := newWorld(t)
	w.ready()
	w.api.queries.limit = 4 // three for clients
	count := func(bound string) string {
		_, text, _ := w.read("GET", "/metrics", "")
		m := regexp.MustCompile(`rbee_bound_used\{bound="` + bound + `"\} (\S+)`).FindStringSubmatch(text)
		r := regexp.MustCompile(`rbee_bound_refused_total\{bound="` + bound + `"\} (\S+)`).FindStringSubmatch(text)
		return m[1] + " " + r[1]
	}
	hive := []string{"Authorization", "Bearer " + cluster.HiveToken(testToken)}
	desired := func() (int, string) {
		status, body, h := w.read("GET", "/v2/hives/h1/desired", "", hive...)
		if (status == 503) != (h.Get("Retry-After") != "") {
			t.Errorf("Retry-After %q with %d", h.Get("Retry-After"), status)
		}
		return status, body
	}
	for range 3 {
		if _, ok := w.api.queries.enter(user); !ok {
			t.Fatal("no room")
		}
	}
	// A client's wait is over at once; a hive has its share.
	status, body, _ := w.read("POST", "/v2/workers/spawn?wait=10m", `{"model":"builtin/markov"}`)
	if status != 202 || !strings.Contains(body, `"spawning"`) {
		t.Errorf("a spawn that finds no room to wait: %d %s", status, body)
	}
	s := w.stream("POST", "/v2/tasks", task)
	s.want("assigned", "")
	if status, body, _ := w.read("DELETE", "/v2/jobs/"+s.resp.Header.Get(headerJob), ""); status != 202 {
		t.Errorf("a cancel that finds no room to wait: %d %s", status, body)
	}
	if status, body := desired(); status != 200 {
		t.Errorf("a hive: %d %s", status, body)
	}
	if got := count("blocking_queries"); got != "3 2" {
		t.Errorf("queries: %s", got)
	}
	leave, _ := w.api.queries.enter(ofHive)
	if status, body := desired(); status != 503 || !strings.Contains(body, codeBusy) {
		t.Errorf("a hive beyond all: %d %s", status, body)
	}
	leave()
	if status, body := desired(); status != 200 {
		t.Errorf("a hive after that: %d %s", status, body)
	}
	if got := count("streams"); got != "1 0" {
		t.Errorf("streams: %s", got)
	}
	w.api.cfg.MaxStreams = 1
	if status, _, _ := w.read("POST", "/v2/tasks", task); status != 503 {
		t.Errorf("a second stream: %d", status)
	}
	if got := count("streams"); got != "1 1" {
		t.Errorf("streams: %s", got)
	}
	w.api.clients.free.TryAcquire(w.api.clients.bytes)
	if status, _, _ := w.read("POST", "/v2/tasks", task); status != 503 {
		t.Errorf("a body without room: %d", status)
	}
	w.api.clients.free.Release(w.api.clients.bytes)
	if got := count("body_bytes"); got != "0 1" {
		t.Errorf("bodies: %s", got)
	}
}
