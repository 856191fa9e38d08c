package engine

import (
	"context"
	"math/rand/v2"

	"queen-rbee/cmd/rbee-worker/internal/openai"
	"queen-rbee/cmd/rbee-worker/markov"
)

// DefaultMaxTokens is the length of a text whose request names none.
const DefaultMaxTokens = 256

// Reasons a text ends.
const (
	ReasonLength = "length"
	ReasonStop   = "stop"
)

// Config is what an engine is made of.
type Config struct {
	Model   *markov.Model
	Slots   *Slots
	Faults  *Faults
	Context int     // tokens of prompt and text together
	Rate    float64 // tokens per second of each text; 0: as fast as possible
}

// Engine runs requests.
type Engine struct{ cfg Config }

// New makes an engine of its parts.
func New(cfg Config) *Engine { return &Engine{cfg: cfg} }

// Slots tells which slots are busy.
func (e *Engine) Slots() *Slots { return e.cfg.Slots }

// Context is how many tokens a slot holds.
func (e *Engine) Context() int { return e.cfg.Context }

// Sink takes a request's output on the goroutine of Run. An error ends the run.
type Sink interface {
	Begin() error                        // a slot is held; nothing was made yet
	Token(choice int, text string) error // one token, whole unless a stop string cut it
	End(choice int, reason string) error // the text is over
}

// Check says whether every prompt of a request leaves room for a text.
func (e *Engine) Check(r *openai.Request) error {
	for _, p := range r.Prompts {
		if n := promptTokens(r, p); n >= e.cfg.Context {
			return &openai.ContextExceeded{PromptTokens: n, Context: e.cfg.Context}
		}
	}
	return nil
}

func promptTokens(r *openai.Request, p markov.Prompt) int {
	if r.Chat {
		return r.PromptTokens
	}
	return markov.CountTokens(p.Text)
}

// text is one choice in the making.
type text struct {
	sequence *markov.Sequence
	filter   stopFilter
	left     int // tokens it may still have
}

// Run waits for a slot, makes every text of the request, all of them in step, and returns
// what it used. It ends early with the context's error, the sink's, or a fault.
func (e *Engine) Run(ctx context.Context, r *openai.Request, out Sink) (openai.Usage, error) {
	usage := openai.Usage{PromptTokens: r.PromptTokens, TotalTokens: r.PromptTokens}
	slot, err := e.cfg.Slots.Acquire(ctx)
	if err != nil {
		return usage, err
	}
	defer e.cfg.Slots.Release(slot)
	if err := out.Begin(); err != nil {
		return usage, err
	}
	texts := e.begin(r)
	clock := newPace(e.cfg.Rate)
	for open := len(texts); open > 0; {
		if err := clock.wait(ctx); err != nil {
			return usage, err
		}
		for i, t := range texts {
			if t.left == 0 {
				continue
			}
			if err := e.step(ctx, i, t, out); err != nil {
				return usage, err
			}
			usage.CompletionTokens++
			usage.TotalTokens++
			if t.left == 0 {
				open--
			}
		}
	}
	return usage, nil
}

func (e *Engine) begin(r *openai.Request) []*text {
	seed := rand.Int64()
	if r.Seed != nil {
		seed = *r.Seed
	}
	texts := make([]*text, 0, r.Choices())
	for _, p := range r.Prompts {
		budget := e.cfg.Context - promptTokens(r, p)
		if r.MaxTokens > 0 {
			budget = min(budget, r.MaxTokens)
		} else {
			budget = min(budget, DefaultMaxTokens)
		}
		for choice := range r.N {
			texts = append(texts, &text{
				sequence: e.cfg.Model.Begin(p, seed, choice, r.Sampling),
				filter:   stopFilter{stops: r.Stop},
				left:     budget,
			})
		}
	}
	return texts
}

// step makes one token of one text.
func (e *Engine) step(ctx context.Context, i int, t *text, out Sink) error {
	n, err := e.cfg.Faults.Reserve(ctx)
	if err != nil {
		return err
	}
	t.left--
	pieces, stopped := t.filter.add(t.sequence.Next())
	if t.left == 0 && !stopped {
		pieces = append(pieces, t.filter.rest()...)
	}
	for _, p := range pieces {
		if err := out.Token(i, p); err != nil {
			return err
		}
	}
	if err := e.cfg.Faults.Sent(n); err != nil {
		return err
	}
	switch {
	case stopped:
		t.left = 0
		return out.End(i, ReasonStop)
	case t.left == 0:
		return out.End(i, ReasonLength)
	}
	return nil
}
