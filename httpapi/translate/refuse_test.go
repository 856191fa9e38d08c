package translate

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

// refused are requests that a client must be told about, by the field's name: {} stands for a
// request that is fine, to which the fields are added.
var refused = map[string]map[string]string{
	"responses": {
		`[]`:                           "body",
		`{"model":"m"}`:                "input",
		`{"input":"x"}`:                "model",
		`{} "stream":1`:                "stream",
		`{} "input":[]`:                "input",
		`{} "input":[1]`:               "input[0]",
		`{} "input":[{"content":"x"}]`: "input[0].role",
		`{} "input":[{"role":"user"}]`: "input[0].content",
		`{} "input":[{"role":"tool","content":"x"}]`:                                         "input[0].role",
		`{} "input":[{"role":"user","content":"x","colour":"red"}]`:                          "input[0].colour",
		`{} "input":[{"role":"user","content":[{"type":"input_video"}]}]`:                    "input[0].content[0].type",
		`{} "input":[{"role":"user","content":[{"type":"input_text","text":"a","size":3}]}]`: "input[0].content[0].size",
		`{} "input":[{"role":"user","content":[{"type":"input_image","file_id":"f"}]}]`:      "input[0].content[0].file_id",
		`{} "input":[{"role":"user","content":[{"type":"input_file","file_url":"u"}]}]`:      "input[0].content[0].file_url",
		`{} "input":[{"type":"item_reference","id":"x"}]`:                                    "input[0].type",
		`{} "input":[{"type":"web_search_call"}]`:                                            "input[0].type",
		`{} "input":[{"type":"function_call","name":"f","arguments":"{}"}]`:                  "input[0].call_id",
		`{} "input":[{"type":"reasoning","summary":[],"encrypted_content":"xyz"}]`:           "input[0].encrypted_content",
		`{} "previous_response_id":"resp_1"`:                                                 "previous_response_id",
		`{} "conversation":"conv_1"`:                                                         "conversation",
		`{} "background":true`:                                                               "background",
		`{} "store":true`:                                                                    "store",
		`{} "prompt":{"id":"p"}`:                                                             "prompt",
		`{} "context_management":[{"type":"compaction"}]`:                                    "context_management",
		`{} "truncation":"auto"`:                                                             "truncation",
		`{} "service_tier":"flex"`:                                                           "service_tier",
		`{} "stream_options":{"include_obfuscation":true}`:                                   "stream_options.include_obfuscation",
		`{} "stream_options":{"include_usage":true}`:                                         "stream_options.include_usage",
		`{} "tools":[{"type":"web_search"}]`:                                                 "tools[0].type",
		`{} "tools":[{"type":"function","name":"f"},{"type":"function"}]`:                    "tools[1].name",
		`{} "tools":[{"type":"function","name":"f","defer_loading":true}]`:                   "tools[0].defer_loading",
		`{} "tool_choice":"maybe"`:                                                           "tool_choice",
		`{} "tool_choice":{"type":"allowed_tools","mode":"auto","tools":[]}`:                 "tool_choice.type",
		`{} "text":{"format":{"type":"xml"}}`:                                                "text.format.type",
		`{} "text":{"format":{"type":"json_schema","name":"n"}}`:                             "text.format.schema",
		`{} "reasoning":{"summary":"detailed"}`:                                              "reasoning.summary",
		`{} "include":["file_search_call.results"]`:                                          "include[0]",
		`{} "max_output_tokens":0`:                                                           "max_output_tokens",
		`{} "temperature":3`:                                                                 "temperature",
		`{} "top_p":"hot"`:                                                                   "top_p",
		`{} "top_logprobs":21`:                                                               "top_logprobs",
		`{} "metadata":{"a":1}`:                                                              "metadata",
		`{} "max_tokens":5`:                                                                  "max_tokens",
		`{} "messages":[{"role":"user","content":"x"}]`:                                      "messages",
		`{} "response_format":{"type":"json_object"}`:                                        "response_format",
	},
	"messages": {
		`null`:                         "body",
		`{"model":"m","max_tokens":1}`: "messages",
		`{"model":"m","messages":[{"role":"user","content":"x"}]}`: "max_tokens",
		`{} "max_tokens":0`: "max_tokens",
		`{} "messages":[]`:  "messages",
		`{} "messages":[{"role":"tool","content":"x"}]`:                                                         "messages[0].role",
		`{} "messages":[{"role":"user"}]`:                                                                       "messages[0].content",
		`{} "messages":[{"role":"user","content":[{"type":"tool_use"}]}]`:                                       "messages[0].content[0].type",
		`{} "messages":[{"role":"user","content":[{"type":"text","text":"a","size":3}]}]`:                       "messages[0].content[0].size",
		`{} "messages":[{"role":"user","content":[{"type":"tool_result","content":"x"}]}]`:                      "messages[0].content[0].tool_use_id",
		`{} "messages":[{"role":"user","content":[{"type":"image"}]}]`:                                          "messages[0].content[0].source",
		`{} "messages":[{"role":"user","content":[{"type":"image","source":{"type":"file","file_id":"f"}}]}]`:   "messages[0].content[0].source.type",
		`{} "messages":[{"role":"user","content":[{"type":"document","source":{"type":"base64","data":"x"}}]}]`: "messages[0].content[0].source.type",
		`{} "messages":[{"role":"assistant","content":[{"type":"redacted_thinking","data":"x"}]}]`:              "messages[0].content[0].type",
		`{} "messages":[{"role":"assistant","content":[{"type":"server_tool_use"}]}]`:                           "messages[0].content[0].type",
		`{} "tools":[{"type":"web_search_20250305","name":"web_search"}]`:                                       "tools[0].type",
		`{} "tools":[{"name":"f"}]`:                                               "tools[0].input_schema",
		`{} "tools":[{"name":"f","input_schema":{},"input_examples":[{}]}]`:       "tools[0].input_examples",
		`{} "tool_choice":{"type":"some"}`:                                        "tool_choice.type",
		`{} "tool_choice":{"type":"tool"}`:                                        "tool_choice.name",
		`{} "thinking":{"type":"enabled"}`:                                        "thinking.budget_tokens",
		`{} "thinking":{"type":"hard"}`:                                           "thinking.type",
		`{} "output_config":{"effort":"extreme"}`:                                 "output_config.effort",
		`{} "output_config":{"format":{"type":"xml"}}`:                            "output_config.format.type",
		`{} "context_management":{"edits":[{"type":"clear_tool_uses_20250919"}]}`: "context_management.edits[0].type",
		`{} "container":"c"`:                                                      "container",
		`{} "mcp_servers":[{}]`:                                                   "mcp_servers",
		`{} "service_tier":"batch"`:                                               "service_tier",
		`{} "metadata":{"team":1}`:                                                "metadata.team",
		`{} "stop":["x"]`:                                                         "stop",
		`{} "stop_sequences":[1]`:                                                 "stop_sequences",
		`{} "n":2`:                                                                "n",
	},
}

var fine = map[string]string{
	"responses": `{"model":"m","input":"x"`,
	"messages":  `{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"x"}]`,
}

var read2 = map[string]func([]byte) (*Request, error){"responses": Responses, "messages": Messages}

func TestRefusalsNameTheField(t *testing.T) {
	for api, cases := range refused {
		for body, want := range cases {
			whole := body
			if more, ok := strings.CutPrefix(body, "{} "); ok {
				whole = fine[api] + "," + more + "}"
			}
			_, err := read2[api]([]byte(whole))
			var e *FieldError
			if !errors.As(err, &e) || e.Field != want || e.Message == "" {
				t.Errorf("%s %s: %v, want a word on %s", api, body, err, want)
			}
		}
	}
}

// TestNothingIsAskedForByHarmlessValues: many clients send every field always.
func TestNothingIsAskedForByHarmlessValues(t *testing.T) {
	for api, more := range map[string]string{
		"responses": `,"previous_response_id":null,"store":false,"background":false,"tools":[],"truncation":"disabled",
			"service_tier":"auto","include":[],"metadata":{},"text":{"format":{"type":"text"}},"reasoning":{"effort":null,"summary":null},
			"n":null,"conversation":null,"prompt_cache_retention":"24h","stream_options":null,"max_output_tokens":null,"user":null`,
		"messages": `,"stop_sequences":[],"tools":[],"thinking":{"type":"disabled"},"metadata":{},"container":null,
			"mcp_servers":[],"stream":false,"system":"","context_management":null,"cache_control":{"type":"ephemeral"}`,
	} {
		r, err := read2[api]([]byte(fine[api] + more + "}"))
		if err != nil {
			t.Errorf("%s: %v", api, err)
			continue
		}
		var body map[string]json.RawMessage
		if err := json.Unmarshal(r.Body, &body); err != nil {
			t.Fatal(err)
		}
		delete(body, "max_tokens")
		if len(body) != 2 { // model and messages
			t.Errorf("%s: the engine is told %s", api, r.Body)
		}
	}
}

// TestUnknownFieldsPassThrough: what an engine alone knows goes to it as it came.
func TestUnknownFieldsPassThrough(t *testing.T) {
	for api := range fine {
		r, err := read2[api]([]byte(fine[api] + `,"min_p":0.050,"chat_template_kwargs":{"a":[1e2]},"seed":18446744073709551615}`))
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{`"min_p":0.050`, `"chat_template_kwargs":{"a":[1e2]}`, `"seed":18446744073709551615`} {
			if !strings.Contains(string(r.Body), want) {
				t.Errorf("%s: no %s in %s", api, want, r.Body)
			}
		}
	}
}
