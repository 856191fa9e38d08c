package openai

import (
	"encoding/json"
	"math"
	"strings"

	"queen-rbee/cmd/rbee-worker/markov"
)

// Limits of one request. Bodies are bounded by the server, tokens by the context.
const (
	MaxChoices   = 128
	MaxStops     = 16
	MaxStopBytes = 1024
)

// Request is a request that this engine can carry out.
type Request struct {
	Chat         bool
	Model        string // empty: not named
	Prompts      []markov.Prompt
	PromptTokens int
	N            int // choices for each prompt
	Stream       bool
	IncludeUsage bool
	MaxTokens    int    // for each choice; 0: not given
	Seed         *int64 // nil: not given
	Stop         []string
	Sampling     markov.Sampling
}

// Choices is how many texts the answer has.
func (r *Request) Choices() int { return len(r.Prompts) * r.N }

// DecodeChat reads the body of /v1/chat/completions.
func DecodeChat(body []byte) (*Request, *Error) {
	f, err := readObject(body, "", "the body")
	if err != nil {
		return nil, err
	}
	r := &Request{Chat: true}
	f.refuse(unsupportedInChat)
	r.common(f)
	r.maxTokens(f, "max_completion_tokens")
	prompt := chatPrompt(f)
	r.Prompts = []markov.Prompt{prompt}
	return r.finish(f)
}

// DecodeCompletion reads the body of /v1/completions.
func DecodeCompletion(body []byte) (*Request, *Error) {
	f, err := readObject(body, "", "the body")
	if err != nil {
		return nil, err
	}
	r := &Request{}
	f.refuse(unsupportedInCompletion)
	r.common(f)
	for _, text := range prompts(f) {
		r.Prompts = append(r.Prompts, markov.Prompt{Parts: []string{"completion", text}, Text: text, Continue: true})
	}
	return r.finish(f)
}

func (r *Request) finish(f *fields) (*Request, *Error) {
	if r.Choices() > MaxChoices {
		f.fail("n", "times the prompts is %d choices; at most %d are made", r.Choices(), MaxChoices)
	}
	if f.err != nil {
		return nil, f.err
	}
	for i, p := range r.Prompts {
		if r.Chat {
			for j := 1; j < len(p.Parts); j += 2 {
				r.PromptTokens += markov.CountTokens(p.Parts[j])
			}
			continue
		}
		r.PromptTokens += markov.CountTokens(r.Prompts[i].Text)
	}
	return r, nil
}

// common reads what both endpoints share.
func (r *Request) common(f *fields) {
	r.Model, _ = f.text("model")
	r.N = 1
	if n, ok := f.whole("n", 1, MaxChoices); ok {
		r.N = int(n)
	}
	r.Stream = f.boolean("stream")
	r.streamOptions(f)
	r.maxTokens(f, "max_tokens")
	if seed, ok := f.whole("seed", math.MinInt64, math.MaxInt64); ok {
		r.Seed = &seed
	}
	r.Stop = stops(f)
	r.Sampling = markov.Sampling{
		Temperature:      f.number("temperature", 0, 2, 1),
		TopP:             f.number("top_p", 0, 1, 1),
		FrequencyPenalty: f.number("frequency_penalty", -2, 2, 0),
		PresencePenalty:  f.number("presence_penalty", -2, 2, 0),
	}
	if r.Sampling.TopP == 0 {
		r.Sampling.TopP = math.SmallestNonzeroFloat64 // the likeliest alone; 0 would mean all
	}
}

func (r *Request) maxTokens(f *fields, name string) {
	if v, ok := f.whole(name, 1, math.MaxInt32); ok {
		r.MaxTokens = int(v)
	}
}

func (r *Request) streamOptions(f *fields) {
	raw := f.get("stream_options")
	if raw == nil {
		return
	}
	if !r.Stream {
		f.fail("stream_options", "is only for streams; set stream to true or leave it out")
		return
	}
	o, err := readObject(raw, f.at+"stream_options", "stream_options")
	if err != nil {
		f.err = err
		return
	}
	r.IncludeUsage = o.boolean("include_usage")
	if f.err == nil {
		f.err = o.err
	}
}

func stops(f *fields) []string {
	var list []string
	switch f.kind("stop") {
	case 0:
		return nil
	case '"':
		one, _ := f.text("stop")
		list = []string{one}
	default:
		f.into("stop", &list, "a string or an array of strings")
	}
	if len(list) > MaxStops {
		f.fail("stop", "has %d strings; at most %d are looked for", len(list), MaxStops)
	}
	for _, s := range list {
		if s == "" || len(s) > MaxStopBytes {
			f.fail("stop", "has a string of %d bytes; each must have from 1 to %d", len(s), MaxStopBytes)
		}
	}
	return list
}

// prompts reads a text or a list of texts. Token ids mean nothing to a model of words.
func prompts(f *fields) []string {
	switch f.kind("prompt") {
	case 0:
		f.fail("prompt", "is required: give a string or an array of strings")
		return nil
	case '"':
		one, _ := f.text("prompt")
		return []string{one}
	}
	var list []json.RawMessage
	if !f.into("prompt", &list, "a string or an array of strings") {
		return nil
	}
	if len(list) == 0 || len(list) > MaxChoices {
		f.fail("prompt", "has %d texts; it must have from 1 to %d", len(list), MaxChoices)
		return nil
	}
	texts := make([]string, len(list))
	for i, raw := range list {
		if !strings.HasPrefix(string(raw), `"`) || json.Unmarshal(raw, &texts[i]) != nil {
			f.fail("prompt", "must be a string or an array of strings; this model has no token ids")
			return nil
		}
	}
	return texts
}
