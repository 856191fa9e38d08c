package engine

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"queen-rbee/cmd/rbee-worker/internal/openai"
	"queen-rbee/cmd/rbee-worker/markov"
)

var learnOnce = sync.OnceValues(func() (*markov.Model, error) { return markov.Learn(markov.Corpus()) })

func newEngine(t *testing.T, change func(*Config)) *Engine {
	t.Helper()
	model, err := learnOnce()
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{Model: model, Slots: NewSlots(2, 8), Faults: NewFaults(NoFaults()), Context: 100}
	if change != nil {
		change(&cfg)
	}
	return New(cfg)
}

func request(t *testing.T, body string) *openai.Request {
	t.Helper()
	r, err := openai.DecodeChat([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// recorder keeps what a run says, and calls a hook before each token.
type recorder struct {
	began   bool
	tokens  map[int][]string
	reasons map[int]string
	onToken func() error
}

func record() *recorder { return &recorder{tokens: map[int][]string{}, reasons: map[int]string{}} }

func (r *recorder) Begin() error { r.began = true; return nil }

func (r *recorder) Token(i int, text string) error {
	r.tokens[i] = append(r.tokens[i], text)
	if r.onToken != nil {
		return r.onToken()
	}
	return nil
}

func (r *recorder) End(i int, reason string) error { r.reasons[i] = reason; return nil }

func (r *recorder) text(i int) string { return strings.Join(r.tokens[i], "") }

func TestLengthsAndUsage(t *testing.T) {
	const long = 300
	tests := []struct {
		name, body string
		context    int
		want       openai.Usage
	}{
		{"as asked", `{"messages":[{"role":"user","content":"two words"}],"max_tokens":7}`, 100, openai.Usage{PromptTokens: 2, CompletionTokens: 7, TotalTokens: 9}},
		{"every message counts", `{"messages":[{"role":"system","content":"be brief"},{"role":"user","content":"a  b\nc"}],"max_tokens":1}`, 100, openai.Usage{PromptTokens: 5, CompletionTokens: 1, TotalTokens: 6}},
		{"each choice counts", `{"messages":[{"role":"user","content":"hi"}],"max_tokens":4,"n":3}`, 100, openai.Usage{PromptTokens: 1, CompletionTokens: 12, TotalTokens: 13}},
		{"context ends it", `{"messages":[{"role":"user","content":"hi you"}],"max_tokens":5000}`, 50, openai.Usage{PromptTokens: 2, CompletionTokens: 48, TotalTokens: 50}},
		{"default", `{"messages":[{"role":"user","content":"hi"}]}`, long, openai.Usage{PromptTokens: 1, CompletionTokens: DefaultMaxTokens, TotalTokens: 1 + DefaultMaxTokens}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e, out := newEngine(t, func(c *Config) { c.Context = tt.context }), record()
			usage, err := e.Run(t.Context(), request(t, tt.body), out)
			if err != nil || usage != tt.want {
				t.Fatalf("got %+v, %v; want %+v", usage, err, tt.want)
			}
			sent := 0
			for i, reason := range out.reasons {
				sent += len(out.tokens[i])
				if reason != ReasonLength {
					t.Errorf("choice %d ended by %q", i, reason)
				}
			}
			if sent != usage.CompletionTokens {
				t.Errorf("%d tokens sent, %d counted", sent, usage.CompletionTokens)
			}
		})
	}
}

func TestStopEndsAText(t *testing.T) {
	const body = `{"messages":[{"role":"user","content":"honey"}],"seed":4,"max_tokens":30}`
	e, plain := newEngine(t, nil), record()
	if _, err := e.Run(t.Context(), request(t, body), plain); err != nil {
		t.Fatal(err)
	}
	stop := strings.TrimSpace(strings.Join(plain.tokens[0][9:12], "")) // three tokens long
	r, out := request(t, body), record()
	r.Stop = []string{stop}
	usage, err := e.Run(t.Context(), r, out)
	if err != nil {
		t.Fatal(err)
	}
	want, _, _ := strings.Cut(plain.text(0), stop)
	if out.text(0) != want || out.reasons[0] != ReasonStop {
		t.Errorf("stop %q: got %q by %q, want %q", stop, out.text(0), out.reasons[0], want)
	}
	if usage.CompletionTokens < 10 || usage.CompletionTokens > 12 {
		t.Errorf("%d tokens were made for a stop over tokens 10 to 12", usage.CompletionTokens)
	}
}

func TestTextDoesNotDependOnLoad(t *testing.T) {
	const body = `{"messages":[{"role":"user","content":"votes"}],"seed":11,"max_tokens":60}`
	alone := record()
	if _, err := newEngine(t, nil).Run(t.Context(), request(t, body), alone); err != nil {
		t.Fatal(err)
	}
	e := newEngine(t, func(c *Config) { c.Slots = NewSlots(4, 100) })
	outs := make([]*recorder, 16)
	var group sync.WaitGroup
	for i := range outs {
		outs[i] = record()
		group.Go(func() {
			if _, err := e.Run(t.Context(), request(t, body), outs[i]); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	for i, out := range outs {
		if out.text(0) != alone.text(0) {
			t.Errorf("run %d under load differs", i)
		}
	}
}

func TestEveryTextIsPaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, out := newEngine(t, func(c *Config) { c.Rate = 10 }), record()
		start := time.Now()
		if _, err := e.Run(t.Context(), request(t, `{"messages":[{"role":"user","content":"hi"}],"max_tokens":50,"n":2}`), out); err != nil {
			t.Fatal(err)
		}
		if got := time.Since(start); got != 5*time.Second {
			t.Errorf("50 tokens at 10/s took %s, want 5s", got)
		}
	})
}

func TestLeavingFreesTheSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, out := newEngine(t, func(c *Config) { c.Rate = 0.01 }), record()
		ctx, cancel := context.WithCancel(t.Context())
		var err error
		go func() { _, err = e.Run(ctx, request(t, `{"messages":[{"role":"user","content":"hi"}]}`), out) }()
		synctest.Wait()
		if busy, _ := e.Slots().Busy(); !busy[0] || !out.began {
			t.Fatal("the run holds no slot")
		}
		before := time.Now()
		cancel()
		synctest.Wait()
		if busy, _ := e.Slots().Busy(); busy[0] || !errors.Is(err, context.Canceled) {
			t.Errorf("slot busy: %v, error %v", busy[0], err)
		}
		if !time.Now().Equal(before) {
			t.Error("it took time")
		}
	})
}

func TestFaults(t *testing.T) {
	const body = `{"messages":[{"role":"user","content":"hi"}],"max_tokens":20}`
	tests := []struct {
		name   string
		plan   FaultPlan
		want   error
		tokens int
		died   bool
	}{
		{"die", FaultPlan{DieAfter: 5, HangAfter: Off, ErrorAfter: Off}, ErrDied, 5, true},
		{"die at once", FaultPlan{DieAfter: 0, HangAfter: Off, ErrorAfter: Off}, ErrDied, 0, true},
		{"error", FaultPlan{DieAfter: Off, HangAfter: Off, ErrorAfter: 7}, ErrFault, 7, false},
		{"hang", FaultPlan{DieAfter: Off, HangAfter: 3, ErrorAfter: Off}, context.DeadlineExceeded, 3, false},
		{"none", NoFaults(), nil, 20, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				died := false
				tt.plan.Die = func() { died = true }
				e, out := newEngine(t, func(c *Config) { c.Faults = NewFaults(tt.plan) }), record()
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				_, err := e.Run(ctx, request(t, body), out)
				if !errors.Is(err, tt.want) || len(out.tokens[0]) != tt.tokens || died != tt.died {
					t.Errorf("got %v after %d tokens, died %v; want %v, %d, %v", err, len(out.tokens[0]), died, tt.want, tt.tokens, tt.died)
				}
				if busy, _ := e.Slots().Busy(); busy[0] {
					t.Error("the slot is still held")
				}
			})
		})
	}
}

func TestCheckRefusesAFullContext(t *testing.T) {
	e := newEngine(t, func(c *Config) { c.Context = 5 })
	var exceeded *openai.ContextExceeded
	if err := e.Check(request(t, `{"messages":[{"role":"user","content":"a b c d e"}]}`)); !errors.As(err, &exceeded) {
		t.Errorf("got %v", err)
	}
	if err := e.Check(request(t, `{"messages":[{"role":"user","content":"a b c d"}]}`)); err != nil {
		t.Error(err)
	}
}

func TestASinkThatFailsEndsTheRun(t *testing.T) {
	e, out, gone := newEngine(t, nil), record(), errors.New("gone")
	out.onToken = func() error { return gone }
	if _, err := e.Run(t.Context(), request(t, `{"messages":[{"role":"user","content":"hi"}]}`), out); !errors.Is(err, gone) || len(out.tokens[0]) != 1 {
		t.Errorf("got %v after %d tokens", err, len(out.tokens[0]))
	}
}
