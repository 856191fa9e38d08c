package runlog

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"queen-rbee/hives"
)

var (
	taskForm   = Form{API: hives.APITask}
	openaiForm = Form{API: hives.APIOpenAI}
)

// run makes an ended log of chunks.
func run(t *testing.T, m Meta, chunks []string, end hives.Terminal) *Log {
	t.Helper()
	l := create(t, newStore(t, Limits{}), m)
	must(t, l.Start())
	play(t, l, chunks)
	_, err := l.End(end)
	must(t, err)
	return l
}

func text(s string) string { return string(chunk(s)) }

func TestRenderExactly(t *testing.T) {
	closing := `{"choices":[{"index":0,"delta":{"content":"c"},"finish_reason":"stop"}]}`
	mark := func(outcome string, events int) string {
		usage := `,"finish_reason":"stop","usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}`
		if outcome != "complete" {
			usage = `,"usage":{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}`
		}
		return fmt.Sprintf(": rbee-end {\"job_id\":\"01JOB\",\"attempt\":1,\"outcome\":%q%s,\"events\":%d}\n", outcome, usage, events)
	}
	cancelled := hives.Terminal{Outcome: hives.Cancelled}
	tests := []struct {
		name   string
		meta   Meta
		chunks []string
		end    hives.Terminal
		form   Form
		from   uint64
		want   string
	}{
		{
			"task", Meta{}, []string{roleChunk, text("a"), text("<b>\n\"é"), finishChunk, usageChunk}, complete(), taskForm, 0,
			"event: started\nid: 1.1\ndata: {\"model\":\"small\"}\n\n" +
				"event: token\nid: 1.2\ndata: {\"t\":\"a\",\"i\":0}\n\n" +
				"event: token\nid: 1.3\ndata: {\"t\":\"<b>\\n\\\"é\",\"i\":1}\n\n" + mark("complete", 3),
		}, {
			"task from 2", Meta{}, []string{roleChunk, text("a"), text("b"), finishChunk}, cancelled, taskForm, 2,
			"event: token\nid: 1.3\ndata: {\"t\":\"b\",\"i\":1}\n\n" + mark("cancelled", 3),
		}, {
			"task, text in the closing chunk", Meta{}, []string{closing}, complete(), taskForm, 1,
			"event: token\nid: 1.2\ndata: {\"t\":\"c\",\"i\":0}\n\n" + mark("complete", 2),
		}, {
			"openai, usage asked for", Meta{IncludeUsage: true}, []string{roleChunk, text("a"), finishChunk, usageChunk}, complete(), openaiForm, 0,
			"id: 1.1\ndata: " + roleChunk + "\n\ndata: " + text("a") + "\nid: 1.2\n\n" + mark("complete", 2) +
				"data: " + finishChunk + "\n\ndata: " + usageChunk + "\n\ndata: [DONE]\nid: 1.3\n\n",
		}, {
			"openai, usage not asked for", Meta{}, []string{text("a"), finishChunk, usageChunk}, complete(), openaiForm, 1,
			"data: " + text("a") + "\nid: 1.2\n\n" + mark("complete", 2) +
				"data: " + finishChunk + "\n\ndata: [DONE]\nid: 1.3\n\n",
		}, {
			"openai, text in the closing chunk goes out with the end", Meta{}, []string{text("a"), roleChunk, closing, usageChunk}, complete(), openaiForm, 1,
			"data: " + text("a") + "\nid: 1.2\n\n" + mark("complete", 3) +
				"data: " + roleChunk + "\n\ndata: " + closing + "\nid: 1.3\n\ndata: [DONE]\nid: 1.4\n\n",
		}, {
			"openai, a closing chunk that was not the last", Meta{}, []string{closing, text("a"), finishChunk}, complete(), openaiForm, 1,
			"data: " + closing + "\nid: 1.2\n\ndata: " + text("a") + "\nid: 1.3\n\n" + mark("complete", 3) +
				"data: " + finishChunk + "\n\ndata: [DONE]\nid: 1.4\n\n",
		}, {
			"openai, only the id of text that closed a run that was cancelled", Meta{}, []string{text("a"), closing, usageChunk}, cancelled, openaiForm, 1,
			"data: " + text("a") + "\nid: 1.2\n\nid: 1.3\n" + mark("cancelled", 3),
		}, {
			"openai, the reader has the last record", Meta{}, []string{text("a"), finishChunk}, complete(), openaiForm, 2,
			mark("complete", 2) + "data: " + finishChunk + "\n\ndata: [DONE]\nid: 1.3\n\n",
		}, {
			"openai, the reader has the end", Meta{}, []string{text("a"), finishChunk}, complete(), openaiForm, 3,
			mark("complete", 2),
		}, {
			"openai, a chunk of several lines", Meta{}, []string{"{\"choices\": [\r\n{\"index\": 0,\n\"delta\": {\"content\": \"a\\n b\"}}]}"}, cancelled, openaiForm, 1,
			"data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\\n b\"}}]}\nid: 1.2\n\n" + mark("cancelled", 2),
		}, {
			"task whole", Meta{}, []string{roleChunk, text("a"), text("<b>"), finishChunk}, complete(), Form{hives.APITask, true}, 2,
			mark("complete", 3) + "data: {\"text\":\"a<b>\",\"model\":\"small\",\"finish_reason\":\"stop\",\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4,\"total_tokens\":7}}\n\n",
		}, {
			"openai whole of a run that was cancelled", Meta{}, []string{text("a")}, cancelled, Form{hives.APIOpenAI, true}, 0,
			mark("cancelled", 2),
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := run(t, tt.meta, tt.chunks, tt.end)
			if got := rendered(t, l, tt.form, tt.from); got != tt.want {
				t.Errorf("got\n%s\nwant\n%s", got, tt.want)
			}
		})
	}
}

func TestRenderRefuses(t *testing.T) {
	l := run(t, Meta{}, []string{text("a")}, complete())
	if _, err := l.Stream(Form{API: "grpc"}, 0); !errors.Is(err, &hives.Error{Code: hives.CodeInvalid}) {
		t.Error(err)
	}
	if _, err := l.Stream(taskForm, 4); !errors.Is(err, &hives.Error{Code: hives.CodeInvalid}) {
		t.Error(err)
	}
}

// Every recorded stream comes out of the log as it went in, whatever number a reader starts at.
func TestTranscriptsPassUnchanged(t *testing.T) {
	for _, name := range []string{"chat-stream", "chat-stream-usage", "chat-n2-stream", "chat-tools-stream", "chat-logprobs-stream", "completions-stream"} {
		t.Run(name, func(t *testing.T) {
			chunks := transcript(t, name)
			l := run(t, Meta{IncludeUsage: true}, chunks, complete())
			whole := parseFrames([]byte(rendered(t, l, openaiForm, 0)))
			var got []string
			for _, f := range whole[1:] { // the first is started
				if f.data != "" {
					got = append(got, f.data)
				}
			}
			if want := append(chunks, "[DONE]"); !slices.Equal(got, want) {
				t.Fatalf("got %d chunks, want %d", len(got), len(want))
			}
			for from := range l.Seq() {
				after := slices.IndexFunc(whole, func(f frame) bool { return f.id == fmt.Sprintf("1.%d", from) }) + 1
				if got := parseFrames([]byte(rendered(t, l, openaiForm, from))); !slices.Equal(got, whole[after:]) {
					t.Fatalf("from %d: %d frames, want %d", from, len(got), len(whole)-after)
				}
			}
		})
	}
}

func TestTaskTextOfTranscripts(t *testing.T) {
	l := run(t, Meta{}, transcript(t, "chat-stream"), complete())
	var said strings.Builder
	for i, f := range parseFrames([]byte(rendered(t, l, taskForm, 1))) {
		if f.event != "token" {
			continue
		}
		var token struct {
			T string
			I int
		}
		must(t, json.Unmarshal([]byte(f.data), &token))
		if token.I != i || f.id != fmt.Sprintf("1.%d", i+2) {
			t.Fatalf("token %d: %+v", i, f)
		}
		said.WriteString(token.T)
	}
	if got := said.String(); got != " will those these very best these… found" {
		t.Fatalf("%q", got)
	}
}
