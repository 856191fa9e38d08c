package httpapi

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"queen-rbee/fsm"
	"queen-rbee/hives"
	"queen-rbee/schedule"
)

// ask sends one request with a JSON body as an admin.
func (w *world) ask(method, path, body string, headers ...string) (int, map[string]any, http.Header) {
	w.Helper()
	req, err := http.NewRequestWithContext(w.Context(), method, w.http.URL+path, strings.NewReader(body))
	if err != nil {
		w.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+apiKey)
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		w.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		w.Fatal(err)
	}
	var out map[string]any
	if len(data) > 0 && json.Unmarshal(data, &out) != nil {
		w.Fatalf("%s %s: %d %s", method, path, resp.StatusCode, data)
	}
	return resp.StatusCode, out, resp.Header
}

// filed makes the hive one that takes files.
func (w *world) filed() {
	w.register()
	w.beat(func(hb *hives.Heartbeat) { hb.Engines = filesEngine })
}

var filesEngine = []hives.Engine{{Name: "llama.cpp", TakesFiles: true, Models: []hives.EngineModel{}}}

const qwen = `{"aliases":["small"],"source":"hf:o/r/f.gguf","engine":"llama.cpp","slots":2,"context":4096,"idle_ttl":"10m","vram_bytes":1048576,"labels":{}}`

func TestTheCatalogOverHTTP(t *testing.T) {
	w := newWorld(t)
	w.filed()
	status, m, h := w.ask("PUT", "/v2/models/org/qwen", qwen)
	if status != 200 || m["id"] != "org/qwen" || m["state"] != "available" || m["idle_ttl"] != "10m0s" || h.Get(headerIndex) == "" {
		t.Fatalf("put: %d %v", status, m)
	}
	for _, path := range []string{"/v2/models/org/qwen", "/v2/models/org%2Fqwen", "/v2/models/small", "/v2/models/small:latest"} {
		if status, m, _ := w.ask("GET", path, ""); status != 200 || m["id"] != "org/qwen" || m["context"] != 4096.0 {
			t.Errorf("%s: %d %v", path, status, m)
		}
	}
	if status, m, _ := w.ask("GET", "/v2/models", ""); status != 200 || len(m["items"].([]any)) != 1 {
		t.Errorf("list: %d %v", status, m)
	}
	for field, body := range map[string]string{
		"replicas": `{"replicas":3}`, "slots": `{"slots":"two"}`, "idle_ttl": `{"idle_ttl":"soon"}`, "ref": `{"ref":"other"}`,
		"source": `{"source":"ftp:x","engine":"e"}`, "engine": `{"source":"hf:o/r/f"}`, "min_replicas": `{"min_replicas":2,"max_replicas":1}`,
	} {
		if status, p, _ := w.ask("PUT", "/v2/models/m", body); status != 400 || !strings.HasPrefix(p["detail"].(string), field) {
			t.Errorf("%s: %d %v", field, status, p)
		}
	}
	if status, p, _ := w.ask("PUT", "/v2/models/other", `{"aliases":["small"]}`); status != 409 || !strings.HasPrefix(p["detail"].(string), "aliases") {
		t.Errorf("a name that is taken: %d %v", status, p)
	}
	if status, _, _ := w.ask("DELETE", "/v2/models/small", ""); status != 204 {
		t.Errorf("delete: %d", status)
	}
	if status, p, _ := w.ask("GET", "/v2/models/org/qwen", ""); status != 404 || p["code"] != fsm.CodeModelNotFound {
		t.Errorf("deleted: %d %v", status, p)
	}
	if status, p, _ := w.ask("DELETE", "/v2/models/org/qwen", ""); status != 404 {
		t.Errorf("deleted twice: %d %v", status, p)
	}
}

// A user may look, and only an admin may change.
func TestTheCatalogIsTheAdmins(t *testing.T) {
	w := newWorld(t)
	w.filed()
	for _, c := range [][2]string{{"PUT", "/v2/models/m"}, {"DELETE", "/v2/models/m"}, {"POST", "/v2/models/download"}, {"POST", "/v2/models/evict"}, {"DELETE", "/v2/models/download"}} {
		if status, p, _ := w.ask(c[0], c[1], `{}`, "Authorization", "Bearer "+userKey); status != 403 {
			t.Errorf("%s %s: %d %v", c[0], c[1], status, p)
		}
	}
}

// sse reads the events of a stream until it ends or one of a name has come.
func sseUntil(t *testing.T, body io.Reader, name string) (events []string) {
	t.Helper()
	in := bufio.NewScanner(body)
	event := ""
	for in.Scan() {
		if e, ok := strings.CutPrefix(in.Text(), "event: "); ok {
			event = e
		}
		if data, ok := strings.CutPrefix(in.Text(), "data: "); ok {
			events = append(events, event+" "+data)
			if event == name {
				return events
			}
		}
	}
	t.Fatalf("the stream ended after %q: %v", events, in.Err())
	return nil
}

// A download is told from its wish to its end, with what the leader knows in between.
func TestDownload(t *testing.T) {
	w := newWorld(t)
	w.filed()
	w.ask("PUT", "/v2/models/m", `{"source":"hf:o/r/f","engine":"llama.cpp","vram_bytes":5}`)
	if status, m, _ := w.ask("POST", "/v2/models/download", `{"model":"m"}`); status != 202 || m["state"] != "downloading" || m["hives"].([]any)[0] != "h1" {
		t.Fatalf("%d %v", status, m)
	}
	req, _ := http.NewRequestWithContext(t.Context(), "POST", w.http.URL+"/v2/models/download", strings.NewReader(`{"model":"m"}`))
	req.Header.Set("Authorization", "Bearer "+apiKey)
	req.Header.Set("Accept", "text/event-stream")
	w.beat(func(hb *hives.Heartbeat) {
		hb.Engines = filesEngine
		hb.Models = []hives.ModelReport{{Ref: "m", State: hives.ModelDownloading, DoneBytes: 3, TotalBytes: 12}}
	})
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	first := sseUntil(t, resp.Body, "progress")
	if first[0] != `progress {"hive":"h1","state":"downloading","bytes":3,"total_bytes":12,"progress":0.25}` {
		t.Errorf("first %q", first)
	}
	w.beat(func(hb *hives.Heartbeat) {
		hb.Engines = filesEngine
		hb.Models = []hives.ModelReport{{Ref: "m", State: hives.ModelPresent, Bytes: 12, Digest: "sha256:aa"}}
	})
	rest := sseUntil(t, resp.Body, "end")
	if len(rest) != 2 || rest[0] != `progress {"hive":"h1","state":"present","bytes":12,"total_bytes":12,"progress":1}` {
		t.Errorf("then %q", rest)
	}
	if status, m, _ := w.ask("DELETE", "/v2/models/download?model=m", ""); status != 200 || m["hives"].([]any)[0] != "h1" {
		t.Errorf("cancel: %d %v", status, m)
	}
	if y, ok := w.queen.View().Copy("m", "h1"); !ok || y.Wanted {
		t.Errorf("the copy is %+v", y)
	}
}

// A source alone makes an entry, with the engine that there is.
func TestDownloadOfAModelThatNobodyKnows(t *testing.T) {
	w := newWorld(t)
	w.filed()
	if status, p, _ := w.ask("POST", "/v2/models/download", `{"model":"new"}`); status != 404 {
		t.Errorf("without a source: %d %v", status, p)
	}
	if status, m, _ := w.ask("POST", "/v2/models/download", `{"model":"new","source":"hf:o/r/f"}`); status != 202 {
		t.Fatalf("%d %v", status, m)
	}
	if m, ok := w.queen.View().Model("new"); !ok || m.Engine != "llama.cpp" {
		t.Errorf("the entry is %+v", m)
	}
	if status, p, _ := w.ask("POST", "/v2/models/download", `{"model":"new","source":"hf:o/r/other"}`); status != 409 {
		t.Errorf("another source: %d %v", status, p)
	}
}

// Who says how long it waits for a load is told how far the load is, and its request was never
// accepted: under the same key it is a new one.
func TestLoadWait(t *testing.T) {
	w := newWorld(t)
	w.filed()
	w.ask("PUT", "/v2/models/m", `{"source":"hf:o/r/f","engine":"llama.cpp","vram_bytes":5}`)
	body := `{"model":"m","messages":[{"role":"user","content":"hi"}]}`
	call := func(path, wait string) (int, map[string]any, http.Header) {
		return w.ask("POST", path, body, headerLoadWait, wait, "Idempotency-Key", "k")
	}
	if status, p, _ := call("/v1/chat/completions", "soon"); status != 400 {
		t.Errorf("no duration: %d %v", status, p)
	}
	status, p, h := call("/v1/chat/completions", "20ms")
	e, _ := p["error"].(map[string]any)
	if status != 503 || e["code"] != codeLoading || h.Get("Retry-After") == "" || e["loading"].(map[string]any)["state"] != "spawning" {
		t.Fatalf("%d %v", status, p)
	}
	worker := ""
	for wk := range w.queen.View().Workers() {
		worker = wk.ID
	}
	w.beat(func(hb *hives.Heartbeat) {
		hb.Engines = filesEngine
		hb.Models = []hives.ModelReport{{Ref: "m", State: hives.ModelDownloading, DoneBytes: 3, TotalBytes: 12}}
		hb.Workers = []hives.WorkerReport{{ID: worker, State: hives.WorkerSpawning}}
	})
	status, p, _ = call("/v2/tasks", "20ms")
	l, _ := p["loading"].(map[string]any)
	if status != 503 || p["code"] != codeLoading || l["state"] != "downloading" || l["hive"] != "h1" || l["bytes"] != 3.0 || l["total_bytes"] != 12.0 || l["progress"] != 0.25 {
		t.Fatalf("%d %v", status, p)
	}
	jobs, _ := w.queen.View().Jobs(fsm.JobFilter{}, "", 10)
	if len(jobs) != 2 || jobs[0].State != fsm.JobCancelled || jobs[1].State != fsm.JobCancelled {
		t.Errorf("%d jobs are left", len(jobs))
	}
	done := make(chan int, 1)
	go func() {
		status, _, _ := call("/v1/chat/completions", "1m")
		done <- status
	}()
	w.until(func(v *fsm.View) bool { return v.Counts().Queued == 1 })
	w.beat(func(hb *hives.Heartbeat) {
		hb.Engines = filesEngine
		hb.Workers = []hives.WorkerReport{{ID: worker, State: hives.WorkerReady, Slots: 1}}
	})
	w.hive.next().end(completed(3), "data: {\"object\":\"chat.completion\"}\n\n")
	if status := <-done; status != 200 {
		t.Errorf("loaded in time: %d", status)
	}
}

// until waits for a state.
func (w *world) until(is func(*fsm.View) bool) {
	w.Helper()
	watch := w.queen.Watch(fsm.Row{Table: fsm.TableJob})
	defer watch.Close()
	over := time.After(patience)
	for !is(w.queen.View()) {
		select {
		case <-watch.C():
		case <-over:
			w.Fatal("it never came to that")
		}
	}
}

// Why a model is not placed stands in its row.
func TestWhyAModelIsNotPlaced(t *testing.T) {
	w := newWorld(t)
	w.filed()
	w.ask("PUT", "/v2/models/other", `{"source":"hf:o/r/f","engine":"vllm"}`)
	w.ask("PUT", "/v2/models/unseen", `{"source":"hf:o/r/f","engine":"llama.cpp"}`)
	w.ask("PUT", "/v2/models/missing", `{"source":"hf:o/r/g","engine":"llama.cpp"}`)
	w.queen.must(schedule.Request{Inspected: &schedule.Inspected{Ref: "missing", Source: "hf:o/r/g", Slots: 1, Failure: &fsm.Failure{Code: "not_found", Message: "404 of the hub"}}})
	for ref, want := range map[string]string{"other": "no hive has engine vllm", "unseen": "is not known yet", "missing": "404 of the hub"} {
		if _, m, _ := w.ask("GET", "/v2/models/"+ref, ""); m["reason"] == nil || !strings.Contains(m["reason"].(string), want) {
			t.Errorf("%s: %v", ref, m)
		}
	}
}
