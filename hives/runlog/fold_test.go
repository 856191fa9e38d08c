package runlog

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"queen-rbee/hives"
)

// folded is the whole answer of a run in OpenAI form.
func folded(t *testing.T, l *Log) map[string]any {
	t.Helper()
	fs := parseFrames([]byte(rendered(t, l, Form{hives.APIOpenAI, true}, 0)))
	if len(fs) != 2 || fs[0].comment == "" {
		t.Fatalf("%+v", fs)
	}
	return object(t, fs[1].data)
}

func object(t *testing.T, s string) map[string]any {
	t.Helper()
	var v map[string]any
	must(t, json.Unmarshal([]byte(s), &v))
	return v
}

// The fold of a stream has what the engine itself answers without streaming.
func TestFoldAgainstWholeAnswers(t *testing.T) {
	tests := []struct {
		stream, whole, path string
		usage               bool // the stream has usage
		same                bool // both were asked the same
	}{
		{"chat-stream", "chat-whole", "/v1/chat/completions", false, true},
		{"chat-stream-usage", "chat-whole", "/v1/chat/completions", true, false},
		{"chat-n2-stream", "chat-n2", "/v1/chat/completions", false, false},
		{"completions-stream", "completions-whole", "/v1/completions", true, true},
	}
	for _, tt := range tests {
		t.Run(tt.stream, func(t *testing.T) {
			got := folded(t, run(t, Meta{Path: tt.path}, transcript(t, tt.stream), complete()))
			b, err := os.ReadFile(filepath.Join("..", "..", "testdata", "transcripts", tt.whole+".json"))
			must(t, err)
			want := object(t, string(b))
			if !tt.usage {
				if n := got["usage"].(map[string]any)["total_tokens"]; n != 7.0 {
					t.Errorf("usage is not that of the end: %v", got["usage"])
				}
				delete(got, "usage")
				delete(want, "usage")
			}
			if shape(got) != shape(want) {
				t.Errorf("shape\ngot  %s\nwant %s", shape(got), shape(want))
			}
			for _, key := range []string{"id", "created", "timings", "usage"} { // differ from run to run
				delete(got, key)
				delete(want, key)
			}
			if tt.same && !reflect.DeepEqual(got, want) {
				t.Errorf("got  %v\nwant %v", got, want)
			}
		})
	}
}

// shape is a value with its leaves left out.
func shape(v any) string {
	b, _ := json.Marshal(skeleton(v))
	return string(b)
}

func skeleton(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for key, e := range v {
			out[key] = skeleton(e)
		}
		return out
	case []any:
		out := []any{}
		for _, e := range v {
			out = append(out, skeleton(e))
		}
		return out
	}
	return nil
}

func TestFoldChoices(t *testing.T) {
	d := func(choice string) string { return `{"choices":[` + choice + `]}` }
	tests := []struct {
		name   string
		chunks []string
		want   string // choices
	}{
		{
			"tool calls in fragments, interleaved",
			[]string{
				d(`{"index":0,"delta":{"role":"assistant","content":null,"tool_calls":[{"index":0,"id":"c1","type":"function","function":{"name":"weather","arguments":""}}]}}`),
				d(`{"index":0,"delta":{"tool_calls":[{"index":1,"id":"c2","type":"function","function":{"name":"time","arguments":"{"}}]}}`),
				d(`{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"city\":"}},{"index":1,"function":{"arguments":"}"}}]}}`),
				d(`{"index":0,"delta":{"tool_calls":[{"index":0,"id":"","function":{"name":"weather","arguments":"\"Paris\"}"}}]}}`),
				d(`{"index":0,"delta":{},"finish_reason":"tool_calls"}`),
			},
			`[{"index":0,"message":{"role":"assistant","content":null,"tool_calls":[
				{"id":"c1","type":"function","function":{"name":"weather","arguments":"{\"city\":\"Paris\"}"}},
				{"id":"c2","type":"function","function":{"name":"time","arguments":"{}"}}]},"finish_reason":"tool_calls"}]`,
		}, {
			"tool calls without index",
			[]string{
				d(`{"index":0,"delta":{"tool_calls":[{"id":"a","function":{"name":"f","arguments":"1"}},{"id":"b","function":{"name":"g","arguments":"2"}}]}}`),
				d(`{"index":0,"delta":{"tool_calls":[{"function":{"arguments":"3"}}]},"finish_reason":"tool_calls"}`),
			},
			`[{"index":0,"message":{"role":"assistant","content":null,"tool_calls":[
				{"id":"a","function":{"name":"f","arguments":"1"}},{"id":"b","function":{"name":"g","arguments":"23"}}]},"finish_reason":"tool_calls"}]`,
		}, {
			"reasoning, refusal, strings and other things of the engine's own",
			[]string{
				d(`{"index":0,"delta":{"role":"assistant","reasoning_content":"th","x_note":"a","x_n":1}}`),
				d(`{"index":0,"delta":{"role":"assistant","reasoning_content":"ink","refusal":null,"x_note":"b","x_n":2}}`),
				d(`{"index":0,"delta":{"content":"yes","refusal":"n"},"stop_reason":null}`),
				d(`{"index":0,"delta":{"refusal":"o"},"finish_reason":"stop","stop_reason":7}`),
			},
			`[{"index":0,"message":{"role":"assistant","content":"yes","reasoning_content":"think","refusal":"no","x_note":"ab","x_n":2},"finish_reason":"stop","stop_reason":7}]`,
		}, {
			"logprobs are concatenated, choices sorted",
			[]string{
				d(`{"index":1,"delta":{"content":"b"},"logprobs":null}`),
				d(`{"index":0,"delta":{"content":"a"},"logprobs":{"content":[{"token":"a"}],"refusal":null}}`),
				d(`{"index":0,"delta":{"content":"c"},"logprobs":{"content":[ {"token":"c"} , {"token":"d"} ],"refusal":null}}`),
				d(`{"index":0,"delta":{},"logprobs":{"content":[]},"finish_reason":"stop"},{"index":1,"delta":{},"finish_reason":"length"}`),
			},
			`[{"index":0,"message":{"role":"assistant","content":"ac"},"logprobs":{"content":[{"token":"a"},{"token":"c"},{"token":"d"}],"refusal":null},"finish_reason":"stop"},
			  {"index":1,"message":{"role":"assistant","content":"b"},"logprobs":null,"finish_reason":"length"}]`,
		}, {
			"text completion with its logprobs, a character cut in half",
			[]string{
				d(`{"index":0,"text":"\ud83d","logprobs":{"tokens":["x"],"text_offset":[0]},"finish_reason":null}`),
				d(`{"index":0,"text":"\ude00","logprobs":{"tokens":["y"],"text_offset":[4]},"finish_reason":"stop"}`),
			},
			`[{"index":0,"text":"😀","logprobs":{"tokens":["x","y"],"text_offset":[0,4]},"finish_reason":"stop"}]`,
		}, {
			"function_call of the older API",
			[]string{d(`{"index":0,"delta":{"function_call":{"name":"f","arguments":"{"}}}`), d(`{"index":0,"delta":{"function_call":{"arguments":"}"}},"finish_reason":"function_call"}`)},
			`[{"index":0,"message":{"role":"assistant","content":null,"function_call":{"name":"f","arguments":"{}"}},"finish_reason":"function_call"}]`,
		}, {
			"nothing said, no reason given",
			[]string{d(`{"index":0,"delta":{"role":"assistant","content":null}}`)},
			`[{"index":0,"message":{"role":"assistant","content":""},"finish_reason":"stop"}]`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := run(t, Meta{Path: "/v1/chat/completions"}, tt.chunks, complete())
			got := folded(t, l)["choices"]
			want := object(t, `{"c":`+tt.want+`}`)["c"]
			if !reflect.DeepEqual(got, want) {
				t.Errorf("\ngot  %v\nwant %v", got, want)
			}
		})
	}
}

func TestFoldTop(t *testing.T) {
	chunks := []string{
		`{"id":"x","object":"chat.completion.chunk","created":9007199254740993,"model":"m","choices":[{"index":0,"delta":{"content":"a"}}],"usage":null,"timings":{"n":1}}`,
		`{"id":"y","object":"chat.completion.chunk","created":2,"model":"m","choices":[],"usage":{"total_tokens":9},"timings":{"n":2},"service_tier":null}`,
	}
	l := run(t, Meta{Path: "/v1/chat/completions"}, chunks, complete())
	out := rendered(t, l, Form{hives.APIOpenAI, true}, 0)
	want := `data: {"id":"x","object":"chat.completion","created":9007199254740993,"model":"m","choices":[{"index":0,` +
		`"message":{"role":"assistant","content":"a"},"finish_reason":"stop"}],"usage":{"total_tokens":9},"service_tier":null,"timings":{"n":2}}` + "\n\n"
	if !strings.HasSuffix(out, want) {
		t.Errorf("got\n%swant\n%s", out, want)
	}

	list := `{"object":"list","data":[{"embedding":[0.5],"index":0}],"model":"e","usage":{"prompt_tokens":1,"total_tokens":1}}`
	l = create(t, newStore(t, Limits{}), Meta{Path: "/v1/embeddings"})
	must(t, l.Start())
	must(t, l.Append(json.RawMessage(list), true, "", true))
	_, err := l.End(complete())
	must(t, err)
	if got := folded(t, l); !reflect.DeepEqual(got, object(t, list)) {
		t.Errorf("an answer in one piece came out as %v", got)
	}

	l = run(t, Meta{Path: "/v1/completions"}, nil, complete())
	if got := folded(t, l); got["object"] != "text_completion" || got["usage"].(map[string]any)["total_tokens"] != 7.0 {
		t.Errorf("a run without chunks: %v", got)
	}
}

// The fold takes any JSON and always gives an object on one line.
func FuzzFold(f *testing.F) {
	for _, name := range []string{"chat-stream-usage", "chat-n2-stream", "chat-logprobs-stream", "completions-stream"} {
		f.Add(strings.Join(transcript(f, name)[:4], "\n"))
	}
	f.Add(`{"choices":[{"index":null,"delta":{"tool_calls":[null,{"id":7,"index":"x","function":[]}],"function_call":3,"content":[1]},"logprobs":[]}]}`)
	f.Add("[]\n7\nnull\n{\"choices\":{}}\n{\"usage\":\"no\",\"id\":{}}")
	f.Fuzz(func(t *testing.T, in string) {
		fold := newFold(Meta{Model: "m", Path: "/v1/chat/completions"})
		for line := range strings.Lines(in) {
			if c, err := newChunk(json.RawMessage(line), true); err == nil {
				fold.add(Record{Kind: Content, Chunks: []Chunk{c}})
			}
		}
		end := complete()
		out, err := fold.answer(hives.APIOpenAI, Record{Kind: End, Terminal: &end})
		if err != nil {
			t.Fatal(err)
		}
		if !json.Valid(out) || out[0] != '{' || strings.ContainsAny(string(out), "\n\r") {
			t.Fatalf("%q", out)
		}
	})
}
