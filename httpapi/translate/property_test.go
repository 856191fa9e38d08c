package translate

import (
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// told is an answer as a test invents it, and as it reads it back.
type told struct {
	Reasoning, Text string
	Calls           []toldCall
}

type toldCall struct{ ID, Name, Arguments string }

func genTold() *rapid.Generator[told] {
	return rapid.Custom(func(t *rapid.T) told {
		words := rapid.StringN(0, 12, -1)
		a := told{Reasoning: words.Draw(t, "reasoning"), Text: words.Draw(t, "text")}
		for i := range rapid.IntRange(0, 3).Draw(t, "calls") {
			arguments := string(marshal(map[string]string{"x": words.Draw(t, "argument")}))
			a.Calls = append(a.Calls, toldCall{fmt.Sprintf("id%d", i), "f", arguments})
		}
		return a
	})
}

// split cuts the inside of a JSON string anywhere but in an escape: also between the halves of a
// character that is written as two.
func split(t *rapid.T, s string) (pieces []string) {
	ascii := rapid.Bool().Draw(t, "ascii")
	var atoms []string
	for _, r := range s {
		switch {
		case ascii && r > 0xffff:
			r -= 0x10000
			atoms = append(atoms, fmt.Sprintf(`\u%04x`, 0xd800+r>>10), fmt.Sprintf(`\u%04x`, 0xdc00+r&0x3ff))
		case ascii && r > 0x7f:
			atoms = append(atoms, fmt.Sprintf(`\u%04x`, r))
		default:
			inner, _ := inside(marshal(string(r)))
			atoms = append(atoms, string(inner))
		}
	}
	for len(atoms) > 0 {
		n := rapid.IntRange(1, len(atoms)).Draw(t, "cut")
		pieces = append(pieces, strings.Join(atoms[:n], ""))
		atoms = atoms[n:]
	}
	return pieces
}

// chunksOf is a stream of an engine that says a, and the folded answer of the same.
func chunksOf(t *rapid.T, a told) (stream []string, folded string) {
	delta := func(s string) { stream = append(stream, `{"choices":[{"index":0,"delta":{`+s+`}}]}`) }
	delta(`"role":"assistant","content":null`)
	for _, p := range split(t, a.Reasoning) {
		delta(`"reasoning_content":"` + p + `"`)
	}
	for _, p := range split(t, a.Text) {
		delta(`"content":"` + p + `"`)
	}
	for i, c := range a.Calls {
		delta(fmt.Sprintf(`"tool_calls":[{"index":%d,"id":%q,"type":"function","function":{"name":%q,"arguments":""}}]`, i, c.ID, c.Name))
		for _, p := range split(t, c.Arguments) {
			delta(fmt.Sprintf(`"tool_calls":[{"index":%d,"function":{"arguments":"%s"}}]`, i, p))
		}
	}
	finish := rapid.SampledFrom([]string{"stop", "length", "tool_calls"}).Draw(t, "finish")
	cost := `"usage":{"prompt_tokens":5,"completion_tokens":3,"total_tokens":8,"prompt_tokens_details":{"cached_tokens":2}}`
	stream = append(stream, `{"choices":[{"index":0,"delta":{},"finish_reason":"`+finish+`"}],`+cost+`}`)
	var calls []toolCall
	for _, c := range a.Calls {
		calls = append(calls, toolCall{ID: c.ID, Type: "function", Function: function{c.Name, c.Arguments}})
	}
	body := object("role", "assistant", "content", a.Text, "reasoning_content", a.Reasoning, "tool_calls", marshal(calls))
	return stream, `{"choices":[{"index":0,"message":` + string(body) + `,"finish_reason":"` + finish + `"}],` + cost + `}`
}

// fataller is a test of this package or of rapid.
type fataller interface{ Fatalf(string, ...any) }

// eventsOf reads frames; each has its type as its name, too.
func eventsOf(t fataller, frames []byte) (events []map[string]any) {
	for _, f := range strings.Split(strings.TrimSuffix(string(frames), "\n\n"), "\n\n") {
		if f == "" {
			continue
		}
		name, data, ok := strings.Cut(f, "\ndata: ")
		var e map[string]any
		if err := json.Unmarshal([]byte(apart(data)), &e); err != nil || !ok || name != "event: "+fmt.Sprint(e["type"]) || strings.Contains(data, "\n") {
			t.Fatalf("%v: no event: %q", err, f)
		}
		events = append(events, e)
	}
	return events
}

// TestStreamsEqualWholeAnswers: what a client puts together from a stream, by its deltas alone, is
// what it would have got without one, and what the engine said.
func TestStreamsEqualWholeAnswers(t *testing.T) {
	for api, more := range map[string]string{"responses": "}", "messages": `,"thinking":{"type":"adaptive"}}`} {
		req, err := read2[api]([]byte(fine[api] + more))
		if err != nil {
			t.Fatal(err)
		}
		t.Run(api, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				a := genTold().Draw(t, "answer")
				stream, folded := chunksOf(t, a)
				run := Run{Job: "J", Created: 1}
				whole, err := req.Answer(run).Whole([]byte(folded))
				if err != nil {
					t.Fatal(err)
				}
				m := req.Answer(run)
				frames := m.Begin()
				for _, c := range stream {
					if frames, err = m.Chunk(frames, []byte(c)); err != nil {
						t.Fatal(err)
					}
				}
				frames = m.End(frames, Usage{})
				var want map[string]any
				if err := json.Unmarshal(whole, &want); err != nil {
					t.Fatal(err)
				}
				events := eventsOf(t, frames)
				got, byDeltas := map[string]func(fataller, []map[string]any) (map[string]any, told){
					"responses": foldResponse, "messages": foldMessage,
				}[api](t, events)
				if !reflect.DeepEqual(got, want) {
					t.Fatalf("streamed\n%v\nwhole\n%v", got, want)
				}
				if !reflect.DeepEqual(byDeltas, a) {
					t.Fatalf("the deltas say\n%+v\nthe engine said\n%+v", byDeltas, a)
				}
			})
		})
	}
}

// foldResponse reads a Responses stream as its SDK does, and checks that it is in order.
func foldResponse(t fataller, events []map[string]any) (last map[string]any, by told) {
	open := map[string]int{}
	for i, e := range events {
		if e["sequence_number"] != float64(i) {
			t.Fatalf("event %d has the number %v", i, e["sequence_number"])
		}
		kind, _ := e["type"].(string)
		delta, _ := e["delta"].(string)
		switch kind {
		case "response.output_item.added":
			item := e["item"].(map[string]any)
			open[item["id"].(string)]++
			if item["type"] == "function_call" {
				by.Calls = append(by.Calls, toldCall{ID: item["call_id"].(string), Name: item["name"].(string)})
			}
		case "response.output_item.done":
			open[e["item"].(map[string]any)["id"].(string)]--
		case "response.reasoning_text.delta":
			by.Reasoning += delta
		case "response.output_text.delta":
			by.Text += delta
		case "response.function_call_arguments.delta":
			by.Calls[len(by.Calls)-1].Arguments += delta
		}
		if id, ok := e["item_id"].(string); ok && open[id] != 1 {
			t.Fatalf("event %d is about %s, which is not open", i, id)
		}
	}
	for id, n := range open {
		if n != 0 {
			t.Fatalf("%s is left open", id)
		}
	}
	last, _ = events[len(events)-1]["response"].(map[string]any)
	return joined(last).(map[string]any), by.joined()
}

// foldMessage reads a Messages stream as its SDK does, and checks that it is in order.
func foldMessage(t fataller, events []map[string]any) (message map[string]any, by told) {
	var blocks []any
	open, input := -1, ""
	for i, e := range events {
		index, _ := e["index"].(float64)
		switch e["type"] {
		case "message_start":
			message = e["message"].(map[string]any)
		case "content_block_start":
			if open >= 0 || int(index) != len(blocks) {
				t.Fatalf("event %d begins block %v in the middle of %d", i, index, open)
			}
			open, input = int(index), ""
			blocks = append(blocks, e["content_block"])
		case "content_block_delta":
			if int(index) != open {
				t.Fatalf("event %d is about block %v, open is %d", i, index, open)
			}
			block := blocks[open].(map[string]any)
			for k, v := range e["delta"].(map[string]any) {
				switch k {
				case "text", "thinking", "signature":
					block[k] = block[k].(string) + v.(string)
				case "partial_json":
					input += v.(string)
				}
			}
		case "content_block_stop":
			block := blocks[open].(map[string]any)
			switch block["type"] {
			case "thinking":
				by.Reasoning, _ = block["thinking"].(string)
			case "text":
				by.Text, _ = block["text"].(string)
			case "tool_use":
				var v any
				if json.Unmarshal([]byte(input), &v) == nil {
					block["input"] = v
				}
				by.Calls = append(by.Calls, toldCall{block["id"].(string), block["name"].(string), input})
			}
			open = -1
		case "message_delta":
			for k, v := range e["delta"].(map[string]any) {
				message[k] = v
			}
			message["usage"] = e["usage"]
		}
	}
	message["content"] = blocks
	if blocks == nil {
		message["content"] = []any{}
	}
	if last := events[len(events)-1]["type"]; last != "message_stop" || open >= 0 {
		t.Fatalf("the last event is %v, block %d is open", last, open)
	}
	return joined(message).(map[string]any), by.joined()
}

// JavaScript keeps half a character in a string until the other half comes; Go does not. So
// halves are read as the text of their escapes, and joined again when all is together.
var (
	half  = regexp.MustCompile(`\\u(d[89a-f][0-9a-f]{2})`)
	halfs = regexp.MustCompile(`\\u(d[89ab][0-9a-f]{2})\\u(d[c-f][0-9a-f]{2})`)
)

func apart(data string) string { return half.ReplaceAllString(data, `\\u$1`) }

func joined(v any) any {
	switch v := v.(type) {
	case string:
		return halfs.ReplaceAllStringFunc(v, func(two string) string { return text(two).plain() })
	case []any:
		for i := range v {
			v[i] = joined(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = joined(v[k])
		}
	}
	return v
}

func (a told) joined() told {
	a.Reasoning, a.Text = joined(a.Reasoning).(string), joined(a.Text).(string)
	for i := range a.Calls {
		a.Calls[i].Arguments = joined(a.Calls[i].Arguments).(string)
	}
	return a
}
