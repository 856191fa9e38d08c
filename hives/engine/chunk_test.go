package engine

import (
	"encoding/json"
	"strings"
	"testing"

	"queen-rbee/hives"
)

func TestClassifier(t *testing.T) {
	for _, c := range []struct {
		name, raw       string
		content, closes bool
		text            string
	}{
		{"role", `{"choices":[{"index":0,"delta":{"role":"assistant","content":null}}]}`, false, false, ""},
		{"empty role", `{"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}`, false, false, ""},
		{"text", `{"choices":[{"index":0,"delta":{"content":" \u00e9"}}]}`, true, false, " é"},
		{"text of another choice", `{"choices":[{"index":1,"delta":{"content":"b"}}]}`, true, false, ""},
		{"tool call", `{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{"}}]}}]}`, true, false, ""},
		{"no tool calls", `{"choices":[{"index":0,"delta":{"tool_calls":[ ]}}]}`, false, false, ""},
		{"function call", `{"choices":[{"index":0,"delta":{"function_call":{"name":"f"}}}]}`, true, false, ""},
		{"reasoning", `{"choices":[{"index":0,"delta":{"reasoning_content":"hm"}}]}`, true, false, ""},
		{"refusal", `{"choices":[{"index":0,"delta":{"refusal":"no"}}]}`, true, false, ""},
		{"logprobs alone", `{"choices":[{"index":0,"delta":{},"logprobs":{"content":[{"token":"a"}]}}]}`, true, false, ""},
		{"empty logprobs", `{"choices":[{"index":0,"delta":{},"logprobs":{"content":[],"refusal":null}}]}`, false, false, ""},
		{"null logprobs", `{"choices":[{"index":0,"text":"","logprobs":null}]}`, false, false, ""},
		{"legacy", `{"choices":[{"text":"a","index":0,"logprobs":null,"finish_reason":null}]}`, true, false, "a"},
		{"null delta", `{"choices":[{"index":0,"delta":null}]}`, false, false, ""},
		{"empty reason", `{"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":""}]}`, true, false, "a"},
		{"one of two closes", `{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}`, false, false, ""},
		{"both close", `{"choices":[{"index":0,"delta":{},"finish_reason":"stop"},{"index":1,"delta":{},"finish_reason":"stop"}]}`, false, true, ""},
		{"text in the closing chunk", `{"choices":[{"index":1,"text":"x","finish_reason":"stop"},{"index":0,"text":"y","finish_reason":"length"}]}`, true, true, "y"},
		{"usage", `{"choices":[],"usage":{"prompt_tokens":1}}`, false, false, ""},
		{"nothing", `{}`, false, false, ""},
	} {
		got, err := newClassifier(2).chunk([]byte(c.raw))
		if err != nil || got.Content != c.content || got.Closes != c.closes || got.Text != c.text {
			t.Errorf("%s: %+v, %v", c.name, got, err)
		}
		if got.UsageOnly != (c.name == "usage") {
			t.Errorf("%s: usage only %v", c.name, got.UsageOnly)
		}
	}
}

func TestTally(t *testing.T) {
	for name, c := range map[string]struct {
		raw  []string
		want hives.Usage
	}{
		"counted":  {[]string{`{"choices":[{"delta":{"content":"a"}}]}`, `{"choices":[{"delta":{"content":"b"}}]}`}, hives.Usage{CompletionTokens: 2, TotalTokens: 2}},
		"given":    {[]string{`{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}}`}, hives.Usage{PromptTokens: 3, CompletionTokens: 4, TotalTokens: 7}},
		"last":     {[]string{`{"usage":{"completion_tokens":1}}`, `{"usage":null}`, `{"usage":{"completion_tokens":2}}`}, hives.Usage{CompletionTokens: 2, TotalTokens: 2}},
		"no total": {[]string{`{"usage":{"prompt_tokens":3,"completion_tokens":4}}`}, hives.Usage{PromptTokens: 3, CompletionTokens: 4, TotalTokens: 7}},
		"nonsense": {[]string{`{"usage":{"prompt_tokens":-3,"completion_tokens":-4}}`}, hives.Usage{}},
	} {
		cl := newClassifier(1)
		for _, raw := range c.raw {
			if _, err := cl.chunk([]byte(raw)); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if got := cl.tally(); got != c.want {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func FuzzClassifier(f *testing.F) {
	for _, name := range streams(f) {
		f.Add(load(f, name).sse(f), uint8(2))
	}
	f.Add([]byte(`data: {"error":{"message":5},"choices":[{"index":9}]}`+"\n\n"), uint8(1))
	f.Fuzz(func(t *testing.T, in []byte, choices uint8) {
		n := int(choices)%maxChoices + 1
		cl, closed := newClassifier(n), 0
		p := newEventReader(strings.NewReader(string(in)))
		for {
			e, err := p.next()
			if err != nil {
				break
			}
			c, err := cl.chunk(e.data)
			if err != nil {
				if hives.CodeOf(err) != hives.CodeEngineError || len(err.Error()) > 4000 {
					t.Fatalf("%q: %v", e.data, err)
				}
				continue
			}
			if !json.Valid(c.Raw) || c.Text != "" && !c.Content || closed > 0 && (c.Content || c.Closes) {
				t.Fatalf("%q: %+v after %d", e.data, c, closed)
			}
			if c.Closes {
				closed++
			}
		}
		if (closed == 1) != (cl.left == 0) {
			t.Fatalf("%d closed, %d left", closed, cl.left)
		}
		u := cl.tally()
		if u.PromptTokens < 0 || u.CompletionTokens < 0 {
			t.Fatal(u)
		}
	})
}
