package httpapi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"queen-rbee/fsm"
	"queen-rbee/hives"
)

const (
	askResponse = `{"model":"builtin/markov","input":"hi","stream":true,"prompt_cache_key":"c1"}`
	askMessage  = `{"model":"builtin/markov","max_tokens":8,"messages":[{"role":"user","content":"hi"}],"stream":true}`
)

// told are the chunks of a run with a text and a tool call, record by record.
var toldRecords = []string{
	`data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}` + "\n\n" + `data: {"choices":[{"index":0,"delta":{"content":"a"}}]}`,
	`data: {"choices":[{"index":0,"delta":{"content":"b"}}]}`,
	`data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"c1","function":{"name":"f","arguments":"{\"x\""}}]}}]}`,
	`data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":":1}"}}]}}]}`,
}

const toldEnd = `data: {"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}` + "\n\n" +
	`data: {"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":4,"total_tokens":13,"prompt_tokens_details":{"cached_tokens":5}}}` + "\n\n" +
	"data: [DONE]\nid: 1.6\n\n"

// records sends those from..to; 1 is the start.
func (r *playedRead) records(from, to int) {
	for n := from; n <= to; n++ {
		if n == 1 {
			r.send("id: 1.1\n")
			continue
		}
		r.send("%s\nid: 1.%d\n\n", toldRecords[n-2], n)
	}
}

// types reads a stream to its close: the types of its events, which their names are, too, and the data of the last.
func (s *streamOf) types() (types []string, last string) {
	s.t.Helper()
	for {
		f, ok := s.next()
		if !ok {
			return types, last
		}
		var e struct{ Type string }
		if err := json.Unmarshal([]byte(f.data), &e); err != nil || e.Type != f.event || f.id != "" {
			s.t.Fatalf("%v: frame %+v", err, f)
		}
		types, last = append(types, e.Type), f.data
	}
}

var toldTypes = map[string][]string{
	"/v1/responses": {
		"response.created", "response.in_progress",
		"response.output_item.added", "response.content_part.added", "response.output_text.delta", "response.output_text.delta",
		"response.output_text.done", "response.content_part.done", "response.output_item.done",
		"response.output_item.added", "response.function_call_arguments.delta", "response.function_call_arguments.delta",
		"response.function_call_arguments.done", "response.output_item.done", "response.completed",
	},
	"/v1/messages": {
		"message_start", "content_block_start", "content_block_delta", "content_block_delta", "content_block_stop",
		"content_block_start", "content_block_delta", "content_block_delta", "content_block_stop", "message_delta", "message_stop",
	},
}

var asks = map[string]string{"/v1/responses": askResponse, "/v1/messages": askMessage}

// TestTranslatedStreamSurvivesItsHive: wherever the connection to the hive breaks, a client of
// another API gets each event once, and the end only when the state has it.
func TestTranslatedStreamSurvivesItsHive(t *testing.T) {
	w := newWorld(t)
	w.ready()
	for path, ask := range asks {
		for breaks := range len(toldRecords) + 2 {
			t.Run(fmt.Sprintf("%s after %d", path, breaks), func(t *testing.T) {
				answered := w.later("POST", path, ask)
				r := w.hive.next()
				if r.Req.API != hives.APIOpenAI || r.Req.Path != "/v1/chat/completions" || !strings.Contains(string(r.Req.Body), `"messages":[{"role":"user","content":"hi"}]`) ||
					!strings.Contains(string(r.Req.Body), `"include_usage":true`) {
					t.Errorf("the hive is asked for %+v", r.Req)
				}
				if j, ok := w.queen.View().Job(r.Req.JobID); !ok || (j.Session == "c1") != (path == "/v1/responses") {
					t.Errorf("the session is %q", j.Session)
				}
				r.records(1, breaks)
				if breaks < len(toldRecords)+1 {
					r.send("data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"half a record") // and no more of it
				}
				r.breakOff()
				r = w.hive.next()
				if r.Req.From != uint64(breaks) {
					t.Errorf("attached again from %d, want %d", r.Req.From, breaks)
				}
				r.records(breaks+1, len(toldRecords)+1)
				r.end(completed(5), toldEnd)
				s := answered()
				types, last := s.types()
				if !slices.Equal(types, toldTypes[path]) {
					t.Errorf("got %s", strings.Join(types, "\n"))
				}
				if path == "/v1/responses" && (!strings.Contains(last, `"id":"resp_`+s.resp.Header.Get(headerJob)+`"`) || !strings.Contains(last, `"cached_tokens":5`)) {
					t.Errorf("the end is %s", last)
				}
			})
		}
	}
}

// TestTranslatedWholeAnswers: without a stream the answer is one body, and the hive folds it.
func TestTranslatedWholeAnswers(t *testing.T) {
	w := newWorld(t)
	w.ready()
	for path, want := range map[string]string{
		"/v1/responses": `"content":[{"type":"output_text","text":"Hello"`,
		"/v1/messages":  `"content":[{"type":"text","text":"Hello"}],"stop_reason":"end_turn"`,
	} {
		type answer struct {
			status int
			body   string
			head   http.Header
		}
		got := make(chan answer, 1)
		go func() {
			status, body, head := w.read("POST", path, strings.Replace(asks[path], `,"stream":true`, "", 1))
			got <- answer{status, body, head}
		}()
		r := w.hive.next()
		if !r.Req.Whole || strings.Contains(string(r.Req.Body), "stream") {
			t.Errorf("%s: the hive is asked for %+v", path, r.Req)
		}
		r.end(completed(2), `data: {"choices":[{"index":0,"message":{"role":"assistant","content":"Hello"},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":1}}`+"\n\n")
		a := <-got
		if a.status != http.StatusOK || !strings.Contains(a.body, want) || !strings.Contains(a.body, a.head.Get(headerJob)) {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}
}

// TestTranslatedErrors have each API's own shape and status.
func TestTranslatedErrors(t *testing.T) {
	w := newWorld(t)
	bad := func(path, with string) string { return strings.TrimSuffix(asks[path], "}") + "," + with + "}" }
	for _, tc := range []struct {
		path, body string
		headers    []string
		status     int
		says       string
	}{
		{"/v1/responses", askResponse, []string{"Authorization", "Bearer no"}, 401, `"code":"invalid_api_key"`},
		{"/v1/messages", askMessage, []string{"Authorization", "Bearer no"}, 401, `{"type":"error","error":{"type":"authentication_error"`},
		{"/v1/messages", askMessage, []string{"Authorization", "", "X-Api-Key", "no"}, 401, `"type":"authentication_error"`},
		{"/v1/responses", bad("/v1/responses", `"previous_response_id":"resp_1"`), nil, 400, `"param":"previous_response_id"`},
		{"/v1/messages", bad("/v1/messages", `"container":"c"`), nil, 400, `"type":"invalid_request_error","message":"container: `},
		{"/v1/messages", `{"model":`, nil, 400, `"type":"invalid_request_error"`},
		{"/v1/messages", bad("/v1/messages", `"x":"`+strings.Repeat("x", 64<<10)+`"`), nil, 413, `"type":"request_too_large"`},
		{"/v1/messages/count_tokens", askMessage, nil, 404, `{"type":"error","error":{"type":"not_found_error"`},
		{"/v1/responses", askResponse, []string{"X-Rbee-Deadline", "soon"}, 400, `"param":"X-Rbee-Deadline"`},
		{"/v1/messages", strings.Replace(askMessage, "builtin/markov", "gone", 1), nil, 404, `"type":"not_found_error"`},
		{"/v1/responses", strings.Replace(askResponse, "builtin/markov", "gone", 1), nil, 404, `"code":"model_not_found"`},
	} {
		status, body, head := w.read("POST", tc.path, tc.body, tc.headers...)
		if status != tc.status || !strings.Contains(body, tc.says) {
			t.Errorf("%s %.100s %v: %d %s", tc.path, tc.body, tc.headers, status, body)
		}
		if id := head.Get(headerRequest); speaksAnthropic(tc.path) && (head.Get("Request-Id") != id || !strings.Contains(body, id)) {
			t.Errorf("%s: the request %q is named in %v %s", tc.path, id, head, body)
		}
	}
	w.queen.mu.Lock()
	w.queen.down = fsm.Errorf(fsm.CodeNoLeader, "no leader in this test")
	w.queen.mu.Unlock()
	if status, body, head := w.read("POST", "/v1/messages", askMessage); status != 529 || !strings.Contains(body, "overloaded_error") || head.Get("Retry-After") == "" {
		t.Errorf("without a leader: %d %v %s", status, head, body)
	}
	if status, body, head := w.read("POST", "/v1/responses", askResponse); status != 503 || !strings.Contains(body, "no_leader") || head.Get("Retry-After") == "" {
		t.Errorf("without a leader: %d %v %s", status, head, body)
	}
}

// TestTranslatedRunsThatFail tell it by their status before anything was said, and after that by
// the last event.
func TestTranslatedRunsThatFail(t *testing.T) {
	w := newWorld(t)
	w.ready()
	refused := hives.Terminal{Outcome: hives.Failed, Events: 1, Error: hives.Errorf(hives.CodeInvalid, "no tools here")}
	broken := hives.Terminal{Outcome: hives.Failed, Events: 2, Error: hives.Errorf(fsm.CodeWorkerFailed, "the engine is gone")}
	for path, names := range map[string][2]string{
		"/v1/responses": {`"type":"invalid_request_error"`, `response.failed {"type":"response.failed","sequence_number":5`},
		"/v1/messages":  {`{"type":"error","error":{"type":"invalid_request_error"`, `error {"type":"error","error":{"type":"api_error"`},
	} {
		type answer struct {
			status int
			body   string
		}
		got := make(chan answer, 1)
		go func() {
			status, body, _ := w.read("POST", path, asks[path])
			got <- answer{status, body}
		}()
		r := w.hive.next()
		r.records(1, 1)
		r.end(refused, "")
		if a := <-got; a.status != http.StatusBadRequest || !strings.Contains(a.body, names[0]) || !strings.Contains(a.body, "no tools here") {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
		answered := w.later("POST", path, asks[path])
		r = w.hive.next()
		r.records(1, 2)
		r.end(broken, "")
		s := answered()
		var last frame
		for f, ok := s.next(); ok; f, ok = s.next() {
			last = f
		}
		if said := last.event + " " + last.data; !strings.HasPrefix(said, names[1]) || !strings.Contains(said, "the engine is gone") {
			t.Errorf("%s: the last event is %s", path, said)
		}
	}
}

// TestTranslatedAnswerThatCannotBeTold ends its stream, and gives its run up.
func TestTranslatedAnswerThatCannotBeTold(t *testing.T) {
	w := newWorld(t)
	w.ready()
	answered := w.later("POST", "/v1/messages", askMessage, headerGrace, "0s")
	r := w.hive.next()
	call := `data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":%d,"id":"c%d","function":{"name":"f","arguments":"{"}}]}}]}` + "\nid: 1.%d\n\n"
	r.send("id: 1.1\n"+call+call+call, 0, 0, 2, 1, 1, 3, 0, 0, 4)
	s := answered()
	var last frame
	for f, ok := s.next(); ok; f, ok = s.next() {
		last = f
	}
	if last.event != "error" || !strings.Contains(last.data, "went back to tool call 0") {
		t.Errorf("the last event is %+v", last)
	}
	if l := <-w.hive.leaves; l.GraceMillis != 0 {
		t.Errorf("the run waits %+v", l)
	}
}

// TestTranslatedStreamsStayAwake: while a job waits its client gets what its API has for that, and
// never before the stream's first event.
func TestTranslatedStreamsStayAwake(t *testing.T) {
	w := newWorld(t)
	w.api.keepAlive = time.Millisecond
	w.register()
	for path, want := range map[string][2]string{
		"/v1/responses": {"event: response.created", ": keep-alive"},
		"/v1/messages":  {"event: message_start", "event: ping"},
	} {
		s := w.stream("POST", path, asks[path])
		first := ""
		for s.sc.Scan() && s.sc.Text() != want[1] {
			if line := s.sc.Text(); first == "" && !strings.HasPrefix(line, "retry: ") {
				first = line
			}
		}
		if first != want[0] {
			t.Errorf("%s begins with %q", path, first)
		}
		_ = s.resp.Body.Close()
	}
}

// TestTranslatedRetryIsInvisible: an attempt that is lost before its first chunk is made up for.
func TestTranslatedRetryIsInvisible(t *testing.T) {
	w := newWorld(t)
	w.ready()
	for path, ask := range asks {
		answered := w.later("POST", path, ask)
		r := w.hive.next()
		r.records(1, 1)
		r.end(hives.Terminal{Outcome: hives.Failed, Events: 1, Error: hives.Errorf(hives.CodeWorkerDied, "killed")}, "")
		r = w.hive.next()
		if r.Req.Attempt != 2 || r.Req.From != 0 {
			t.Errorf("%s: second attempt %+v", path, r.Req)
		}
		r.records(1, len(toldRecords)+1)
		r.end(completed(5), toldEnd)
		if types, _ := answered().types(); !slices.Equal(types, toldTypes[path]) {
			t.Errorf("got %s", strings.Join(types, "\n"))
		}
	}
}
