package markov

import (
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func learnt(t testing.TB) *Model {
	t.Helper()
	m, err := Learn(Corpus())
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func take(q *Sequence, n int) string {
	var b strings.Builder
	for range n {
		b.WriteString(q.Next())
	}
	return b.String()
}

func ask(text string) Prompt { return Prompt{Parts: []string{"user", text}, Text: text} }

func TestLearnRefuses(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"too short", "only five words are here", "at least 16"},
		{"not text", strings.Repeat("word \xff\xfe ", 20), "UTF-8"},
		{"too long", strings.Repeat("a", MaxBytes+1), "at most"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := Learn(tt.text); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got error %v, want one with %q", err, tt.want)
			}
		})
	}
}

// A fixed text for a fixed seed: if this changes, every recorded stream of the built-in engine
// changes with it. Change it only together with the corpus or on purpose.
func TestGoldenText(t *testing.T) {
	m := learnt(t)
	const want = goldenChat
	if got := take(m.Begin(ask("Tell me about consensus."), 7, 0, Sampling{Temperature: 0.8, TopP: 0.95}), 40); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestSameSeedSameText(t *testing.T) {
	one, two := learnt(t), learnt(t) // two models: nothing may depend on map order
	rapid.Check(t, func(t *rapid.T) {
		p := Prompt{
			Parts:    rapid.SliceOfN(rapid.String(), 0, 4).Draw(t, "parts"),
			Text:     rapid.String().Draw(t, "text"),
			Continue: rapid.Bool().Draw(t, "continue"),
		}
		s := Sampling{
			Temperature:      rapid.Float64Range(0, 2).Draw(t, "temperature"),
			TopP:             rapid.Float64Range(0, 1).Draw(t, "top_p"),
			FrequencyPenalty: rapid.Float64Range(-2, 2).Draw(t, "frequency"),
			PresencePenalty:  rapid.Float64Range(-2, 2).Draw(t, "presence"),
		}
		seed, choice := rapid.Int64().Draw(t, "seed"), rapid.IntRange(0, 3).Draw(t, "choice")
		a, b := take(one.Begin(p, seed, choice, s), 50), take(two.Begin(p, seed, choice, s), 50)
		if a != b {
			t.Fatalf("differ:\n%s\n%s", a, b)
		}
		if CountTokens(a) != 50 {
			t.Fatalf("50 tokens counted as %d in %q", CountTokens(a), a)
		}
	})
}

func TestEverythingThatSeedsMatters(t *testing.T) {
	m := learnt(t)
	s := Sampling{Temperature: 1}
	base := take(m.Begin(ask("the leader"), 1, 0, s), 40)
	others := map[string]string{
		"seed":   take(m.Begin(ask("the leader"), 2, 0, s), 40),
		"choice": take(m.Begin(ask("the leader"), 1, 1, s), 40),
		"role":   take(m.Begin(Prompt{Parts: []string{"system", "the leader"}, Text: "the leader"}, 1, 0, s), 40),
		"cut":    take(m.Begin(Prompt{Parts: []string{"use", "rthe leader"}, Text: "the leader"}, 1, 0, s), 40),
	}
	for name, text := range others {
		if text == base {
			t.Errorf("another %s gave the same text", name)
		}
	}
}

func TestTextBeginsWithThePrompt(t *testing.T) {
	m := learnt(t)
	for seed := range int64(20) {
		text := take(m.Begin(ask("Please tell me about honey!"), seed, 0, Sampling{Temperature: 1}), openingWords)
		if !strings.Contains(strings.ToLower(text), "honey") {
			t.Errorf("seed %d: %q does not speak of honey", seed, text)
		}
	}
	// Continued, a text goes on with a word that followed these in the corpus.
	got := take(m.Begin(Prompt{Text: "A machine in a", Continue: true}, 0, 0, Sampling{}), 1)
	if got != " rack" && !strings.Contains(Corpus(), "in a"+got) {
		t.Errorf("%q never follows \"in a\"", got)
	}
}

func TestTemperatureAndTopPNarrow(t *testing.T) {
	m := learnt(t)
	distinct := func(s Sampling) int {
		seen := map[string]bool{}
		for seed := range int64(200) {
			seen[take(m.Begin(Prompt{Text: "the", Continue: true}, seed, 0, s), 1)] = true
		}
		return len(seen)
	}
	wide, hot := distinct(Sampling{Temperature: 1}), distinct(Sampling{Temperature: 2})
	cold, narrow := distinct(Sampling{Temperature: 0.2}), distinct(Sampling{Temperature: 1, TopP: 0.1})
	if greedy := distinct(Sampling{}); greedy != 1 {
		t.Errorf("temperature 0 drew %d different words, want 1", greedy)
	}
	if cold >= wide || narrow >= wide || hot <= wide {
		t.Errorf("different words: cold %d, top_p 0.1 %d, plain %d, hot %d", cold, narrow, wide, hot)
	}
}

func TestPenaltiesLowerRepeats(t *testing.T) {
	m := learnt(t)
	repeats := func(s Sampling) int {
		words := strings.Fields(take(m.Begin(ask("bees"), 3, 0, s), 300))
		slices.Sort(words)
		return 300 - len(slices.Compact(words))
	}
	plain := repeats(Sampling{Temperature: 1})
	if got := repeats(Sampling{Temperature: 1, FrequencyPenalty: 2}); got >= plain {
		t.Errorf("frequency_penalty 2: %d repeats, without it %d", got, plain)
	}
	if got := repeats(Sampling{Temperature: 1, PresencePenalty: 2}); got >= plain {
		t.Errorf("presence_penalty 2: %d repeats, without it %d", got, plain)
	}
}

func TestArithmeticAgainstTheStandardLibrary(t *testing.T) {
	near := func(a, b float64) bool { return math.Abs(a-b) <= 1e-12*math.Max(1, math.Abs(b)) }
	rapid.Check(t, func(t *rapid.T) {
		x := rapid.Float64Range(1e-9, 1).Draw(t, "x")
		y := rapid.Float64Range(0.1, 50).Draw(t, "y")
		if got, want := power(x, y), math.Pow(x, y); !near(got, want) {
			t.Fatalf("%v^%v = %v, want %v", x, y, got, want)
		}
		e := rapid.Float64Range(-20, 5).Draw(t, "e")
		if got, want := exp(e), math.Exp(e); !near(got, want) {
			t.Fatalf("e^%v = %v, want %v", e, got, want)
		}
	})
}

func TestCountTokensIsSplit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.String().Draw(t, "text")
		if CountTokens(text) != len(split(text)) {
			t.Fatalf("%q: %d tokens, %d words", text, CountTokens(text), len(split(text)))
		}
	})
	if n := CountTokens(" two\twords\n"); n != 2 {
		t.Errorf("got %d, want 2", n)
	}
}

func FuzzLearn(f *testing.F) {
	f.Add(Corpus()[:500])
	f.Add(strings.Repeat(". ", 40))
	f.Add(strings.Repeat("a a. ", 20))
	f.Add("no sentence ever ends here " + strings.Repeat("and on it goes ", 5))
	f.Fuzz(func(t *testing.T, text string) {
		m, err := Learn(text)
		if err != nil {
			return
		}
		for _, s := range []Sampling{{}, {Temperature: 2, TopP: 0.5, FrequencyPenalty: 2, PresencePenalty: -2}} {
			if got := take(m.Begin(ask(text), 1, 0, s), 30); CountTokens(got) != 30 {
				t.Fatalf("30 tokens counted as %d in %q", CountTokens(got), got)
			}
		}
	})
}

const goldenChat = "This is the whole secret of consensus. She flies out, and the dance. It is a snapshot must come in a " +
	"truck full of its leaders, and many can be explained, and a server told it is told. So that"
