package httpapi

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"queen-rbee/cluster"
	"queen-rbee/fsm"
	"queen-rbee/hives"
)

// TestBadInput is answered with a message that names the field, and leaves no job behind.
func TestBadInput(t *testing.T) {
	w := newWorld(t)
	w.ready()
	big := `{"model":"builtin/markov","prompt":"` + strings.Repeat("x", 65<<10) + `"}`
	for _, tc := range []struct {
		name, method, path, body string
		headers                  []string
		status                   int
		says                     string
	}{
		{"not JSON", "POST", "/v2/tasks", `{"model"`, nil, 400, "not JSON"},
		{"empty", "POST", "/v2/tasks", ``, nil, 400, "body: is empty"},
		{"two objects", "POST", "/v2/tasks", task + task, nil, 400, "more follows"},
		{"unknown field", "POST", "/v2/tasks", `{"nonsense":"x"}`, nil, 400, "nonsense"},
		{"wrong type", "POST", "/v2/tasks", `{"model":5}`, nil, 400, "model: is a JSON number, must be a string"},
		{"no model", "POST", "/v2/tasks", `{"prompt":"x"}`, nil, 400, "model: is missing"},
		{"unknown model", "POST", "/v2/tasks", `{"model":"none","prompt":"x"}`, nil, 404, "model_not_found"},
		{"no prompt", "POST", "/v2/tasks", `{"model":"builtin/markov"}`, nil, 400, "prompt: give"},
		{"negative", "POST", "/v2/tasks", strings.Replace(task, "8", "-8", 1), nil, 400, "max_tokens: is -8"},
		{"temperature", "POST", "/v2/tasks", strings.Replace(task, "{", `{"temperature":3,`, 1), nil, 400, "temperature"},
		{"stop", "POST", "/v2/tasks", strings.Replace(task, "{", `{"stop":5,`, 1), nil, 400, "stop: must be"},
		{"deadline", "POST", "/v2/tasks", strings.Replace(task, "{", `{"deadline":"soon",`, 1), nil, 400, "30s"},
		{"continue", "POST", "/v2/tasks", strings.Replace(task, "{", `{"on_worker_loss":"continue",`, 1), nil, 400, "not built"},
		{"grace", "POST", "/v2/tasks", task, []string{headerGrace, "-1s"}, 400, headerGrace},
		{"too large", "POST", "/v2/tasks", big, nil, 413, "body_too_large"},
		{"key too long", "POST", "/v2/tasks", task, []string{"Idempotency-Key", strings.Repeat("k", 256)}, 400, "Idempotency-Key"},
		{"no messages", "POST", "/v1/chat/completions", `{"model":"builtin/markov"}`, nil, 400, "messages"},
		{"role", "POST", "/v1/chat/completions", `{"model":"builtin/markov","messages":[{}]}`, nil, 400, "messages[0]"},
		{"OpenAI type", "POST", "/v1/chat/completions", `{"model":"builtin/markov","max_tokens":"many"}`, nil, 400, "max_tokens"},
		{"OpenAI model", "POST", "/v1/chat/completions", `{"model":"none","messages":[{"role":"user"}]}`, nil, 404, `"code":"model_not_found"`},
		{"unknown path", "GET", "/v2/nothing", "", nil, 404, "not_found"},
		{"method", "PUT", "/v2/tasks", "", nil, 405, "method_not_allowed"},
		{"unknown job", "GET", "/v2/jobs/01ARZ3NDEKTSV4RRFFQ69G5FAV", "", nil, 404, "not_found"},
		{"event id", "GET", "/v2/jobs/x/events", "", []string{"Last-Event-ID", "seven"}, 400, "Last-Event-ID"},
		{"state", "GET", "/v2/jobs?state=lazy", "", nil, 400, "state"},
		{"limit", "GET", "/v2/jobs?limit=0", "", nil, 400, "limit"},
		{"consistency", "GET", "/v2/jobs?consistency=maybe", "", nil, 400, "consistency"},
		{"index", "GET", "/v2/jobs", "", []string{headerIndex, "many"}, 400, headerIndex},
		{"behind", "GET", "/v2/jobs", "", []string{headerIndex, "999999"}, 503, "replica_behind"},
		{"no key", "GET", "/v2/jobs", "", []string{"Authorization", ""}, 401, "unauthenticated"},
		{"wrong key", "GET", "/v1/models", "", []string{"Authorization", "Bearer wrong"}, 401, "invalid_api_key"},
		{"user as admin", "POST", "/v2/workers/spawn", `{"model":"m"}`, []string{"Authorization", "Bearer " + userKey}, 403, "forbidden"},
		{"key as token", "POST", "/v2/hives", `{}`, nil, 401, "hive token"},
		{"queen as hive", "POST", "/v2/hives", `{}`, []string{"Authorization", "Bearer " + testToken}, 403, "hive token"},
		{"token as key", "GET", "/v2/jobs", "", []string{"Authorization", "Bearer " + testToken}, 403, "not an API key"},
		{"slots", "POST", "/v2/workers/spawn", `{"model":"builtin/markov","slots":-1}`, nil, 400, "slots"},
		{"worker", "POST", "/v2/workers/shutdown", `{}`, nil, 400, "worker_id"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			status, body, h := w.read(tc.method, tc.path, tc.body, tc.headers...)
			if status != tc.status || !strings.Contains(body, tc.says) {
				t.Errorf("%d %s, want %d with %q", status, body, tc.status, tc.says)
			}
			if (status == 503 || status == 429) != (h.Get("Retry-After") != "") {
				t.Errorf("Retry-After %q with %d", h.Get("Retry-After"), status)
			}
			if h.Get(headerJob) != "" {
				t.Error("a refusal names a job")
			}
		})
	}
	if jobs := mustJobs(w); len(jobs) != 0 {
		t.Errorf("refused requests left %d jobs", len(jobs))
	}
}

// TestSlowBody is answered when its time is over, or at once by who does not read it, and its
// connection ends: nobody waits for the rest of it.
func TestSlowBody(t *testing.T) {
	w := newWorld(t)
	w.api.cfg.BodyTimeout = 50 * time.Millisecond
	t.Run("at once", func(t *testing.T) {
		for _, tc := range []struct{ name, ask, key, says string }{
			{"with a key", "POST /v2/tasks", apiKey, "408"},
			{"without a key", "POST /v2/tasks", "wrong", "401"},
			{"health", "GET /health", "", "200"},
			{"a list", "GET /v2/jobs", apiKey, "200"},
			{"metrics", "GET /metrics", apiKey, "200"},
			{"an unknown path", "GET /nothing", "", "404"},
			{"a wrong method", "PUT /health", "", "405"},
		} {
			t.Run(tc.name, func(t *testing.T) {
				t.Parallel()
				resp := w.halfAsk(t, tc.ask, tc.key)
				if !strings.HasPrefix(resp.Status, tc.says) || !resp.Close {
					t.Errorf("%s, closes: %v", resp.Status, resp.Close)
				}
			})
		}
	})
	t.Run("an unclean path", func(t *testing.T) {
		if resp := w.halfAsk(t, "GET //health", ""); resp.StatusCode != http.StatusNotFound || !resp.Close {
			t.Errorf("%s, closes: %v", resp.Status, resp.Close)
		}
	})
	t.Run("a queen that leaves", func(t *testing.T) {
		w.api.close()
		if resp := w.halfAsk(t, "POST /v2/tasks", apiKey); resp.StatusCode != http.StatusServiceUnavailable || !resp.Close {
			t.Errorf("%s, closes: %v", resp.Status, resp.Close)
		}
	})
}

// halfAsk sends the first byte of a body of 100 and reads the answer to the connection's end.
func (w *world) halfAsk(t *testing.T, ask, key string) *http.Response {
	t.Helper()
	c, err := net.Dial("tcp", w.http.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, _ = fmt.Fprintf(c, "%s HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer %s\r\nContent-Length: 100\r\n\r\n{", ask, key)
	_ = c.SetReadDeadline(time.Now().Add(patience))
	in := bufio.NewReader(c)
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		t.Fatal(err)
	}
	if _, err := in.ReadByte(); !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the connection stays open: %v", err)
	}
	return resp
}

// TestStreamOutlivesTheBodysDeadline: the time for a body does not run on when it is there.
func TestStreamOutlivesTheBodysDeadline(t *testing.T) {
	w := newWorld(t)
	w.api.cfg.BodyTimeout, w.api.keepAlive = 20*time.Millisecond, time.Millisecond
	w.register()
	s := w.stream("POST", "/v2/tasks", task)
	for over := time.Now().Add(60 * time.Millisecond); time.Now().Before(over); {
		if !s.sc.Scan() {
			t.Fatalf("the stream ended: %v", s.sc.Err())
		}
	}
}

// TestBodiesAreBounded refuses what is over the budget of clients and takes heartbeats all the
// same; an upload of unknown length costs what has arrived of it, and everything is given back.
func TestBodiesAreBounded(t *testing.T) {
	w := newWorld(t)
	w.ready()
	detached := strings.Replace(task, "{", `{"detach":true,`, 1)
	const room = 3 * bodyStep // less than the largest body
	w.api.clients = newBudget(room)
	c, err := net.Dial("tcp", w.http.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, _ = fmt.Fprintf(c, "POST /v2/tasks HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer %s\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n", apiKey)
	_ = c.SetReadDeadline(time.Now().Add(patience))
	in := bufio.NewReader(c)
	if line, err := in.ReadString('\n'); err != nil || !strings.Contains(line, "100") { // it is being read
		t.Fatalf("%q %v", line, err)
	}
	if status, body, _ := w.read("POST", "/v2/tasks", detached); status != http.StatusAccepted {
		t.Errorf("beside an upload that does not go on: %d %s", status, body)
	}
	big := strings.Replace(detached, "hello", strings.Repeat("x", room), 1)
	if status, body, _ := w.read("POST", "/v2/tasks", big); status != http.StatusServiceUnavailable || !strings.Contains(body, codeBusy) {
		t.Errorf("over the budget: %d %s", status, body)
	}
	w.api.clients.free.TryAcquire(room - bodyStep)
	if status, body, _ := w.read("POST", "/v2/tasks", detached); status != http.StatusServiceUnavailable || !strings.Contains(body, codeBusy) {
		t.Errorf("nothing left: %d %s", status, body)
	}
	beat := fmt.Sprintf(`{"incarnation":%d,"seq":%d,"epoch":%q,"url":"http://h"}`, w.inc, w.seq+1, w.queen.View().Meta().Epoch)
	if status, body, _ := w.read("POST", "/v2/hives/h1/heartbeat", beat, "Authorization", "Bearer "+cluster.HiveToken(testToken)); status != http.StatusOK {
		t.Errorf("heartbeat: %d %s", status, body)
	}
	w.api.clients.free.Release(room - bodyStep)
	_ = c.Close()
	w.http.Close() // waits for every request
	if !w.api.clients.free.TryAcquire(room) || !w.api.machines.free.TryAcquire(machineBodies) {
		t.Error("something of the budgets was not given back")
	}
}

// TestTooManyStreams refuses before anything is accepted.
func TestTooManyStreams(t *testing.T) {
	w := newWorld(t)
	w.ready()
	w.api.cfg.MaxStreams = 1
	s := w.stream("POST", "/v2/tasks", task)
	s.want("assigned", "")
	status, body, h := w.read("POST", "/v2/tasks", task)
	if status != 503 || !strings.Contains(body, codeBusy) || h.Get("Retry-After") == "" {
		t.Errorf("second stream: %d %s", status, body)
	}
	if n := len(mustJobs(w)); n != 1 {
		t.Errorf("%d jobs, want the first alone", n)
	}
	w.hive.next().end(completed(0), "")
	if f, _ := s.next(); f.event != "end" {
		t.Errorf("got %+v", f)
	}
}

// TestOthersThingsAreNotFound keeps one tenant's jobs from another.
func TestOthersThingsAreNotFound(t *testing.T) {
	w := newWorld(t)
	w.register()
	_, _, h := w.read("POST", "/v2/tasks", strings.Replace(task, "{", `{"detach":true,`, 1))
	id := h.Get(headerJob)
	other := []string{"Authorization", "Bearer " + userKey}
	for _, c := range [][2]string{
		{"GET", "/v2/jobs/" + id}, {"DELETE", "/v2/jobs/" + id}, {"GET", "/v2/jobs/" + id + "/events"},
		{"GET", "/v2/jobs/" + id + "/result"}, {"GET", "/v2/jobs/" + id + "/body"},
	} {
		if status, body, _ := w.read(c[0], c[1], "", other...); status != 404 {
			t.Errorf("%s %s: %d %s", c[0], c[1], status, body)
		}
	}
	if _, body, _ := w.read("GET", "/v2/jobs?tenant=default", "", other...); strings.Contains(body, id) {
		t.Errorf("listed: %s", body)
	}
}

// TestLostRecord ends a resumed stream right after what its client has, when the hive that
// knew how the run ended is lost.
func TestLostRecord(t *testing.T) {
	w := newWorld(t)
	w.ready()
	s := w.stream("POST", "/v2/tasks", task)
	id := s.resp.Header.Get(headerJob)
	s.want("assigned", "")
	r := w.hive.next()
	r.tokens(1, 4)
	for range 4 { // started and three tokens
		s.next()
	}
	w.awaitDelivered(id)
	// The hive's next beat has acted on the run's record and does not know it: lost.
	w.beat(func(hb *hives.Heartbeat) {
		hb.Index = w.queen.View().Meta().Index
		hb.Workers = []hives.WorkerReport{{ID: "w-1", State: hives.WorkerReady, Slots: 2}}
	})
	w.awaitJob(id, "failed")
	resumed := w.stream("GET", "/v2/jobs/"+id+"/events", "", "Last-Event-ID", "1.4")
	if f := resumed.want("error", "1.5"); !strings.Contains(f.data, fsm.CodeWorkerFailed) || f.retry != "3600000" {
		t.Errorf("error: %+v", f)
	}
	resumed.wantClosed()
	// One who has only `started` has not the end, whose id would be its neighbour's.
	w.stream("GET", "/v2/jobs/"+id+"/events", "", "Last-Event-ID", "1.1").want("error", "1.2")
	r.breakOff()
	s.want("error", "1.5")
	s.wantClosed()
}

func (w *world) awaitDelivered(id string) {
	watch := w.queen.Watch(jobRow(id))
	defer watch.Close()
	for {
		if j, ok := w.queen.View().Job(id); ok && j.Delivered {
			return
		}
		<-watch.C()
	}
}

// TestQueuedJobOfNobody is given up when its last client has been gone for the grace time.
func TestQueuedJobOfNobody(t *testing.T) {
	w := newWorld(t)
	w.register()
	s := w.stream("POST", "/v2/tasks", task, headerGrace, "20ms")
	id := s.resp.Header.Get(headerJob)
	s.want("queued", "")
	if status, body, _ := w.read("GET", "/v2/jobs/"+id+"/events", "", "Last-Event-ID", "0.1"); status != http.StatusBadRequest {
		t.Errorf("an id that no stream can have sent: %d %s", status, body)
	}
	second := w.stream("GET", "/v2/jobs/"+id+"/events", "", headerGrace, "20ms")
	second.want("queued", "")
	_ = s.resp.Body.Close()
	if j, _ := w.queen.View().Job(id); j.State.Ended() || len(j.Holders) != 1 {
		t.Errorf("the second client lost its job: %+v", j)
	}
	_ = second.resp.Body.Close()
	w.awaitJob(id, "cancelled")
}

// TestOrderlyLeave breaks native streams off without an end, takes nothing more, and lets
// the cluster's jobs be.
func TestOrderlyLeave(t *testing.T) {
	w := newWorld(t)
	w.register()
	s := w.stream("POST", "/v2/tasks", task)
	id := s.resp.Header.Get(headerJob)
	s.want("queued", "")
	w.api.beginDrain()
	s.wantClosed()
	if j, _ := w.queen.View().Job(id); len(j.Holders) != 1 || j.AbandonAt != 0 {
		t.Errorf("a leaving queen gave its clients' job up: %+v", j)
	}
	if status, body, _ := w.read("GET", "/ready", ""); status != 503 || !strings.Contains(body, "draining") {
		t.Errorf("/ready: %d %s", status, body)
	}
}
