package runlog

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"queen-rbee/hives"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clock is a wall clock that only tests move.
type clock struct{ at time.Time }

func newClock() *clock { return &clock{time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)} }

func (c *clock) now() time.Time { return c.at }

type fataler interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}

func open(t fataler, dir string, limits Limits, now func() time.Time) *Store {
	t.Helper()
	s, err := Open(dir, limits, now)
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Skipped()) > 0 {
		t.Fatal(s.Skipped())
	}
	return s
}

func newStore(t *testing.T, limits Limits) *Store {
	s := open(t, t.TempDir(), limits, newClock().now)
	t.Cleanup(s.Close)
	return s
}

func create(t fataler, s *Store, m Meta) *Log {
	t.Helper()
	if m.JobID == "" {
		m.JobID, m.Attempt = "01JOB", 1
	}
	m.Model = "small"
	l, err := s.Create(m)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func must(t fataler, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// drain appends what a stream has to say now; over is true after its end.
func drain(t fataler, s *Stream) (out []byte, over bool) {
	t.Helper()
	for {
		select {
		case <-s.Ready():
		default:
			return out, false
		}
		var err error
		out, err = s.Next(context.Background(), out)
		if errors.Is(err, io.EOF) {
			return out, true
		}
		must(t, err)
	}
}

// rendered is all that a reader of an ended log gets.
func rendered(t fataler, l *Log, form Form, from uint64) string {
	t.Helper()
	s, err := l.Stream(form, from)
	must(t, err)
	defer s.Close()
	out, over := drain(t, s)
	if !over {
		t.Fatal("the stream did not end")
	}
	return string(out)
}

// frame is what can be told apart in a stream: a frame, or an id or a comment of no frame.
type frame struct{ id, event, data, comment string }

func parseFrames(out []byte) (fs []frame) {
	var f frame
	open := false
	for {
		line, rest, ok := bytes.Cut(out, []byte("\n"))
		if !ok {
			return fs
		}
		out = rest
		key, value, _ := strings.Cut(string(line), ": ")
		switch {
		case key == "" && len(line) > 0:
			fs = append(fs, frame{comment: value})
		case key == "id" && !open:
			fs = append(fs, frame{id: value})
		case key == "id":
			f.id = value
		case key == "event":
			f.event, open = value, true
		case key == "data":
			f.data, open = f.data+value, true
		case open:
			fs, f, open = append(fs, f), frame{}, false
		}
	}
}

// transcript reads the chunks of a recorded stream, [DONE] left out.
func transcript(t fataler, name string) (chunks []string) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "testdata", "transcripts", name+".sse"))
	must(t, err)
	for _, f := range parseFrames(b) {
		if f.data != "[DONE]" {
			chunks = append(chunks, f.data)
		}
	}
	return chunks
}

// play appends recorded chunks as the engine's reader would classify them.
func play(t fataler, l *Log, chunks []string) {
	t.Helper()
	open := map[int]bool{}
	for _, raw := range chunks {
		c := classify(t, raw, open)
		must(t, l.Append(json.RawMessage(raw), c.content, c.text, c.closes))
	}
}

type classified struct {
	content, closes bool
	text            string
}

func classify(t fataler, raw string, open map[int]bool) (out classified) {
	t.Helper()
	var c struct {
		Choices []struct {
			Index        int
			FinishReason *string `json:"finish_reason"`
			Text         string
			Logprobs     json.RawMessage
			Delta        struct {
				Content   string
				ToolCalls json.RawMessage `json:"tool_calls"`
			}
		}
	}
	must(t, json.Unmarshal([]byte(raw), &c))
	for _, ch := range c.Choices {
		open[ch.Index] = ch.FinishReason == nil
		out.text += ch.Text + ch.Delta.Content
		out.content = out.content || out.text != "" || !isNull(ch.Delta.ToolCalls) || !isNull(ch.Logprobs)
	}
	out.closes = len(c.Choices) > 0
	for _, is := range open {
		out.closes = out.closes && !is
	}
	return out
}

func complete() hives.Terminal {
	return hives.Terminal{Outcome: hives.Complete, FinishReason: "stop", Usage: hives.Usage{PromptTokens: 3, CompletionTokens: 4, TotalTokens: 7}}
}
