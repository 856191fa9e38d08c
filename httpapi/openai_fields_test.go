package httpapi

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"queen-rbee/fsm"
)

// oddFields are fields of a chat that no queen reads and every engine must get as they came.
const oddFields = `{"zeta":1.50,"model":"builtin/markov","a":1e400,"a":12345678901234567890123,"messages":[{"role":"user","content":"\u00e9\ud83d\ude00<&>","x":1,"x":2}],` +
	`"\u0062":"\u2028","stream_options":{"include_usage":false,"other":[1.0,1E+2]},"alpha":{"b":{},"a":[]},"stream":true,"":null,"response_format":{"type":"grammar","x":-0}}`

// TestOpenAIBodyIsTheEngines: order, numbers beyond 64 bits, escapes and fields given twice reach
// the hive as the client wrote them, whatever of them is read here.
func TestOpenAIBodyIsTheEngines(t *testing.T) {
	w := newWorld(t)
	w.ready()
	for _, body := range []string{oddFields, " {\n\t\"model\" : \"builtin/markov\", \"messages\":[ {\"role\":\"user\"} ] ,\"x\":1e-400 }\r\n"} {
		read := make(chan int, 1)
		go func() {
			status, _, _ := w.read("POST", "/v1/chat/completions", body)
			read <- status
		}()
		r := w.hive.next()
		var want bytes.Buffer
		if err := json.Compact(&want, []byte(body)); err != nil {
			t.Fatal(err)
		}
		if got := string(r.Req.Body); got != want.String() {
			t.Errorf("the hive gets\n%s\nwant\n%s", got, want.String())
		}
		r.end(completed(0), "data: {}\n\n")
		if status := <-read; status != http.StatusOK {
			t.Errorf("status %d", status)
		}
	}
}

// TestOpenAIFields: a value that is not as the API documents it is refused with its name, where
// SDKs look for it, and nothing is accepted; what only some engines know is theirs to judge.
func TestOpenAIFields(t *testing.T) {
	w := newWorld(t)
	w.ready()
	wrong := map[string][]string{ // field: values
		"model":             {`5`, `["x"]`, `{}`, `true`},
		"stream":            {`"yes"`, `1`, `[]`},
		"max_tokens":        {`"many"`, `0`, `-1`, `1.5`, `1e3`, `16777217`, `true`, `[5]`, `9223372036854775808`},
		"n":                 {`0`, `129`, `"1"`},
		"temperature":       {`"hot"`, `-0.1`, `2.01`, `1e400`, `false`, `{}`},
		"top_p":             {`1.1`, `-1`, `"0.5"`},
		"frequency_penalty": {`2.1`, `-2.1`, `"x"`},
		"presence_penalty":  {`3`, `[]`},
		"stop":              {`5`, `{}`, `true`, `[5]`, `[null]`, `["` + strings.Repeat(`","`, 16) + `"]`},
		"seed":              {`"7"`, `1.5`, `9223372036854775808`},
		"logit_bias":        {`[]`, `5`},
		"user":              {`5`, `{}`},
		"stream_options":    {`true`, `[]`, `{"include_usage":"yes"}`},
	}
	chat := map[string][]string{
		"messages":              {`"x"`, `{}`, `[]`, `[null]`, `[{"content":"x"}]`, `[{"role":""}]`, `[{"role":5}]`, `[{"role":"user","content":5}]`, `[{"role":"user","content":[{"text":"x"}]}]`},
		"max_completion_tokens": {`"many"`, `0`},
		"logprobs":              {`5`, `"true"`},
		"top_logprobs":          {`21`, `-1`, `true`},
		"response_format":       {`"json"`, `{}`, `{"type":5}`, `{"type":"json_schema","json_schema":"x"}`},
		"tools":                 {`{}`, `[5]`, `[{}]`, `[{"type":"function","function":{}}]`, `[{"type":"function","function":{"name":""}}]`, `[{"type":"function","function":{"name":"f","parameters":"x"}}]`},
		"tool_choice":           {`5`, `[]`},
		"parallel_tool_calls":   {`"no"`},
		"functions":             {`[{}]`},
		"function_call":         {`true`},
		"modalities":            {`"text"`, `[5]`},
		"reasoning_effort":      {`1`},
		"metadata":              {`[]`},
	}
	completion := map[string][]string{
		"prompt": {`5`, `{}`, `[]`, `[null]`, `[{}]`}, "echo": {`1`}, "suffix": {`5`}, "best_of": {`0`}, "logprobs": {`true`, `21`},
	}
	before := w.queen.View().Meta().Index
	refused := func(path, good, name, value string) {
		fields := map[string]json.RawMessage{}
		if err := json.Unmarshal([]byte(good), &fields); err != nil {
			t.Fatal(err)
		}
		fields[name] = json.RawMessage(value)
		body := "{"
		for k, v := range fields {
			body += `"` + k + `":` + string(v) + `,`
		}
		status, text, h := w.read("POST", path, strings.TrimSuffix(body, ",")+"}")
		var e openAIError
		if err := json.Unmarshal([]byte(text), &e); err != nil || status != 400 || e.Error.Code != fsm.CodeInvalid || e.Error.Type != "invalid_request_error" ||
			e.Error.Param == nil || !strings.HasPrefix(*e.Error.Param, name) || !strings.HasPrefix(e.Error.Message, *e.Error.Param+": ") {
			t.Errorf("%s %s:%s: %d %s", path, name, value, status, text)
		}
		if id := h.Get("X-Request-Id"); id == "" || id != h.Get(headerRequest) {
			t.Errorf("X-Request-Id is %q", id)
		}
	}
	for path, all := range map[string][]map[string][]string{"/v1/chat/completions": {wrong, chat}, "/v1/completions": {wrong, completion}} {
		good := map[string]string{
			"/v1/chat/completions": `{"model":"builtin/markov","messages":[{"role":"user","content":"x"}]}`, "/v1/completions": `{"model":"builtin/markov","prompt":"x"}`,
		}[path]
		for _, fields := range all {
			for name, values := range fields {
				for _, v := range values {
					refused(path, good, name, v)
				}
			}
		}
	}
	refused("/v1/chat/completions", `{"model":"builtin/markov","messages":[{"role":"user"}],"max_completion_tokens":5}`, "max_tokens", "5")
	refused("/v1/chat/completions", `{"model":"builtin/markov","messages":[{"role":"user"}]}`, "messages", "null")
	refused("/v1/completions", `{"model":"builtin/markov"}`, "prompt", "null")
	if after := w.queen.View().Meta().Index; after != before {
		t.Errorf("something was accepted: index %d, was %d", after, before)
	}
}

// TestOpenAIFieldsTaken: everything that the API documents, null for every field, and what only
// engines know goes through.
func TestOpenAIFieldsTaken(t *testing.T) {
	nulls := ""
	for name := range chatFields {
		if name != "model" && name != "messages" {
			nulls += `,"` + name + `":null`
		}
	}
	for _, more := range []string{
		nulls, `,"max_tokens":null,"max_completion_tokens":5`, `,"stop":[]`, `,"stop":"x"`, `,"temperature":0,"top_p":0,"seed":-1`, `,"temperature":2.0,"top_p":1.0`,
		`,"tools":[{"type":"function","function":{"name":"f","parameters":{},"strict":true}},{"type":"web_search"}],"tool_choice":{"type":"function","function":{"name":"f"}}`,
		`,"response_format":{"type":"json_schema","json_schema":{"name":"x"}},"reasoning_effort":"utmost","logit_bias":{"5":-100},"user":""`,
		`,"top_k":40,"min_p":"anything","chat_template_kwargs":{"a":[]},"stream_options":{}`,
		`,"messages":[{"role":"assistant","content":null,"tool_calls":[]},{"role":"nobody","content":[{"type":"text","text":"x"},{"type":"image_url"}]}]`,
	} {
		body := `{"model":"m","messages":[{"role":"user","content":"x"}]` + more + `}`
		if strings.Contains(more, `"messages"`) {
			body = `{"model":"m"` + more + `}`
		}
		if _, err := readOpenAI([]byte(body), chatFields, "messages"); err != nil {
			t.Errorf("%s: %v", more, err)
		}
	}
	for _, p := range []string{`""`, `"x"`, `["a","b"]`, `[1,2]`, `[[1],[2]]`} {
		if _, err := readOpenAI([]byte(`{"model":"m","max_tokens":5,"max_completion_tokens":5,"prompt":`+p+`}`), completionFields, "prompt"); err != nil {
			t.Errorf("prompt %s: %v", p, err)
		}
	}
}

// TestOpenAIContentType: a body that says it is no JSON is not read as such; what clients say
// of JSON is understood.
func TestOpenAIContentType(t *testing.T) {
	for kind, ok := range map[string]bool{
		"": true, "application/json": true, "Application/JSON; charset=UTF-8": true, "application/vnd.api+json": true, "application/x-www-form-urlencoded": true,
		"multipart/form-data; boundary=x": false, "application/xml": false, "application/json; charset=utf-16": false, "json": false, ";;;=": false, "audio/wav": false,
	} {
		err := saysJSON(kind)
		if f := failureOf(err); (err == nil) != ok || err != nil && (f.status != http.StatusUnsupportedMediaType || f.param != "Content-Type") {
			t.Errorf("%q: %v", kind, err)
		}
	}
	w := newWorld(t)
	w.ready()
	addr := w.listen()
	conn := dial(t, addr)
	conn.say(whole("POST", "/v1/chat/completions", chat, "Content-Type", "multipart/form-data; boundary=x"))
	if resp, body := conn.answer(); resp.StatusCode != 415 || !strings.Contains(body, `"code":"unsupported_media_type"`) {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
}
