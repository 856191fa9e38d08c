package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
)

const hello = `"messages":[{"role":"user","content":"tell me of honey"}]`

func TestStreamIsRoleTokensFinishUsageDone(t *testing.T) {
	r := start(t, nil).ready()
	s := r.stream(`{` + hello + `,"max_tokens":6,"seed":1,"stream":true,"stream_options":{"include_usage":true}}`)
	if s.err != nil || !s.done || len(s.chunks) != 1+6+1+1 || len(s.tokens) != 6 {
		t.Fatalf("%d chunks, %d tokens, done %v, error %v", len(s.chunks), len(s.tokens), s.done, s.err)
	}
	if s.chunks[0].Choices[0].Delta.Role != "assistant" {
		t.Error("the first chunk has no role")
	}
	if reason := s.chunks[7].Choices[0].FinishReason; reason == nil || *reason != "length" {
		t.Errorf("finish_reason %v", reason)
	}
	last := s.chunks[8]
	if len(last.Choices) != 0 || last.Usage == nil || last.Usage.Prompt != 4 || last.Usage.Completion != 6 || last.Usage.Total != 10 {
		t.Errorf("usage chunk %+v", last)
	}
}

func TestWholeAnswerIsTheStream(t *testing.T) {
	r := start(t, nil).ready()
	body := hello + `,"max_tokens":30,"seed":5,"temperature":0.7`
	s := r.stream(`{` + body + `,"stream":true}`)
	status, text := r.post("/v1/chat/completions", `{`+body+`}`)
	var whole struct {
		Object  string
		Choices []struct {
			Message      struct{ Role, Content string }
			FinishReason string `json:"finish_reason"`
		}
		Usage struct {
			Total int `json:"total_tokens"`
		}
	}
	if err := json.Unmarshal([]byte(text), &whole); err != nil || status != 200 || len(whole.Choices) != 1 {
		t.Fatalf("%d %s: %v", status, text, err)
	}
	if got := whole.Choices[0].Message.Content; got != s.text() || whole.Object != "chat.completion" || whole.Usage.Total != 34 {
		t.Errorf("whole %q, stream %q, %+v", got, s.text(), whole)
	}
	if s.chunks[len(s.chunks)-1].Usage != nil {
		t.Error("usage came without being asked for")
	}
}

func TestSameTextFromAnotherProcess(t *testing.T) {
	body := `{` + hello + `,"max_tokens":80,"seed":99,"stream":true}`
	one := start(t, nil).ready().stream(body)
	two := start(t, nil, "--slots=3", "--tokens-per-second=100000").ready().stream(body)
	if one.text() != two.text() {
		t.Errorf("differ:\n%s\n%s", one.text(), two.text())
	}
}

func TestCompletionsAndChoices(t *testing.T) {
	r := start(t, nil).ready()
	status, text := r.post("/v1/completions", `{"prompt":["the queen","a worker"],"n":2,"max_tokens":3,"seed":1}`)
	var got struct {
		Object  string
		Choices []struct {
			Index int
			Text  string
		}
	}
	if err := json.Unmarshal([]byte(text), &got); err != nil || status != 200 || len(got.Choices) != 4 || got.Object != "text_completion" {
		t.Fatalf("%d %s: %v", status, text, err)
	}
	for i, c := range got.Choices {
		if c.Index != i || len(strings.Fields(c.Text)) != 3 || !strings.HasPrefix(c.Text, " ") {
			t.Errorf("choice %d: %+v", i, c)
		}
	}
}

func TestClientThatLeavesFreesItsSlot(t *testing.T) {
	r := start(t, nil, "--tokens-per-second=0.001").ready()
	for _, stream := range []bool{true, false} {
		t.Run(fmt.Sprintf("stream %v", stream), func(t *testing.T) {
			ctx, leave := context.WithCancel(t.Context())
			gone := make(chan struct{})
			go func() {
				defer close(gone)
				resp, err := r.open(ctx, fmt.Sprintf(`{%s,"stream":%v}`, hello, stream))
				if err != nil {
					return
				}
				defer resp.Body.Close()
				<-ctx.Done()
			}()
			r.eventually("busy", func() bool { used, _ := r.busy(); return used == 1 })
			leave()
			<-gone
			r.eventually("idle", func() bool { used, _ := r.busy(); return used == 0 })
		})
	}
}

// The one that waits has no answer yet, leaves the queue when its client does, and gets the
// slot when the one before it has gone.
func TestRequestsWaitForASlot(t *testing.T) {
	r := start(t, nil, "--fault-hang-after=0").ready()
	first, firstLeaves := context.WithCancel(t.Context())
	defer firstLeaves()
	holder, err := r.open(first, `{`+hello+`,"stream":true}`)
	if err != nil {
		t.Fatal(err)
	}
	defer holder.Body.Close()
	ask := func(ctx context.Context) chan error {
		answered := make(chan error, 1)
		go func() {
			resp, err := r.open(ctx, `{`+hello+`,"stream":true}`)
			if err == nil {
				resp.Body.Close()
			}
			answered <- err
		}()
		return answered
	}
	second, secondLeaves := context.WithCancel(t.Context())
	impatient := ask(second)
	r.eventually("one waits", func() bool { _, waiting := r.busy(); return waiting == 1 })
	patient := ask(t.Context())
	r.eventually("two wait", func() bool { _, waiting := r.busy(); return waiting == 2 })
	select {
	case err := <-patient:
		t.Fatalf("answered without a slot: %v", err)
	default:
	}
	secondLeaves()
	if err := <-impatient; err == nil {
		t.Error("the one who left was answered")
	}
	r.eventually("one waits again", func() bool { _, waiting := r.busy(); return waiting == 1 })
	firstLeaves()
	if err := <-patient; err != nil {
		t.Errorf("the one who waited got %v", err)
	}
}

func TestAnswersToBadRequests(t *testing.T) {
	r := start(t, nil, "--context=20").ready()
	tests := []struct {
		name, method, path, body string
		status                   int
		says                     string
	}{
		{"not JSON", "POST", "/v1/chat/completions", `{`, 400, "not JSON"},
		{"tools", "POST", "/v1/chat/completions", `{` + hello + `,"tools":[{}]}`, 400, `"param":"tools"`},
		{"unknown model", "POST", "/v1/chat/completions", `{"model":"gpt",` + hello + `}`, 404, "model_not_found"},
		{"prompt too long", "POST", "/v1/completions", `{"prompt":"` + strings.Repeat("a ", 20) + `"}`, 400, `"n_ctx":20`},
		{"body too large", "POST", "/v1/completions", `{"prompt":"` + strings.Repeat("a", 33<<20) + `"}`, 413, "body_too_large"},
		{"embeddings", "POST", "/v1/embeddings", `{"input":"a"}`, 400, "embeddings are not supported"},
		{"rerank", "POST", "/v1/rerank", `{"query":"a"}`, 400, "reranking is not supported"},
		{"speech", "POST", "/v1/audio/speech", `{"input":"a"}`, 400, "audio is not supported"},
		{"images", "POST", "/v1/images/edits", `no JSON`, 400, "images are not supported"},
		{"another model", "GET", "/v1/models/else/where", ``, 404, "else/where"},
		{"no such route", "GET", "/v2/tasks", ``, 404, "not_found_error"},
		{"wrong method", "DELETE", "/v1/models", ``, 404, "not_found_error"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), tt.method, r.url+tt.path, strings.NewReader(tt.body))
			if err != nil {
				t.Fatal(err)
			}
			resp, err := r.client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			status, body := read(t, resp)
			if status != tt.status || !strings.Contains(body, tt.says) || !strings.HasPrefix(body, `{"error":{`) {
				t.Errorf("got %d %s, want %d with %s", status, body, tt.status, tt.says)
			}
		})
	}
}

func TestModelsWithSlashes(t *testing.T) {
	r := start(t, nil, "--model=org/name/file").ready()
	for _, path := range []string{"/v1/models/org/name/file", "/v1/models/org%2Fname%2Ffile"} {
		if status, body := r.get(path); status != 200 || !strings.Contains(body, `"id":"org/name/file"`) {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	if status, body := r.get("/v1/models"); status != 200 || !strings.Contains(body, `"object":"list"`) || !strings.Contains(body, "org/name/file") {
		t.Errorf("%d %s", status, body)
	}
}

func TestHeadersOverTheLimitAreRefused(t *testing.T) {
	r := start(t, nil).ready()
	conn, err := net.Dial("tcp", r.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	go func() {
		_, _ = fmt.Fprintf(conn, "GET /health HTTP/1.1\r\nHost: x\r\nX: %s\r\n\r\n", strings.Repeat("x", 128<<10))
	}()
	var line [64]byte
	n, _ := conn.Read(line[:])
	if !strings.Contains(string(line[:n]), " 431 ") {
		t.Errorf("got %q", line[:n])
	}
}
