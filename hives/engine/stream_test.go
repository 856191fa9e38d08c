package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"queen-rbee/hives"
)

const chatPath = "/v1/chat/completions"

// collected is what a stream yielded.
type collected struct {
	chunks []Chunk
	text   string
}

func collect(ctx context.Context, url, path, body string, o StreamOptions) (collected, Result, error) {
	var c collected
	res, err := Stream(ctx, url, path, []byte(body), o, func(ch Chunk) error {
		ch.Raw = bytes.Clone(ch.Raw)
		c.chunks = append(c.chunks, ch)
		c.text += ch.Text
		return nil
	})
	return c, res, err
}

func TestRecordedStreams(t *testing.T) {
	for _, c := range []struct {
		name    string
		text    string
		finish  string
		content int
		usage   hives.Usage
		code    string
	}{
		{"chat-stream", " will those these very best these… found", "length", 8, hives.Usage{CompletionTokens: 8, TotalTokens: 8}, ""},
		{"chat-stream-usage", "", "length", 6, hives.Usage{PromptTokens: 25, CompletionTokens: 6, TotalTokens: 31}, ""},
		{"chat-n2-stream", " will those these", "length", 6, hives.Usage{CompletionTokens: 6, TotalTokens: 6}, ""},
		{"chat-logprobs-stream", " will those these", "length", 3, hives.Usage{CompletionTokens: 3, TotalTokens: 3}, ""},
		{"chat-tools-stream", "", "length", 60, hives.Usage{CompletionTokens: 60, TotalTokens: 60}, ""},
		{"completions-stream", " could the to part part", "length", 5, hives.Usage{PromptTokens: 5, CompletionTokens: 5, TotalTokens: 10}, ""},
		{"sigkill-mid-stream", "", "", -1, hives.Usage{}, hives.CodeWorkerDied},
		{"sigterm-mid-stream", "", "", -1, hives.Usage{}, hives.CodeWorkerDied},
		{"chat-bad-json", "", "", 0, hives.Usage{}, hives.CodeInvalid},
		{"chat-no-messages", "", "", 0, hives.Usage{}, hives.CodeInvalid},
		{"chat-wrong-type", "", "", 0, hives.Usage{}, hives.CodeInvalid},
		{"chat-prompt-too-long-stream", "", "", 0, hives.Usage{}, hives.CodeInvalid},
		{"embeddings-not-enabled", "", "", 0, hives.Usage{}, hives.CodeInvalid},
		{"unknown-path", "", "", 0, hives.Usage{}, hives.CodeInvalid},
		{"loading-chat", "", "", 0, hives.Usage{}, CodeEngineBusy},
		{"wrong-key", "", "", 0, hives.Usage{}, hives.CodeEngineError},
		{"chat-whole", "", "", 0, hives.Usage{}, hives.CodeEngineError}, // no stream although one was asked for
	} {
		for _, size := range []int{1 << 20, 7, 1} {
			rec := load(t, c.name)
			body := rec.body
			if !json.Valid(body) {
				body = []byte("{}")
			}
			got, res, err := collect(context.Background(), replay(t, rec, size), rec.path, string(body), StreamOptions{})
			if hives.CodeOf(err) != c.code || (err == nil) != (c.code == "") {
				t.Errorf("%s: %v; want %q", c.name, err, c.code)
				continue
			}
			if res.FinishReason != c.finish || c.content >= 0 && (res.Content != c.content || res.Usage != c.usage) {
				t.Errorf("%s: %+v", c.name, res)
			}
			if c.text != "" && got.text != c.text {
				t.Errorf("%s: %q", c.name, got.text)
			}
			checkChunks(t, c.name, got.chunks, err == nil)
		}
	}
}

// checkChunks checks what holds for every stream: one chunk closes, at most one, and no content
// comes behind it; each Raw is the JSON it was.
func checkChunks(t *testing.T, name string, chunks []Chunk, complete bool) {
	t.Helper()
	closed := 0
	for _, c := range chunks {
		if !json.Valid(c.Raw) {
			t.Errorf("%s: raw %q", name, c.Raw)
		}
		if closed > 0 && c.Content {
			t.Errorf("%s: content behind the end: %s", name, c.Raw)
		}
		if c.Closes {
			closed++
		}
	}
	if closed > 1 || complete && closed != 1 {
		t.Errorf("%s: %d chunks close", name, closed)
	}
}

func TestMessagesOfRefusalsAreKept(t *testing.T) {
	rec := load(t, "chat-prompt-too-long-stream")
	_, _, err := collect(context.Background(), replay(t, rec, 1<<20), rec.path, "{}", StreamOptions{}) // the recorded body is shortened
	if err == nil || !strings.Contains(err.Error(), "exceeds the available context size (512 tokens)") {
		t.Fatal(err)
	}
}

const (
	tok    = `data: {"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}` + "\n\n"
	finish = `data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}` + "\n\n"
	done   = "data: [DONE]\n\n"
)

func TestStreamEnds(t *testing.T) {
	for _, c := range []struct{ name, body, code, message string }{
		{"whole", tok + finish + done, "", ""},
		{"crlf and comments", strings.ReplaceAll(": ping\n\n"+tok+": ping\n\n"+finish+done, "\n", "\r\n"), "", ""},
		{"usage behind the finish", tok + finish + `data: {"choices":[],"usage":{"completion_tokens":1}}` + "\n\n" + done, "", ""},
		{"finish twice", tok + finish + finish + done, "", ""},
		{"something behind DONE", tok + finish + done + "data: rubbish\n\n", "", ""},
		{"no DONE", tok + finish, hives.CodeWorkerDied, "broke off"},
		{"half a DONE", tok + finish + "data: [DO", hives.CodeWorkerDied, "broke off"},
		{"no finish", tok + done, hives.CodeEngineError, "without a finish_reason"},
		{"nothing", "", hives.CodeWorkerDied, "broke off"},
		{"error object", tok + `data: {"error":{"code":500,"message":"Context size has been exceeded.","type":"server_error"}}` + "\n\n", hives.CodeEngineError, "Context size has been exceeded."},
		{"error text", tok + `data: {"error":"out of memory"}` + "\n\n", hives.CodeEngineError, "out of memory"},
		{"error field", tok + `error: {"code":500,"message":"old llama"}` + "\n\n", hives.CodeEngineError, "old llama"},
		{"error event", tok + "event: error\ndata: {\"message\":\"named\"}\n\n", hives.CodeEngineError, "named"},
		{"error in DONE's place", tok + finish + `data: {"object":"error","message":"late"}` + "\n\n" + done, hives.CodeEngineError, "late"},
		{"null error", strings.Replace(tok, `{"choices"`, `{"error":null,"choices"`, 1) + finish + done, "", ""},
		{"broken JSON", tok + `data: {"choices":[{"index":0,"del` + "\n\n" + finish + done, hives.CodeEngineError, "cannot be read"},
		{"foreign choice", `data: {"choices":[{"index":1,"delta":{"content":"a"}}]}` + "\n\n", hives.CodeEngineError, "choice 1"},
		{"negative choice", `data: {"choices":[{"index":-1,"delta":{"content":"a"}}]}` + "\n\n", hives.CodeEngineError, "choice -1"},
		{"content behind the finish", tok + finish + tok + done, hives.CodeEngineError, "after every choice"},
		{"endless line", tok + "data: " + strings.Repeat("x", maxLine+10), hives.CodeEngineError, "1048576 bytes"},
		{"endless event", tok + strings.Repeat("data: "+strings.Repeat("x", 1<<16)+"\n", 20), hives.CodeEngineError, "1048576 bytes"},
	} {
		got, res, err := collect(context.Background(), sends(t, c.body), chatPath, "{}", StreamOptions{})
		if hives.CodeOf(err) != c.code || (err == nil) != (c.code == "") || err != nil && !strings.Contains(err.Error(), c.message) {
			t.Errorf("%s: %v", c.name, err)
		}
		if err == nil && (res.FinishReason != "stop" || res.Usage.CompletionTokens != 1 || res.FirstToken <= 0 || got.text != "a") {
			t.Errorf("%s: %+v %q", c.name, res, got.text)
		}
		checkChunks(t, c.name, got.chunks, err == nil)
	}
}

func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		status        int
		body          string
		code, message string
	}{
		{400, `{"error":{"message":"no"}}`, hives.CodeInvalid, "no"},
		{422, `{"detail":[{"loc":["body"]}]}`, hives.CodeInvalid, `"loc"`},
		{404, `{"message":"no model"}`, hives.CodeInvalid, "no model"},
		{413, ``, hives.CodeInvalid, "no reason"},
		{401, `{"error":"key"}`, hives.CodeEngineError, "key"},
		{429, `slow down`, CodeEngineBusy, "slow down"},
		{503, `{"error":{"message":"Loading model"}}`, CodeEngineBusy, "Loading model"},
		{500, `{"error":{"message":"input is too large to process. increase the physical batch size","type":"server_error"}}`, hives.CodeInvalid, "physical batch"},
		{500, `{"error":{"message":"x","type":"invalid_request_error"}}`, hives.CodeInvalid, "x"},
		{500, `{"error":{"message":"CUDA error: out of memory","type":"server_error"}}`, hives.CodeEngineError, "CUDA"},
		{502, strings.Repeat("x", 1<<20), hives.CodeEngineError, "xxx..."},
		{302, ``, hives.CodeEngineError, "302"},
	} {
		url := server(t, func(w net.Conn, _ *http.Request, _ []byte) {
			fmt.Fprintf(w, "HTTP/1.1 %d X\r\nLocation: /elsewhere\r\nContent-Length: %d\r\n\r\n%s", c.status, len(c.body), c.body)
		})
		_, _, err := collect(context.Background(), url, chatPath, "{}", StreamOptions{})
		if hives.CodeOf(err) != c.code || !strings.Contains(err.Error(), c.message) || len(err.Error()) > 1200 {
			t.Errorf("%d %.60s: %v", c.status, c.body, err)
		}
	}
}

func TestWhatTheEngineIsAsked(t *testing.T) {
	asked := make(chan string, 1)
	url := server(t, func(c net.Conn, r *http.Request, body []byte) {
		asked <- fmt.Sprintf("%s %s close=%v key=%s %s", r.Method, r.URL.Path, r.Close, r.Header.Get("Authorization"), body)
		fmt.Fprint(c, sseHeader+tok+finish+done)
	})
	read := 0
	_, _, err := collect(context.Background(), url, chatPath, `{"model":"m", "stream":false, "x":1.50}`,
		StreamOptions{Key: "k", OnBytes: func() { read++ }})
	want := `POST /v1/chat/completions close=true key=Bearer k {"model":"m","x":1.50,"stream":true,"stream_options":{"include_usage":true}}`
	if got := <-asked; err != nil || got != want || read == 0 {
		t.Fatalf("%v, %d reads\n got %s\nwant %s", err, read, got, want)
	}
}

func TestNobodyListens(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	_, _, err = collect(context.Background(), "http://"+l.Addr().String(), chatPath, "{}", StreamOptions{})
	if hives.CodeOf(err) != hives.CodeWorkerDied {
		t.Fatal(err)
	}
}

// silent serves some text and then nothing until the client closes; closed tells of that.
func silent(t *testing.T, text string) (url string, closed <-chan struct{}) {
	gone := make(chan struct{}, 1)
	return server(t, func(c net.Conn, _ *http.Request, _ []byte) {
		fmt.Fprint(c, text)
		_, _ = io.Copy(io.Discard, c)
		gone <- struct{}{}
	}), gone
}

func TestStreamTimeouts(t *testing.T) {
	short := StreamOptions{FirstToken: 50 * time.Millisecond, InterToken: 50 * time.Millisecond}
	for name, c := range map[string]struct {
		text, message string
		o             StreamOptions
	}{
		"no header":       {"", "no token within 50ms", short},
		"no event":        {sseHeader, "no token within 50ms", short},
		"role only":       {sseHeader + `data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}` + "\n\n", "no token within 50ms", short},
		"one token":       {sseHeader + tok, "nothing for 50ms", StreamOptions{FirstToken: time.Hour, InterToken: 50 * time.Millisecond}},
		"no first limit":  {sseHeader + tok, "nothing for 50ms", StreamOptions{FirstToken: -1, InterToken: 50 * time.Millisecond}},
		"refusal in half": {"HTTP/1.1 500 X\r\nContent-Length: 10\r\n\r\nabc", "no token within 50ms", short},
	} {
		url, closed := silent(t, c.text)
		_, _, err := collect(context.Background(), url, chatPath, "{}", c.o)
		if hives.CodeOf(err) != hives.CodeEngineTimeout || !strings.Contains(err.Error(), c.message) {
			t.Errorf("%s: %v", name, err)
		}
		<-closed // the engine is told
	}
}

func TestASlowConsumerIsNotTheEnginesFault(t *testing.T) {
	const limit = 300 * time.Millisecond
	slow := time.NewTimer(2 * limit)
	defer slow.Stop()
	url := sends(t, tok+tok+finish+done)
	_, err := Stream(context.Background(), url, chatPath, []byte("{}"), StreamOptions{InterToken: limit}, func(c Chunk) error {
		if c.Closes {
			<-slow.C // later than the limit allows an engine to be
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestCancelClosesTheConnection(t *testing.T) {
	url, closed := silent(t, sseHeader+tok)
	ctx, cancel := context.WithCancelCause(context.Background())
	why := errors.New("the client left")
	res, err := Stream(ctx, url, chatPath, []byte("{}"), StreamOptions{}, func(Chunk) error { cancel(why); return nil })
	if !errors.Is(err, why) || res.Content != 1 {
		t.Fatal(res, err)
	}
	<-closed
}

func TestAnErrorOfYieldEndsTheStream(t *testing.T) {
	url, closed := silent(t, sseHeader+tok)
	full := errors.New("disk full")
	if _, err := Stream(context.Background(), url, chatPath, []byte("{}"), StreamOptions{}, func(Chunk) error { return full }); !errors.Is(err, full) {
		t.Fatal(err)
	}
	<-closed
}
