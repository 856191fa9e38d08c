package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"queen-rbee/cluster"
	"queen-rbee/fsm"
	"queen-rbee/hives/agent"
	"queen-rbee/hives/engine"
	"queen-rbee/hives/engine/enginetest"
)

const recordedModel = "small"

// recordings is where they are.
func recordings(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs(filepath.Join("..", "testdata", "transcripts"))
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// withHive gives a world a real hive, whose engine is a process that plays recordings.
func (w *world) withHive() {
	w.Helper()
	a, err := agent.New(agent.Config{
		ID: "h1", Addr: "127.0.0.1:0", Queens: []string{w.http.URL}, Token: cluster.HiveToken(testToken), DataDir: w.TempDir(), Version: "test",
		Engines: []engine.Definition{{
			Name: "played", Command: []string{os.Args[0]}, Env: enginetest.Env(recordings(w.T)),
			Health: engine.DefaultHealth, HealthStatus: engine.DefaultHealthStatus,
			StartTimeout: 20 * time.Second, StopGrace: time.Second,
			Models: []engine.Model{{Ref: recordedModel, Path: "/m", Slots: 4, VRAMBytes: 1 << 20}},
		}},
	})
	if err != nil {
		w.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	w.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			w.Errorf("the hive's agent: %v", err)
		}
	})
	select {
	case <-a.Ready():
	case err := <-done:
		w.Fatalf("the hive's agent did not start: %v", err)
	}
	watch := w.queen.Watch(fsm.Row{Table: fsm.TableHive, ID: "h1"})
	defer watch.Close()
	for over := time.After(patience); ; {
		if _, known := w.queen.View().Hive("h1"); known {
			return
		}
		select {
		case <-watch.C():
		case <-over:
			w.Fatal("the hive did not register")
		}
	}
}

// cued is a recorded request that tells the engine what to play, for our one model.
func cued(rec enginetest.Recording, cue string) string {
	var body map[string]json.RawMessage
	if json.Unmarshal(rec.Body, &body) != nil { // it was no JSON: any request will do
		body = map[string]json.RawMessage{"messages": json.RawMessage(`[{"role":"user","content":"hi"}]`)}
	}
	body["model"], body["user"] = json.RawMessage(`"`+recordedModel+`"`), json.RawMessage(`"play:`+cue+`"`)
	out, _ := json.Marshal(body)
	return string(out)
}

// TestRecordedExchanges sends what a real engine said through a real gateway and a queen: what
// clients read is byte for byte what it said, its failures in the shape of the OpenAI API.
func TestRecordedExchanges(t *testing.T) {
	w := newWorld(t)
	w.withHive()
	for _, c := range []struct {
		name  string
		fails bool
	}{
		{"chat-stream", false}, {"chat-stream-usage", false}, {"chat-n2-stream", false}, {"chat-logprobs-stream", false},
		{"chat-tools-stream", false}, {"completions-stream", false}, {"busy-slot-first", false},
		{"sigkill-mid-stream", true}, {"sigterm-mid-stream", true}, {"error-in-mid-stream", true},
	} {
		for _, size := range []string{"", "@1", "@7"} {
			rec := w.recording(c.name)
			got, last := w.openAIEvents(rec.Path, cued(rec, c.name+size))
			want := rec.Data()
			if c.fails {
				if c.name == "error-in-mid-stream" {
					want = want[:len(want)-1] // the engine's own word on it, which is ours to shape
				}
				wantError(t, c.name, last, "worker_failed")
				got = got[:len(got)-1]
			}
			if strings.Join(got, "\n") != strings.Join(want, "\n") {
				t.Errorf("%s%s: a client reads\n%s\nwant\n%s", c.name, size, strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		}
	}
}

func (w *world) recording(name string) enginetest.Recording {
	w.Helper()
	rec, err := enginetest.Load(recordings(w.T), name)
	if err != nil {
		w.Fatal(err)
	}
	return rec
}

// openAIEvents is the data of a stream up to its close.
func (w *world) openAIEvents(path, body string) (data []string, last string) {
	w.Helper()
	s := w.stream("POST", path, body, "Connection", "close") // the test server keeps none that the pump had
	for {
		f, ok := s.next()
		if !ok {
			return data, last
		}
		data, last = append(data, f.data), f.data
	}
}

func wantError(t *testing.T, name, body, code string) {
	t.Helper()
	var e struct {
		Error *struct {
			Message, Type string
			Code          *string
		}
	}
	if err := json.Unmarshal([]byte(body), &e); err != nil || e.Error == nil || e.Error.Code == nil || *e.Error.Code != code || e.Error.Message == "" || e.Error.Type == "" {
		t.Errorf("%s: %v: %s; want an error with code %q", name, err, body, code)
	}
}

// TestRecordedTokens is the same natively: one token for each chunk with content, its text that
// of the first choice.
func TestRecordedTokens(t *testing.T) {
	w := newWorld(t)
	w.withHive()
	for _, name := range []string{"chat-stream", "chat-stream-usage", "chat-tools-stream", "busy-slot-first"} {
		s := w.stream("POST", "/v2/tasks", fmt.Sprintf(`{"model":%q,"prompt":"play:%s@3"}`, recordedModel, name), "Connection", "close")
		var got []string
		for f, ok := s.next(); ok; f, ok = s.next() {
			if f.event == "token" {
				var token struct{ T string }
				if err := json.Unmarshal([]byte(f.data), &token); err != nil {
					t.Fatal(err)
				}
				got = append(got, token.T)
			}
		}
		if want := tokensOf(w.recording(name)); len(want) < 6 || strings.Join(got, "|") != strings.Join(want, "|") {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

// tokensOf is the texts of a recorded chat's chunks with content.
func tokensOf(rec enginetest.Recording) (texts []string) {
	for _, data := range rec.Data() {
		var c struct {
			Choices []struct {
				Delta struct {
					Content   *string
					ToolCalls []json.RawMessage `json:"tool_calls"`
				}
			}
		}
		if json.Unmarshal([]byte(data), &c) != nil || len(c.Choices) == 0 {
			continue
		}
		switch d := c.Choices[0].Delta; {
		case d.Content != nil:
			texts = append(texts, *d.Content)
		case len(d.ToolCalls) > 0:
			texts = append(texts, "")
		}
	}
	return texts
}

// TestRecordedRefusals: what an engine refuses has a status that says whose fault it was, and
// keeps the engine's reason; what it only cannot take now is tried again.
func TestRecordedRefusals(t *testing.T) {
	w := newWorld(t)
	w.withHive()
	for _, c := range []struct {
		name, path string
		status     int
		code, says string
	}{
		{"chat-prompt-too-long", "", 400, "invalid_request", "request (3024 tokens) exceeds the available context size (512 tokens)"},
		{"chat-prompt-too-long-stream", "", 400, "invalid_request", "(3024 tokens)"},
		{"chat-no-messages", "/v1/chat/completions", 400, "invalid_request", "messages"},
		{"chat-bad-json", "", 400, "invalid_request", "parse error"},
		{"chat-wrong-type", "/v1/chat/completions", 400, "invalid_request", ""},
		{"embeddings-not-enabled", "", 400, "invalid_request", "model small, /v1/embeddings: the engine answered 501: This server does not support embeddings"},
		{"unknown-path", "/v1/images/generations", 400, "invalid_request", "model small, /v1/images/generations: the engine does not serve this request"},
		{"wrong-key", "/v1/chat/completions", 502, "worker_failed", ""},
	} {
		rec := w.recording(c.name)
		body := fmt.Sprintf(`{"model":%q,"messages":[{"role":"user","content":"hi"}],"input":"a","prompt":"a","user":"play:%s"}`, recordedModel, c.name)
		if c.path == "" {
			c.path = rec.Path
		}
		status, text, _ := w.read("POST", c.path, body)
		if status != c.status || !strings.Contains(text, c.says) {
			t.Errorf("%s: %d %s; want %d that says %q", c.name, status, text, c.status, c.says)
		}
		wantError(t, c.name, text, c.code)
	}
	// A loading engine is asked again, unseen.
	rec := w.recording("chat-stream")
	if got, _ := w.openAIEvents(rec.Path, cued(rec, "loading-chat,loading-chat,chat-stream")); strings.Join(got, "\n") != strings.Join(rec.Data(), "\n") {
		t.Errorf("after loading: %s", got)
	}
}

// TestRecordedWholeAnswers: an answer that is not streamed is the engine's own, with all it adds:
// as it came where it was one, folded where it was a stream.
func TestRecordedWholeAnswers(t *testing.T) {
	w := newWorld(t)
	w.withHive()
	rec := w.recording("embeddings")
	header, want, _ := rec.Answer()
	body := cued(rec, "embeddings@11")
	for range 2 { // the second joins the first job
		status, got, h := w.read("POST", "/v1/embeddings", body, "Idempotency-Key", "k")
		if status != 200 || got != string(want) || h.Get("Content-Type") != header.Get("Content-Type") {
			t.Errorf("%d %s: %d bytes, want %d", status, h.Get("Content-Type"), len(got), len(want))
		}
		id := h.Get(headerJob)
		if j, _ := w.queen.View().Job(id); j.Usage.Prompt != 12 || j.Events != 1 {
			t.Errorf("job: %+v, %d events", j.Usage, j.Events)
		}
		if status, got, _ := w.read("GET", "/v2/jobs/"+id+"/result", ""); status != 200 || got != string(want) {
			t.Errorf("result: %d, %d bytes", status, len(got))
		}
	}
	// A worker that dies under an answer has delivered nothing: it is asked again.
	if status, got, _ := w.read("POST", "/v1/embeddings", cued(rec, "sigkill-mid-stream,embeddings")); status != 200 || got != string(want) {
		t.Errorf("after a death: %d, %d bytes", status, len(got))
	}
	rec = w.recording("chat-stream-usage")
	stream := strings.Replace(cued(rec, "chat-stream-usage"), `"stream":true`, `"stream":false`, 1)
	_, text, _ := w.read("POST", rec.Path, stream)
	var folded map[string]json.RawMessage
	if err := json.Unmarshal([]byte(text), &folded); err != nil {
		t.Fatal(err)
	}
	for field, want := range map[string]string{
		"system_fingerprint": `b9042-`, "timings": `"predicted_n"`, "usage": `"prompt_tokens_details":{"cached_tokens"`, "id": "chatcmpl-", "object": `"chat.completion"`,
	} {
		if !bytes.Contains(folded[field], []byte(want)) {
			t.Errorf("folded %s: %s, want %s in it", field, folded[field], want)
		}
	}
}
