package engine

import (
	"encoding/json"
	"maps"
	"reflect"
	"strings"
	"testing"

	"queen-rbee/hives"
)

func TestForceStream(t *testing.T) {
	const forced = `"stream":true,"stream_options":{"include_usage":true}}`
	for in, want := range map[string]string{
		`{}`:                                 `{` + forced,
		` { "a" : 1.50 , "b":"\u00e9<&>" } `: `{"a" : 1.50,"b":"\u00e9<&>",` + forced,
		`{"stream":false,"a":[1, 2],"stream":true}`:                    `{"a":[1, 2],` + forced,
		`{"stream_options":null,"a":12345678901234567890}`:             `{"a":12345678901234567890,` + forced,
		`{"stream_options":{"x": 1,"include_usage":false}}`:            `{"stream":true,"stream_options":{"x": 1,"include_usage":true}}`,
		`{"str\u0065am":false,"a\"":"}\\\"]" , "b":[{"c":[]}, -1e3] }`: `{"a\"":"}\\\"]","b":[{"c":[]}, -1e3],` + forced,
		`{"a":{"stream":false},"a":2}`:                                 `{"a":{"stream":false},"a":2,` + forced,
	} {
		got, err := forceStream([]byte(in), 0)
		if err != nil || string(got) != want {
			t.Errorf("%s\n got %s, %v\nwant %s", in, got, err, want)
		}
	}
	for in, want := range map[string]string{
		``: "one JSON object", `[]`: "one JSON object", `{"a":1`: "one JSON object", `{"a":1}{}`: "after top-level value", `{"a" 1}`: "one JSON object",
		`"x"`: "one JSON object", `{"stream_options":[]}`: "stream_options", `{"stream_options":7}`: "stream_options",
	} {
		if got, err := forceStream([]byte(in), 0); hives.CodeOf(err) != hives.CodeInvalid || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %s, %v", in, got, err)
		}
	}
}

// A request that bounds its answer by nothing gets a bound; one that does keeps its own, whatever
// its engine calls it.
func TestForceStreamBoundsTheAnswer(t *testing.T) {
	const forced = `"stream":true,"stream_options":{"include_usage":true}}`
	for in, want := range map[string]string{
		`{"a":1}`:                           `{"a":1,"max_tokens":512,` + forced,
		`{}`:                                `{"max_tokens":512,` + forced,
		`{"max_tokens":null,"a":1}`:         `{"a":1,"max_tokens":512,` + forced,
		`{"max_tokens" : 7,"a":1}`:          `{"max_tokens" : 7,"a":1,` + forced,
		`{"max_completion_tokens":7}`:       `{"max_completion_tokens":7,` + forced,
		`{"n_predict":7,"max_tokens":null}`: `{"n_predict":7,"max_tokens":null,` + forced,
		`{"max\u005ftokens":7}`:             `{"max\u005ftokens":7,` + forced,
		`{"messages":[{"max_tokens":7}],"Max_Tokens":7}`: `{"messages":[{"max_tokens":7}],"Max_Tokens":7,"max_tokens":512,` + forced,
	} {
		if got, err := forceStream([]byte(in), 512); err != nil || string(got) != want {
			t.Errorf("%s\n got %s, %v\nwant %s", in, got, err, want)
		}
	}
}

func TestChoices(t *testing.T) {
	const legacy = "/v1/completions"
	for _, c := range []struct {
		path, body string
		want       int // 0: refused
	}{
		{chatPath, `{}`, 1}, {chatPath, `{"n":null}`, 1}, {chatPath, `{"n":3}`, 3}, {chatPath, `{"N":3}`, 1},
		{chatPath, `{"n":0}`, 0}, {chatPath, `{"n":-1}`, 0}, {chatPath, `{"n":129}`, 0}, {chatPath, `{"n":1.5}`, 0}, {chatPath, `{"n":"2"}`, 0},
		{chatPath, `{"prompt":["a","b"]}`, 1},
		{legacy, `{"prompt":"a"}`, 1}, {legacy, `{"prompt":["a","b"],"n":2}`, 4}, {legacy, `{"prompt":[1,2,3]}`, 1},
		{legacy, `{"prompt":[[1],[2],[3]]}`, 3}, {legacy, `{"prompt":[]}`, 1},
		{legacy, `{"n":128,"prompt":["a","b"]}`, 0}, {legacy, `nonsense`, 0},
	} {
		got, err := choices(c.path, []byte(c.body))
		if got != c.want && err == nil || (err != nil) != (c.want == 0) || err != nil && hives.CodeOf(err) != hives.CodeInvalid {
			t.Errorf("%s %s: %d, %v; want %d", c.path, c.body, got, err, c.want)
		}
	}
}

func FuzzForceStream(f *testing.F) {
	for _, s := range []string{`{"a":1, "stream":false}`, `{"stream_options":{"b":{}}}`, `{"a":{"b":[1,"\u0000"]},"":null}`, `{"stream":1`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		out, err := forceStream(in, 0)
		var before, after map[string]json.RawMessage
		if json.Unmarshal(in, &before) != nil || before == nil {
			if err == nil {
				t.Fatalf("%q is no object and gives %q", in, out)
			}
			return
		}
		if err != nil {
			if json.Unmarshal(before["stream_options"], &map[string]json.RawMessage{}) == nil {
				t.Fatalf("%q: %v", in, err)
			}
			return
		}
		if err := json.Unmarshal(out, &after); err != nil || string(after["stream"]) != "true" ||
			!strings.Contains(string(after["stream_options"]), `"include_usage":true`) {
			t.Fatalf("%q gives %q, %v", in, out, err)
		}
		for _, m := range []map[string]json.RawMessage{before, after} {
			maps.DeleteFunc(m, func(k string, _ json.RawMessage) bool { return k == "stream" || k == "stream_options" })
		}
		if !reflect.DeepEqual(before, after) {
			t.Fatalf("%q gives %q", in, out)
		}
	})
}
