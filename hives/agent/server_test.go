package agent

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"queen-rbee/hives"
	"queen-rbee/hives/agent/agenttest"
)

func TestBadInput(t *testing.T) {
	r := newRig(t)
	r.spawn("w1", 1)
	good := r.bell("j1", "one")
	with := func(change func(*hives.Execute)) hives.Execute { e := good; change(&e); return e }
	const run = "/w/w1/v1/execute"
	for name, c := range map[string]struct {
		method, path string
		body         any
		status       int
		says         string
	}{
		"not JSON":         {"POST", run, "{", 400, "not JSON"},
		"no body":          {"POST", run, nil, 400, "not JSON"},
		"wrong type":       {"POST", run, `{"attempt":"one"}`, 400, "attempt"},
		"no job":           {"POST", run, with(func(e *hives.Execute) { e.JobID = "" }), 400, "job_id"},
		"path as a job":    {"POST", run, with(func(e *hives.Execute) { e.JobID = "../x" }), 400, "job_id"},
		"no attempt":       {"POST", run, with(func(e *hives.Execute) { e.Attempt = 0 }), 400, "attempt"},
		"unknown api":      {"POST", run, with(func(e *hives.Execute) { e.API = "soap" }), 400, "api"},
		"unknown mode":     {"POST", run, with(func(e *hives.Execute) { e.Mode = "" }), 400, "mode"},
		"path elsewhere":   {"POST", run, with(func(e *hives.Execute) { e.Path = "/v1/../admin" }), 400, "path"},
		"URL as path":      {"POST", run, with(func(e *hives.Execute) { e.Path = "//evil/v1" }), 400, "path"},
		"body no object":   {"POST", run, with(func(e *hives.Execute) { e.Body = json.RawMessage(`[1]`) }), 400, "body"},
		"negative grace":   {"POST", run, with(func(e *hives.Execute) { e.GraceMillis = -1 }), 400, "grace_ms"},
		"endless deadline": {"POST", run, with(func(e *hives.Execute) { e.DeadlineMillis = 1 << 62 }), 400, "deadline_ms"},
		"begin":            {"POST", run, with(func(e *hives.Execute) { e.Begin.I = 3 }), 400, "begin"},
		"too large":        {"POST", run, strings.Repeat(" ", maxBody+1), 413, "over"},
		"show no attempt":  {"GET", run + "/j1", nil, 400, "attempt"},
		"show unknown":     {"GET", run + "/j7?attempt=1", nil, 404, "not on this hive"},
		"end unknown":      {"DELETE", run + "/j7?attempt=1", nil, 404, "not on this hive"},
		"leave unknown":    {"POST", run + "/j7/leave", hives.Leave{Attempt: 1}, 404, "not on this hive"},
		"leave negative":   {"POST", run + "/j7/leave", hives.Leave{Attempt: 1, GraceMillis: -4}, 400, "grace_ms"},
		"no such route":    {"GET", "/v1/nothing", nil, 404, "nothing at"},
		"wrong method":     {"PUT", "/v1/workers/spawn", nil, 405, "does not answer"},
		"spawn no id":      {"POST", "/v1/workers/spawn", `{}`, 400, "id"},
		"spawn no model":   {"POST", "/v1/workers/spawn", `{"id":"w9"}`, 400, "model"},
	} {
		t.Run(name, func(t *testing.T) {
			status, text := r.ask(c.method, c.path, c.body)
			var p problem
			if err := json.Unmarshal([]byte(text), &p); err != nil || p.Status != status || p.Code == "" {
				t.Fatalf("no problem: %d %s", status, text)
			}
			if status != c.status || !strings.Contains(p.Detail, c.says) {
				t.Fatalf("%d %s", status, text)
			}
		})
	}
}

func TestTokenIsWantedEverywhereButHealth(t *testing.T) {
	r := newRig(t)
	for _, path := range []string{"/v1/workers/list", "/v1/workers/health", "/v1/models/list", "/v1/status", "/v1/metrics"} {
		if status, text := r.ask("GET", path, nil); status != 200 {
			t.Errorf("%s: %d %s", path, status, text)
		}
		for _, token := range []string{"", "Bearer wrong", "Bearer ", agenttest.Token} {
			req, err := http.NewRequest("GET", r.agent.URL()+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", token)
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if resp.StatusCode != 401 {
				t.Errorf("%s with %q: %d", path, token, resp.StatusCode)
			}
		}
	}
	resp, err := http.Get(r.agent.URL() + "/v1/health")
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != 200 {
		t.Fatal(resp.StatusCode)
	}
}

func TestReads(t *testing.T) {
	r := newRig(t)
	r.spawn("w1", 3)
	r.list("j1", "w1", "one hold", nil)
	agenttest.Eventually(t, "j1 runs", func() bool { return r.engine.held() == 1 })
	for path, wants := range map[string][]string{
		"/v1/workers/list":   {`"id":"w1"`, `"state":"ready"`, `"busy":1`, `"slots":3`},
		"/v1/workers/health": {`"status":"ok"`},
		"/v1/models/list":    {`"engine":"fake"`, `"ref":"m"`},
		"/v1/status":         {`"id":"h1"`, `"epoch":"e1"`, `"runs":1`, `"desired":"running"`, `"kind":"cpu"`},
		"/v1/metrics":        {`rbee_hive_workers{state="ready"} 1`, `rbee_hive_runs{state="alive"} 1`, "rbee_hive_slots_busy 1", "rbee_hive_runlog_bytes", "rbee_hive_heartbeats_failed_total "},
	} {
		_, text := r.ask("GET", path, nil)
		for _, want := range wants {
			if !strings.Contains(text, want) {
				t.Errorf("%s lacks %s:\n%s", path, want, text)
			}
		}
	}
}

func TestReadersAreBounded(t *testing.T) {
	r := newRig(t, func(c *Config) { c.MaxReaders = 1 })
	r.spawn("w1", 1)
	first := r.do("POST", "/w/w1/v1/execute", r.bell("j1", "one hold"))
	defer func() { _ = first.Body.Close() }()
	if first.StatusCode != 200 || first.Header.Get("Content-Type") != "text/event-stream" ||
		first.Header.Get("X-Accel-Buffering") != "no" || first.ContentLength >= 0 {
		t.Fatalf("%d %v", first.StatusCode, first.Header)
	}
	second := r.do("POST", "/w/w1/v1/execute", r.bell("j1", ""))
	_ = second.Body.Close()
	if second.StatusCode != 503 || second.Header.Get("Retry-After") == "" {
		t.Fatalf("%d %v", second.StatusCode, second.Header)
	}
	third := r.bell("j1", "")
	third.Follow = false
	if status, _ := r.ask("POST", "/w/w1/v1/execute", third); status != 202 {
		t.Fatalf("a doorbell alone is no reader: %d", status)
	}
	_, shown := r.ask("GET", "/v1/metrics", nil)
	for _, want := range []string{
		`rbee_hive_bound_limit{bound="readers"} 1`, `rbee_hive_bound_used{bound="readers"} 1`, `rbee_hive_bound_refused_total{bound="readers"} 1`,
		`rbee_hive_bound_used{bound="runs"} 1`, `rbee_hive_bound_used{bound="workers"} 1`, `rbee_hive_bound_used{bound="connections"} `,
		`rbee_hive_bound_used{bound="runlog_bytes"} `, `rbee_hive_bound_limit{bound="runlog_bytes"} 1.073741824e+09`,
	} {
		if !strings.Contains(shown, want) {
			t.Errorf("%s is not in the metrics", want)
		}
	}
}

func TestAdminShutdownDrains(t *testing.T) {
	r := newRig(t)
	r.spawn("w1", 1)
	r.list("j1", "w1", "one hold two", nil)
	agenttest.Eventually(t, "j1 runs", func() bool { return r.engine.held() == 1 })
	if status, _ := r.ask("POST", "/v1/admin/shutdown", nil); status != 202 {
		t.Fatal(status)
	}
	r.queen.Await(t, "no queen is to send more", func(hb *hives.Heartbeat) bool {
		return hb.Leaving && agenttest.State(hb, "w1") == hives.WorkerReady
	})
	if _, _, _, err := r.execute("w1", r.bell("j2", "x")); hives.CodeOf(err) != hives.CodeStale {
		t.Fatalf("doorbell: %v", err)
	}
	r.list("j3", "w1", "three", nil)
	hb := r.queen.Await(t, "a new run is sent away", func(hb *hives.Heartbeat) bool { return agenttest.Ended(hb, "j3") != nil })
	if end := agenttest.Ended(&hb, "j3"); end.Error.Code != hives.CodeDrained || end.Events != 0 {
		t.Fatalf("%+v", end)
	}
	r.engine.letGo()
	if err := r.wait(); err != nil {
		t.Fatal(err)
	}
	if end := agenttest.Ended(r.queen.Last(), "j1"); end == nil || end.Outcome != hives.Complete {
		t.Fatalf("the run went on to its end: %+v", end)
	}
	if !r.queen.Heard(func(hb *hives.Heartbeat) bool { return agenttest.State(hb, "w1") == hives.WorkerStopped }) {
		t.Fatalf("last words: %+v", r.queen.Last().Workers)
	}
	if last := r.queen.Last(); !last.Leaving || len(last.Runs) > 0 {
		t.Fatalf("last words: %+v", last)
	}
}

func TestDrainTimeoutEndsRuns(t *testing.T) {
	r := newRig(t, func(c *Config) { c.DrainTimeout = 50 * time.Millisecond })
	r.spawn("w1", 1)
	r.list("j1", "w1", "one hold", nil)
	r.reaches("j1", 2)
	r.agent.Stop()
	if err := r.wait(); err != nil {
		t.Fatal(err)
	}
	if end := agenttest.Ended(r.queen.Last(), "j1"); end == nil || end.Error.Code != hives.CodeDrained || end.Events != 2 {
		t.Fatalf("%+v", end)
	}
}
