package openai

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
)

const user = `"messages":[{"role":"user","content":"hi"}]`

func TestBadChatRequestsNameTheField(t *testing.T) {
	tests := []struct{ name, body, param, says string }{
		{"empty", ``, "", "empty"},
		{"not JSON", `{"messages":`, "", "not JSON"},
		{"an array", `[]`, "", "must be a JSON object"},
		{"null", `null`, "", "null"},
		{"two objects", `{` + user + `}{}`, "", "closing brace"},
		{"no messages", `{}`, "messages", "required"},
		{"messages null", `{"messages":null}`, "messages", "required"},
		{"messages empty", `{"messages":[]}`, "messages", "empty"},
		{"messages a string", `{"messages":"hi"}`, "messages", "array"},
		{"a message a string", `{"messages":["hi"]}`, "messages[0]", "object"},
		{"a message null", `{"messages":[null]}`, "messages[0]", "null"},
		{"no role", `{"messages":[{"content":"x"}]}`, "messages[0].role", "required"},
		{"unknown role", `{"messages":[{"role":"bee","content":"x"}]}`, "messages[0].role", "bee"},
		{"tool role", `{"messages":[{"role":"tool","content":"x"}]}`, "messages[0].role", "tools"},
		{"no content", `{"messages":[{"role":"user"}]}`, "messages[0].content", "required"},
		{"content a number", `{"messages":[{"role":"user","content":7}]}`, "messages[0].content", "string"},
		{"tool calls", `{"messages":[{"role":"assistant","tool_calls":[{"id":"1"}]}]}`, "messages[0].tool_calls", "not supported"},
		{"image", `{"messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"image_url","image_url":{"url":"x"}}]}]}`, "messages[0].content[1].type", "text alone"},
		{"part without text", `{"messages":[{"role":"user","content":[{"type":"text"}]}]}`, "messages[0].content[0].text", "required"},
		{"part a string", `{"messages":[{"role":"user","content":["a"]}]}`, "messages[0].content[0]", "object"},
		{"max_tokens negative", `{` + user + `,"max_tokens":-1}`, "max_tokens", "from 1"},
		{"max_tokens zero", `{` + user + `,"max_tokens":0}`, "max_tokens", "from 1"},
		{"max_tokens a word", `{` + user + `,"max_tokens":"many"}`, "max_tokens", "whole number"},
		{"max_tokens a fraction", `{` + user + `,"max_tokens":1.5}`, "max_tokens", "whole number"},
		{"max_completion_tokens", `{` + user + `,"max_completion_tokens":-5}`, "max_completion_tokens", "from 1"},
		{"temperature a word", `{` + user + `,"temperature":"hot"}`, "temperature", "a number"},
		{"temperature high", `{` + user + `,"temperature":2.1}`, "temperature", "from 0 to 2"},
		{"temperature endless", `{` + user + `,"temperature":1e999}`, "temperature", "a number"},
		{"top_p", `{` + user + `,"top_p":-0.1}`, "top_p", "from 0 to 1"},
		{"frequency_penalty", `{` + user + `,"frequency_penalty":3}`, "frequency_penalty", "from -2 to 2"},
		{"presence_penalty", `{` + user + `,"presence_penalty":-3}`, "presence_penalty", "from -2 to 2"},
		{"n", `{` + user + `,"n":0}`, "n", "from 1"},
		{"n many", `{` + user + `,"n":1000}`, "n", "128"},
		{"seed a word", `{` + user + `,"seed":"x"}`, "seed", "whole number"},
		{"stream a word", `{` + user + `,"stream":"yes"}`, "stream", "true or false"},
		{"stream_options without stream", `{` + user + `,"stream_options":{"include_usage":true}}`, "stream_options", "stream"},
		{"include_usage", `{` + user + `,"stream":true,"stream_options":{"include_usage":1}}`, "stream_options.include_usage", "true or false"},
		{"stream_options a list", `{` + user + `,"stream":true,"stream_options":[]}`, "stream_options", "object"},
		{"stop empty", `{` + user + `,"stop":""}`, "stop", "bytes"},
		{"stop a number", `{` + user + `,"stop":3}`, "stop", "array of strings"},
		{"stop of numbers", `{` + user + `,"stop":[3]}`, "stop", "array of strings"},
		{"stop many", `{` + user + `,"stop":["` + strings.Repeat(`a","`, 20) + `b"]}`, "stop", "at most"},
		{"model a number", `{` + user + `,"model":3}`, "model", "string"},
		{"tools", `{` + user + `,"tools":[{"type":"function"}]}`, "tools", "not supported"},
		{"tool_choice", `{` + user + `,"tool_choice":"required"}`, "tool_choice", "not supported"},
		{"functions", `{` + user + `,"functions":[{"name":"f"}]}`, "functions", "not supported"},
		{"json_schema", `{` + user + `,"response_format":{"type":"json_schema","json_schema":{}}}`, "response_format", "not supported"},
		{"logprobs", `{` + user + `,"logprobs":true}`, "logprobs", "not supported"},
		{"top_logprobs", `{` + user + `,"top_logprobs":2}`, "top_logprobs", "not supported"},
		{"logit_bias", `{` + user + `,"logit_bias":{"5":1}}`, "logit_bias", "not supported"},
		{"audio", `{` + user + `,"modalities":["text","audio"]}`, "modalities", "not supported"},
		{"reasoning", `{` + user + `,"reasoning_effort":"high"}`, "reasoning_effort", "not supported"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, err := DecodeChat([]byte(tt.body))
			if err == nil {
				t.Fatalf("accepted as %+v", r)
			}
			if err.Status != 400 || err.Param != tt.param || !strings.Contains(err.Message, tt.says) {
				t.Errorf("got %d %q about %q, want 400 with %q about %q", err.Status, err.Message, err.Param, tt.says, tt.param)
			}
		})
	}
}

func TestBadCompletionRequestsNameTheField(t *testing.T) {
	tests := []struct{ name, body, param string }{
		{"no prompt", `{}`, "prompt"},
		{"no texts", `{"prompt":[]}`, "prompt"},
		{"token ids", `{"prompt":[1,2,3]}`, "prompt"},
		{"lists of token ids", `{"prompt":[[1,2],[3]]}`, "prompt"},
		{"null text", `{"prompt":["a",null]}`, "prompt"},
		{"an object", `{"prompt":{}}`, "prompt"},
		{"too many choices", `{"prompt":["a","b"],"n":100}`, "n"},
		{"echo", `{"prompt":"a","echo":true}`, "echo"},
		{"suffix", `{"prompt":"a","suffix":"b"}`, "suffix"},
		{"best_of", `{"prompt":"a","best_of":3}`, "best_of"},
		{"logprobs", `{"prompt":"a","logprobs":0}`, "logprobs"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, err := DecodeCompletion([]byte(tt.body))
			if err == nil {
				t.Fatalf("accepted as %+v", r)
			}
			if err.Param != tt.param {
				t.Errorf("names %q (%s), want %q", err.Param, err.Message, tt.param)
			}
		})
	}
}

func TestGoodChatRequest(t *testing.T) {
	r, err := DecodeChat([]byte(`{"model":"builtin/markov","messages":[
		{"role":"system","content":"be kind"},
		{"role":"user","content":[{"type":"text","text":"what is "},{"type":"text","text":"a hive?"}]},
		{"role":"assistant","content":null}],
		"max_tokens":9,"max_completion_tokens":5,"seed":-3,"n":2,"stream":true,"stream_options":{"include_usage":true},
		"stop":"END","temperature":0,"top_p":0,"frequency_penalty":0.5,
		"tools":[],"tool_choice":"auto","logprobs":false,"response_format":{"type": "text"},"top_logprobs":null,
		"user":"someone","metadata":{"a":"b"},"never_heard_of":{"deep":[1]}}`))
	if err != nil {
		t.Fatal(err)
	}
	if r.MaxTokens != 5 || *r.Seed != -3 || r.N != 2 || !r.Stream || !r.IncludeUsage || r.PromptTokens != 6 {
		t.Errorf("got %+v", r)
	}
	if len(r.Stop) != 1 || r.Stop[0] != "END" || r.Sampling.Temperature != 0 || r.Sampling.FrequencyPenalty != 0.5 {
		t.Errorf("got %+v", r)
	}
	if r.Prompts[0].Text != "what is a hive?" || r.Prompts[0].Continue {
		t.Errorf("answers %+v", r.Prompts[0])
	}
}

func TestGoodCompletionRequest(t *testing.T) {
	r, err := DecodeCompletion([]byte(`{"prompt":["one","two three"],"n":2,"stop":["a","b"]}`))
	if err != nil {
		t.Fatal(err)
	}
	if r.Choices() != 4 || r.PromptTokens != 3 || len(r.Stop) != 2 || !r.Prompts[1].Continue || r.Sampling.Temperature != 1 {
		t.Errorf("got %+v", r)
	}
}

func TestErrorShape(t *testing.T) {
	tests := []struct {
		err  error
		want string
	}{
		{Invalid("n", "bad"), `{"error":{"message":"bad","type":"invalid_request_error","param":"n","code":null}}`},
		{Loading(), `{"error":{"message":"Loading model","type":"unavailable_error","param":null,"code":503}}`},
	}
	for _, tt := range tests {
		got, err := json.Marshal(tt.err)
		if err != nil || string(got) != tt.want {
			t.Errorf("got %s, %v; want %s", got, err, tt.want)
		}
	}
}

// Whatever comes in: an error that is a 400, or a request within every limit.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{` + user + `,"stop":["a"],"n":2,"seed":1}`))
	f.Add([]byte(`{"prompt":["a","b"],"stream":true,"stream_options":{"include_usage":true}}`))
	f.Add([]byte(`{"messages":[{"role":"user","content":[{"type":"text","text":"a"}]}]}`))
	f.Add([]byte(`{"messages":[[[[[[`))
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, decode := range []func([]byte) (*Request, *Error){DecodeChat, DecodeCompletion} {
			r, err := decode(body)
			if err != nil {
				if r != nil || err.Status != 400 || err.Message == "" {
					t.Fatalf("refused with %+v and %+v", r, err)
				}
				continue
			}
			within := func(v, low, high float64) bool { return v >= low && v <= high && !math.IsNaN(v) }
			s := r.Sampling
			switch {
			case r.Choices() < 1 || r.Choices() > MaxChoices:
				t.Fatalf("%d choices", r.Choices())
			case r.MaxTokens < 0 || len(r.Stop) > MaxStops || r.PromptTokens < 0:
				t.Fatalf("out of bounds: %+v", r)
			case !within(s.Temperature, 0, 2) || !within(s.TopP, 0, 1) || s.TopP == 0:
				t.Fatalf("sampling: %+v", s)
			case !within(s.FrequencyPenalty, -2, 2) || !within(s.PresencePenalty, -2, 2):
				t.Fatalf("penalties: %+v", s)
			case r.IncludeUsage && !r.Stream:
				t.Fatal("usage of a stream that is none")
			}
			for _, stop := range r.Stop {
				if stop == "" || len(stop) > MaxStopBytes {
					t.Fatalf("stop of %d bytes", len(stop))
				}
			}
		}
	})
}
