package translate

import (
	"encoding/json"
	"maps"
	"slices"
)

// kind is what a piece of an answer is.
type kind uint8

const (
	reasoning kind = iota + 1
	textual
	refusal
	calling
)

// piece is one thing that a chunk says.
type piece struct {
	kind     kind
	text     text // of a call: its arguments
	logprobs []rawJSON
	call     int // index of the call
	id, name text
}

// Usage is what a run cost in tokens.
type Usage struct {
	Input     int64 `json:"prompt_tokens"`
	Output    int64 `json:"completion_tokens"`
	Total     int64 `json:"total_tokens"`
	InDetails struct {
		Cached int64 `json:"cached_tokens"`
	} `json:"prompt_tokens_details"`
	OutDetails struct {
		Reasoning int64 `json:"reasoning_tokens"`
	} `json:"completion_tokens_details"`
}

// chunks reads the chunks of one run: what is said in order, and what is known at the end. A
// whole answer is read as one chunk. What has not the shape of a chunk is passed over, as where
// a run's answer is folded.
type chunks struct {
	finish string
	stop   rawJSON        // what stopped it, where the engine says so
	usage  *Usage         // nil: the engine has not said
	last   int            // index of the last call
	ids    map[int]string // of the calls by their indexes
}

// spent is what the engine says that the run cost, otherwise what is known elsewhere.
func (c *chunks) spent(otherwise Usage) Usage {
	if c.usage != nil {
		return *c.usage
	}
	return otherwise
}

type chunkJSON struct {
	Choices []choiceJSON `json:"choices"`
	Usage   *Usage       `json:"usage"`
}

type choiceJSON struct {
	Index    int        `json:"index"`
	Delta    *deltaJSON `json:"delta"`
	Message  *deltaJSON `json:"message"` // of a whole answer
	Finish   *string    `json:"finish_reason"`
	Stop     rawJSON    `json:"stop_reason"`  // vLLM: the stop sequence
	Matched  rawJSON    `json:"matched_stop"` // SGLang: the same
	Logprobs *struct {
		Content []rawJSON `json:"content"`
	} `json:"logprobs"`
}

type deltaJSON struct {
	Content          rawJSON    `json:"content"`
	ReasoningContent rawJSON    `json:"reasoning_content"`
	Reasoning        rawJSON    `json:"reasoning"` // another engine's word for it
	Refusal          rawJSON    `json:"refusal"`
	ToolCalls        []callJSON `json:"tool_calls"`
}

type callJSON struct {
	Index    *int    `json:"index"`
	ID       rawJSON `json:"id"`
	Function struct {
		Name      rawJSON `json:"name"`
		Arguments rawJSON `json:"arguments"`
	} `json:"function"`
}

// take gives the pieces of a chunk. Only the first choice counts: the requests here ask for one.
func (c *chunks) take(raw []byte) (pieces []piece) {
	var in chunkJSON
	if json.Unmarshal(raw, &in) != nil {
		return nil
	}
	if in.Usage != nil {
		c.usage = in.Usage
	}
	for _, choice := range in.Choices {
		if choice.Index != 0 {
			continue
		}
		if choice.Finish != nil && *choice.Finish != "" {
			c.finish = *choice.Finish
		}
		for _, stop := range []rawJSON{choice.Stop, choice.Matched} {
			if !isNull(stop) {
				c.stop = stop
			}
		}
		said := choice.Delta
		if said == nil {
			said = choice.Message
		}
		if said == nil {
			continue
		}
		var logprobs []rawJSON
		if choice.Logprobs != nil {
			logprobs = choice.Logprobs.Content
		}
		pieces = c.said(pieces, said, logprobs)
	}
	return pieces
}

func (c *chunks) said(pieces []piece, d *deltaJSON, logprobs []rawJSON) []piece {
	add := func(k kind, v rawJSON, logprobs []rawJSON) bool {
		t, ok := inside(v)
		if ok && (len(t) > 0 || len(logprobs) > 0) {
			pieces = append(pieces, piece{kind: k, text: t, logprobs: logprobs})
			return true
		}
		return false
	}
	if !add(reasoning, d.ReasoningContent, nil) {
		add(reasoning, d.Reasoning, nil)
	}
	add(textual, d.Content, logprobs)
	add(refusal, d.Refusal, nil)
	for _, call := range d.ToolCalls {
		id, _ := inside(call.ID)
		name, _ := inside(call.Function.Name)
		arguments, _ := inside(call.Function.Arguments)
		pieces = append(pieces, piece{kind: calling, call: c.place(call.Index, id), id: id, name: name, text: arguments})
	}
	return pieces
}

// place is the index of a call. Where an engine gives none, a new id begins a new call and all
// else goes on with the last one.
func (c *chunks) place(index *int, id text) int {
	if c.ids == nil {
		c.ids = map[int]string{}
	}
	at := c.last
	switch {
	case index != nil:
		at = *index
	case len(id) > 0 && len(c.ids) > 0:
		at = c.named(string(id))
	}
	if _, known := c.ids[at]; !known {
		c.ids[at] = string(id)
	}
	c.last = at
	return at
}

func (c *chunks) named(id string) int {
	for at, known := range c.ids {
		if known == id {
			return at
		}
	}
	return slices.Max(slices.Collect(maps.Keys(c.ids))) + 1
}
