package httpapi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"queen-rbee/fsm"
	"queen-rbee/hives"
	"queen-rbee/schedule"
)

const task = `{"model":"builtin/markov","prompt":"hello","max_tokens":8}`

// TestStream follows a task from its submission to its committed end.
func TestStream(t *testing.T) {
	w := newWorld(t)
	w.ready()
	s := w.stream("POST", "/v2/tasks", task)
	id := s.resp.Header.Get(headerJob)
	s.want("assigned", "")
	r := w.hive.next()
	if r.Req.From != 0 || !r.Req.Client || r.Req.API != hives.APITask || r.Req.JobID != id || r.Req.Mode != hives.Attached {
		t.Errorf("execute: %+v", r.Req)
	}
	var body struct {
		Messages  []map[string]string
		MaxTokens int `json:"max_tokens"`
	}
	if err := json.Unmarshal(r.Req.Body, &body); err != nil || body.MaxTokens != 8 || body.Messages[0]["content"] != "hello" {
		t.Errorf("engine body %s: %v", r.Req.Body, err)
	}
	r.tokens(1, 3)
	s.want("started", "1.1")
	s.want("token", "1.2")
	s.want("token", "1.3")
	r.end(completed(3), "")
	end := s.want("end", "1.4")
	if !strings.Contains(end.data, `"finish_reason":"stop"`) || !strings.Contains(end.data, `"completion_tokens":2`) {
		t.Errorf("end: %s", end.data)
	}
	s.wantClosed()
	w.awaitJob(id, "complete")
}

// TestEndWaitsForTheState holds an end back for as long as no leader has committed it.
func TestEndWaitsForTheState(t *testing.T) {
	w := newWorld(t)
	w.ready()
	s := w.stream("POST", "/v2/tasks", task)
	s.want("assigned", "")
	r := w.hive.next()
	r.tokens(1, 2)
	s.want("started", "1.1")
	s.want("token", "1.2")
	w.queen.mu.Lock()
	w.queen.down = fsm.Errorf(fsm.CodeNoLeader, "no leader in this test")
	w.queen.mu.Unlock()
	r.end(completed(2), "")
	got := make(chan frame, 1)
	go func() { f, _ := s.next(); got <- f }()
	w.awaitReport()
	select {
	case f := <-got:
		t.Fatalf("client got %+v while the state had no end", f)
	default:
	}
	w.queen.mu.Lock()
	w.queen.down = nil
	w.queen.mu.Unlock()
	if f := <-got; f.event != "end" || f.id != "1.3" {
		t.Fatalf("got %+v", f)
	}
}

// awaitReport waits until the queen was refused at least once.
func (w *world) awaitReport() {
	w.queen.mu.Lock()
	refused := make(chan struct{}, 64)
	w.queen.onDown = refused
	w.queen.mu.Unlock()
	<-refused
	<-refused
}

// TestResume attaches again where a connection broke, at the hive and at the client.
func TestResume(t *testing.T) {
	w := newWorld(t)
	w.ready()
	s := w.stream("POST", "/v2/tasks", task)
	id := s.resp.Header.Get(headerJob)
	s.want("assigned", "")
	r := w.hive.next()
	r.tokens(1, 4)
	for _, f := range []string{"1.1", "1.2", "1.3", "1.4"} {
		if got, _ := s.next(); got.id != f {
			t.Fatalf("got %+v, want id %s", got, f)
		}
	}
	r.breakOff()
	r = w.hive.next()
	if r.Req.From != 4 || len(r.Req.Body) > 0 {
		t.Errorf("attached again from %d with %d bytes of body, want 4 and none", r.Req.From, len(r.Req.Body))
	}
	r.tokens(5, 5)
	s.want("token", "1.5")

	attached := w.later("GET", "/v2/jobs/"+id+"/events", "", "Last-Event-ID", "1.3")
	r2 := w.hive.next()
	if r2.Req.From != 3 {
		t.Errorf("second reader reads from %d, want 3", r2.Req.From)
	}
	r2.tokens(4, 5)
	second := attached()
	second.want("token", "1.4")
	second.want("token", "1.5")
	r.end(completed(5), "")
	s.want("end", "1.6")
	s.wantClosed()
	r2.end(completed(5), "")
	second.want("end", "1.6")
	second.wantClosed()

	after := w.stream("GET", "/v2/jobs/"+id+"/events", "", "Last-Event-ID", "1.5")
	after.want("end", "1.6")
	after.wantClosed()
	if status, _, _ := w.read("GET", "/v2/jobs/"+id+"/events", "", "Last-Event-ID", "1.6"); status != http.StatusNoContent {
		t.Errorf("a client that has the end gets %d, want 204", status)
	}
	for _, beyond := range []string{"1.7", "2.1"} {
		status, body, _ := w.read("GET", "/v2/jobs/"+id+"/events", "", "Last-Event-ID", beyond)
		if status != http.StatusBadRequest || !strings.Contains(body, "Last-Event-ID") {
			t.Errorf("Last-Event-ID %s: %d %s", beyond, status, body)
		}
	}
}

// TestRetryIsTold starts a native reader again when an attempt that delivered is retried,
// and ends an OpenAI reader that has content.
func TestRetryIsTold(t *testing.T) {
	w := newWorld(t)
	worker := w.ready()
	body := strings.Replace(task, "{", `{"on_worker_loss":"restart",`, 1)
	s := w.stream("POST", "/v2/tasks", body)
	id := s.resp.Header.Get(headerJob)
	s.want("assigned", "")
	r := w.hive.next()
	r.tokens(1, 3)
	s.want("started", "1.1")
	s.want("token", "1.2")
	s.want("token", "1.3")
	oai := w.stream("GET", "/v2/jobs/"+id+"/events?format=openai", "")
	ro := w.hive.next()
	ro.send("id: 1.1\ndata: {\"a\":1}\nid: 1.2\n\n")
	oai.want("", "1.2")
	died := hives.Terminal{Outcome: hives.Failed, Events: 3, Error: hives.Errorf(hives.CodeWorkerDied, "killed")}
	r.end(died, "")
	retry := s.past("queued") // told any number of times while it waits out the backoff
	if retry.event != "retry" || retry.id != "" {
		t.Fatalf("want retry, got %+v", retry)
	}
	if !strings.Contains(retry.data, `"from_i":0`) || !strings.Contains(retry.data, `"attempt":2`) {
		t.Errorf("retry: %s", retry.data)
	}
	f, _ := oai.next()
	if !strings.Contains(f.data, "stream_diverged") || !strings.Contains(f.data, `"scope":"stream"`) || f.id != "" {
		t.Errorf("OpenAI reader got %+v", f)
	}
	oai.wantClosed()
	s.want("assigned", "")
	again := w.hive.next()
	if again.Req.Attempt != 2 || again.Req.From != 0 {
		t.Errorf("second attempt: %+v (worker %s)", again.Req, worker)
	}
	again.tokens(1, 2)
	s.want("started", "2.1")
	s.want("token", "2.2")
	again.end(completed(2), "")
	s.want("end", "2.3")
}

// TestEveryRetryAfterTextIsTold: an attempt that was announced and never spoke is followed by
// another that is announced too, for a client takes text back for the one it was told of.
func TestEveryRetryAfterTextIsTold(t *testing.T) {
	w := newWorld(t)
	w.ready()
	s := w.stream("POST", "/v2/tasks", strings.Replace(task, "{", `{"on_worker_loss":"restart",`, 1))
	s.want("assigned", "")
	first := w.hive.next()
	first.tokens(1, 2)
	s.want("started", "1.1")
	s.want("token", "1.2")
	died := hives.Terminal{Outcome: hives.Failed, Events: 2, Error: hives.Errorf(hives.CodeWorkerDied, "killed")}
	first.end(died, "")
	for attempt := 2; attempt <= 3; attempt++ {
		if f := s.past("queued"); f.event != "retry" || !strings.Contains(f.data, fmt.Sprintf(`"attempt":%d`, attempt)) {
			t.Fatalf("want retry to attempt %d, got %+v", attempt, f)
		}
		s.want("assigned", "")
		r := w.hive.next()
		if attempt == 2 {
			died.Events = 0
			r.end(died, "")
			continue
		}
		r.tokens(1, 2)
		s.want("started", "3.1")
		s.want("token", "3.2")
		r.end(completed(2), "")
		s.want("end", "3.3")
	}
}

// TestFailureIsTold ends a stream with the committed error.
func TestFailureIsTold(t *testing.T) {
	w := newWorld(t)
	w.ready()
	s := w.stream("POST", "/v2/tasks", task)
	s.want("assigned", "")
	r := w.hive.next()
	r.tokens(1, 2)
	s.want("started", "1.1")
	s.want("token", "1.2")
	r.end(hives.Terminal{Outcome: hives.Failed, Events: 2, Error: hives.Errorf(hives.CodeWorkerDied, "killed by a test")}, "")
	f := s.want("error", "1.3")
	if !strings.Contains(f.data, `"code":"worker_failed"`) || !strings.Contains(f.data, "killed by a test") {
		t.Errorf("error: %s", f.data)
	}
	s.wantClosed()
}

// TestOpenAI streams the engine's chunks and its end as they came.
func TestOpenAI(t *testing.T) {
	w := newWorld(t)
	w.ready()
	body := `{"model":"builtin/markov","messages":[{"role":"user","content":"hi"}],"stream":true,"x":1}`
	answered := w.later("POST", "/v1/chat/completions", body)
	r := w.hive.next()
	if string(r.Req.Body) != body || r.Req.API != hives.APIOpenAI || r.Req.GraceMillis != 10_000 {
		t.Errorf("execute: %+v body %s", r.Req, r.Req.Body)
	}
	r.send("id: 1.1\ndata: {\"c\":1}\n\ndata: {\"c\":2}\nid: 1.2\n\n")
	s := answered()
	if f := s.want("", "1.1"); f.data != `{"c":1}` {
		t.Errorf("got %+v", f)
	}
	s.want("", "1.2")
	r.end(completed(2), "data: {\"fin\":1}\n\ndata: [DONE]\nid: 1.3\n\n")
	s.want("", "")
	if f := s.want("", "1.3"); f.data != "[DONE]" {
		t.Errorf("got %+v", f)
	}
	s.wantClosed()
}

// TestWhole answers without a stream: the folded OpenAI body, and the native result.
func TestWhole(t *testing.T) {
	w := newWorld(t)
	w.ready()
	answers := make(chan [2]string, 1)
	ask := func(path, body string) {
		status, got, _ := w.read("POST", path, body)
		answers <- [2]string{http.StatusText(status), got}
	}
	go ask("/v1/chat/completions", `{"model":"builtin/markov","messages":[{"role":"user","content":"hi"}]}`)
	r := w.hive.next()
	if !r.Req.Whole {
		t.Error("a whole answer was not asked for")
	}
	r.send(": keep-alive\n")
	r.end(completed(3), "data: {\"object\":\"chat.completion\"}\n\n")
	if got := <-answers; got != [2]string{"OK", `{"object":"chat.completion"}`} {
		t.Errorf("got %q", got)
	}
	go ask("/v2/tasks", `{"model":"builtin/markov","prompt":"hi","stream":false}`)
	r = w.hive.next()
	r.end(completed(3), "data: {\"text\":\"so it is\"}\n\n")
	got := <-answers
	var res resultJSON
	if err := json.Unmarshal([]byte(got[1]), &res); err != nil || res.Text != "so it is" || res.Usage.Completion != 2 {
		t.Errorf("got %q: %v", got, err)
	}
	go ask("/v1/chat/completions", `{"model":"builtin/markov","messages":[{"role":"user","content":"hi"}]}`)
	w.hive.next().end(hives.Terminal{Outcome: hives.Failed, Error: hives.Errorf(hives.CodeInvalid, "too long")}, "")
	if got := <-answers; got[0] != "Bad Request" || !strings.Contains(got[1], "too long") {
		t.Errorf("got %q", got)
	}
}

// TestClientLeaves tells the hive when the last client of a running job goes, and cancels a
// queued one after its grace.
func TestClientLeaves(t *testing.T) {
	w := newWorld(t)
	w.ready()
	s := w.stream("POST", "/v2/tasks", task, "X-Rbee-Grace", "3s")
	s.want("assigned", "")
	w.hive.next().tokens(1, 2)
	s.want("started", "1.1")
	_ = s.resp.Body.Close()
	if l := <-w.hive.leaves; l.GraceMillis != 3000 || l.Attempt != 1 {
		t.Errorf("leave: %+v", l)
	}
	for _, j := range mustJobs(w) {
		if len(j.Holders) != 0 {
			w.awaitReleased(j.ID)
		}
	}
}

func mustJobs(w *world) []*fsm.Job {
	jobs, _ := w.queen.View().Jobs(fsm.JobFilter{}, "", 100)
	return jobs
}

func (w *world) awaitReleased(id string) {
	watch := w.queen.Watch(jobRow(id))
	defer watch.Close()
	for {
		if j, ok := w.queen.View().Job(id); ok && len(j.Holders) == 0 {
			return
		}
		<-watch.C()
	}
}

// TestReplicaBehind never says 404 for what the leader has.
func TestReplicaBehind(t *testing.T) {
	w := newWorld(t)
	w.ready()
	old := w.queen.View()
	status, body, h := w.read("POST", "/v2/tasks", strings.Replace(task, "{", `{"detach":true,`, 1))
	if status != http.StatusAccepted {
		t.Fatal(status, body)
	}
	id := h.Get(headerJob)
	w.queen.mu.Lock()
	w.queen.behind = old
	w.queen.mu.Unlock()
	if status, body, _ := w.read("GET", "/v2/jobs/"+id, ""); status != http.StatusOK {
		t.Errorf("lagging replica: %d %s", status, body)
	}
	w.queen.mu.Lock()
	w.queen.behind, w.queen.down = old, fsm.Errorf(fsm.CodeNoLeader, "gone")
	w.queen.mu.Unlock()
	if status, body, h := w.read("GET", "/v2/jobs/"+id, ""); status != http.StatusServiceUnavailable || h.Get("Retry-After") == "" {
		t.Errorf("lagging replica without a leader: %d %s", status, body)
	}
}

// TestCancel ends a queued job at once and a running one when its hive has answered the wish.
func TestCancel(t *testing.T) {
	w := newWorld(t)
	w.register()
	_, _, h := w.read("POST", "/v2/tasks", strings.Replace(task, "{", `{"detach":true,`, 1))
	id := h.Get(headerJob)
	status, body, _ := w.read("DELETE", "/v2/jobs/"+id, "")
	if status != http.StatusOK || !strings.Contains(body, `"state":"cancelled"`) {
		t.Errorf("queued: %d %s", status, body)
	}
	s := w.stream("GET", "/v2/jobs/"+id+"/events", "")
	if f := s.want("error", "0.1"); !strings.Contains(f.data, `"code":"cancelled"`) {
		t.Errorf("got %+v", f)
	}
	if status, _, _ := w.read("GET", "/v2/jobs/"+id+"/events", "", "Last-Event-ID", "0.1"); status != http.StatusNoContent {
		t.Errorf("a client that has the end of a job that never ran gets %d, want 204", status)
	}
	if status, body, _ := w.read("GET", "/v2/jobs/"+id+"/result", ""); status != http.StatusConflict || !strings.Contains(body, "cancelled") {
		t.Errorf("its result: %d %s", status, body)
	}
	if status, _, _ := w.read("DELETE", "/v2/jobs/01ARZ3NDEKTSV4RRFFQ69G5FAV", ""); status != http.StatusNotFound {
		t.Errorf("unknown job: %d", status)
	}
}

// TestIdempotencyKey joins a repeat to the first job and refuses another request under the same key.
func TestIdempotencyKey(t *testing.T) {
	w := newWorld(t)
	w.register()
	detached := strings.Replace(task, "{", `{"detach":true,`, 1)
	_, first, _ := w.read("POST", "/v2/tasks", detached, "Idempotency-Key", "k1")
	status, second, h := w.read("POST", "/v2/tasks", detached, "Idempotency-Key", "k1")
	if status != http.StatusAccepted || first != second || h.Get(headerJob) == "" {
		t.Errorf("first %s, second %d %s", first, status, second)
	}
	status, body, _ := w.read("POST", "/v2/tasks", strings.Replace(detached, "hello", "bye", 1), "Idempotency-Key", "k1")
	if status != http.StatusUnprocessableEntity || !strings.Contains(body, "idempotency_mismatch") {
		t.Errorf("other request: %d %s", status, body)
	}
	status, body, _ = w.read("POST", "/v2/tasks", detached, "Idempotency-Key", "k1", "Authorization", "Bearer "+userKey)
	if status != http.StatusAccepted || body == first {
		t.Errorf("another tenant's key: %d %s", status, body)
	}
}

// TestSpawnUnderAKey makes one worker for each Idempotency-Key.
func TestSpawnUnderAKey(t *testing.T) {
	w := newWorld(t)
	w.register()
	spawn := func(more string, headers ...string) (int, string) {
		status, body, _ := w.read("POST", "/v2/workers/spawn", `{"model":"builtin/markov"`+more+`}`, headers...)
		return status, body
	}
	status, first := spawn("", "Idempotency-Key", "k1")
	if again, body := spawn("", "Idempotency-Key", "k1"); status != http.StatusAccepted || again != status || body != first {
		t.Errorf("first %d %s, again %d %s", status, first, again, body)
	}
	for _, other := range []string{`,"device":"gpu7"`, `,"hive":"h2"`} {
		if status, body := spawn(other, "Idempotency-Key", "k1"); status != http.StatusUnprocessableEntity || !strings.Contains(body, fsm.CodeIdempotencyMismatch) {
			t.Errorf("another request under the key: %d %s", status, body)
		}
	}
	if _, body := spawn("", "Idempotency-Key", "k2"); body == first {
		t.Errorf("another key: %s", body)
	}
	if _, body := spawn(""); body == first {
		t.Errorf("no key: %s", body)
	}
	if status, _ := spawn("", "Idempotency-Key", strings.Repeat("k", 256)); status != http.StatusBadRequest {
		t.Errorf("a key too long: %d", status)
	}
	workers := 0
	for range w.queen.View().Workers() {
		workers++
	}
	if workers != 3 {
		t.Errorf("%d workers, want 3", workers)
	}
}

// TestBodyReachesItsHive: what is accepted can be started, at queens with a smaller limit too.
func TestBodyReachesItsHive(t *testing.T) {
	w := newWorld(t)
	w.ready()
	prompt := strings.Repeat("<&>", w.api.cfg.BodyLimit/4)
	s := w.stream("POST", "/v2/tasks", strings.Replace(task, "hello", prompt, 1))
	s.want("assigned", "")
	r := w.hive.next()
	if n := strings.Count(string(r.Req.Body), "<&>"); n != w.api.cfg.BodyLimit/4 {
		t.Errorf("%d of %d came to the hive in %d bytes", n, w.api.cfg.BodyLimit/4, len(r.Req.Body))
	}
	w.api.cfg.BodyLimit = 1 << 10 // of another queen
	id := s.resp.Header.Get(headerJob)
	if status, body, _ := w.read("GET", "/v2/jobs/"+id+"/body", ""); status != http.StatusOK || !strings.Contains(body, prompt) {
		t.Errorf("the body that a hive fetches: %d, %d bytes", status, len(body))
	}
	r.breakOff()
	again := w.hive.next()
	if again.Req.JobID != id {
		t.Errorf("%+v", again.Req)
	}
	again.end(completed(0), "")
	s.want("end", "1.1")
	growing := strings.Replace(task, "hello", strings.Repeat("\u2028", 300), 1) // encoded with six bytes each
	if status, body, _ := w.read("POST", "/v2/tasks", growing); status != http.StatusRequestEntityTooLarge || !strings.Contains(body, "at most 1024") {
		t.Errorf("too large for the engine: %d %s", status, body)
	}
}

// TestUnknownHereIsAskedOfTheLeader before it is called unknown, models and queens as well.
func TestUnknownHereIsAskedOfTheLeader(t *testing.T) {
	w := newWorld(t)
	old := w.queen.View()
	w.register()
	w.queen.must(schedule.Request{Member: &schedule.Member{Queen: fsm.Queen{ID: "q2", Boot: "b2", Role: fsm.RoleVoter, HTTP: "http://127.0.0.1:2", Level: fsm.CurrentLevel}}})
	for _, c := range [][3]string{
		{"GET", "/v1/models/" + testModel, ""}, {"POST", "/v2/cluster/transfer", `{"to":"q2"}`},
	} {
		w.queen.mu.Lock()
		w.queen.behind = old
		w.queen.mu.Unlock()
		if status, body, _ := w.read(c[0], c[1], c[2]); status != http.StatusOK {
			t.Errorf("%s %s: %d %s", c[0], c[1], status, body)
		}
	}
	for _, c := range [][3]string{{"GET", "/v1/models/none", ""}, {"POST", "/v2/cluster/transfer", `{"to":"q9"}`}} {
		if status, body, _ := w.read(c[0], c[1], c[2]); status != http.StatusNotFound {
			t.Errorf("%s %s: %d %s", c[0], c[1], status, body)
		}
	}
}
