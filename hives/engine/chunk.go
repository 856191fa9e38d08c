package engine

import (
	"bytes"
	"encoding/json"
	"fmt"

	"queen-rbee/hives"
)

// maxChoices bounds the choices of one request.
const maxChoices = 128

// wireChunk is the part of an engine's chunk that we read: chat and legacy completions alike.
type wireChunk struct {
	Choices []wireChoice    `json:"choices"`
	Usage   *wireUsage      `json:"usage"`
	Error   json.RawMessage `json:"error"`
	Object  string          `json:"object"`
}

type wireChoice struct {
	Index        int                        `json:"index"`
	Delta        map[string]json.RawMessage `json:"delta"`
	Text         string                     `json:"text"`
	Logprobs     json.RawMessage            `json:"logprobs"`
	FinishReason string                     `json:"finish_reason"`
}

type wireUsage struct {
	PromptTokens     int64 `json:"prompt_tokens"`
	CompletionTokens int64 `json:"completion_tokens"`
	TotalTokens      int64 `json:"total_tokens"`
}

// classifier reads the chunks of one stream and keeps what its end depends on.
type classifier struct {
	open     []bool // by choice: its finish_reason is still missing
	left     int    // how many are open
	finish   string // of choice 0
	usage    *wireUsage
	contents int
}

func newClassifier(choices int) *classifier {
	c := &classifier{open: make([]bool, choices), left: choices}
	for i := range c.open {
		c.open[i] = true
	}
	return c
}

// chunk classifies the JSON of one event. Its error is a *hives.Error engine_error: the engine
// reported a failure, or sent what is no chunk of this request.
func (c *classifier) chunk(raw []byte) (Chunk, error) {
	var w wireChunk
	if err := json.Unmarshal(raw, &w); err != nil {
		return Chunk{}, hives.Errorf(hives.CodeEngineError, "the engine sent a chunk that cannot be read: %v in %s", err, excerpt(raw))
	}
	if present(w.Error) || w.Object == "error" {
		return Chunk{}, hives.Errorf(hives.CodeEngineError, "%s", parseFault(raw).message)
	}
	out := Chunk{Raw: raw}
	before := c.left
	for i := range w.Choices {
		ch := &w.Choices[i]
		if ch.Index < 0 || ch.Index >= len(c.open) {
			return Chunk{}, hives.Errorf(hives.CodeEngineError, "the engine sent choice %d of a request for %d", ch.Index, len(c.open))
		}
		content := ch.content()
		if content && before == 0 {
			return Chunk{}, hives.Errorf(hives.CodeEngineError, "the engine sent content after every choice was finished: %s", excerpt(raw))
		}
		out.Content = out.Content || content
		if ch.Index == 0 {
			out.Text += ch.text()
		}
		c.close(ch)
	}
	out.Closes = before > 0 && c.left == 0
	if w.Usage != nil {
		c.usage = w.Usage
		out.UsageOnly = len(w.Choices) == 0
	}
	if out.Content {
		c.contents++
	}
	return out, nil
}

func (c *classifier) close(ch *wireChoice) {
	if ch.FinishReason == "" || !c.open[ch.Index] {
		return
	}
	c.open[ch.Index] = false
	c.left--
	if ch.Index == 0 {
		c.finish = ch.FinishReason
	}
}

// tally returns the engine's usage, or one counted from the chunks where it gave none.
func (c *classifier) tally() hives.Usage {
	if c.usage == nil {
		return hives.Usage{CompletionTokens: int64(c.contents), TotalTokens: int64(c.contents)}
	}
	u := hives.Usage{PromptTokens: max(0, c.usage.PromptTokens), CompletionTokens: max(0, c.usage.CompletionTokens)}
	u.TotalTokens = max(c.usage.TotalTokens, u.PromptTokens+u.CompletionTokens)
	return u
}

// content reports whether the choice carries anything but its role and its end. Every other
// member of delta counts, known or not: what an engine calls its reasoning is up to the engine.
func (ch *wireChoice) content() bool {
	if ch.Text != "" || fullLogprobs(ch.Logprobs) {
		return true
	}
	for name, v := range ch.Delta {
		if name != "role" && full(v) {
			return true
		}
	}
	return false
}

func (ch *wireChoice) text() string {
	if ch.Text != "" {
		return ch.Text
	}
	var s string
	if v, ok := ch.Delta["content"]; !ok || json.Unmarshal(v, &s) != nil {
		return ""
	}
	return s
}

// fullLogprobs reports whether any list in logprobs has an entry: both APIs send the object
// with empty lists where there is nothing to say.
func fullLogprobs(v json.RawMessage) bool {
	var members map[string]json.RawMessage
	if !full(v) || json.Unmarshal(v, &members) != nil {
		return false
	}
	for _, m := range members {
		if m[0] == '[' && full(m) {
			return true
		}
	}
	return false
}

// full reports whether v is a value with something in it: not null, "", [] or {}.
func full(v json.RawMessage) bool {
	if !present(v) {
		return false
	}
	switch v[0] {
	case '"':
		return len(v) > 2
	case '[', '{':
		return len(bytes.TrimSpace(v[1:len(v)-1])) > 0
	}
	return true
}

func present(v json.RawMessage) bool { return len(v) > 0 && string(v) != "null" }

// excerpt quotes the beginning of what an engine sent.
func excerpt(b []byte) string { return fmt.Sprintf("%.200q", b) }
