package engine

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func filter(stops, tokens []string) (out []string, stopped bool) {
	f := stopFilter{stops: stops}
	for _, t := range tokens {
		pieces, over := f.add(t)
		out = append(out, pieces...)
		if over {
			return out, true
		}
	}
	return append(out, f.rest()...), false
}

func TestStopFilter(t *testing.T) {
	tokens := []string{"The", " queen", " is", " warm.", " The", " rain"}
	tests := []struct {
		name    string
		stops   []string
		want    []string
		stopped bool
	}{
		{"none", nil, tokens, false},
		{"one token", []string{" is"}, []string{"The", " queen"}, true},
		{"over three tokens", []string{"queen is warm"}, []string{"The", " "}, true},
		{"inside a token", []string{"ar"}, []string{"The", " queen", " is", " w"}, true},
		{"begins but does not come", []string{"is cold"}, tokens, false},
		{"still open at the end", []string{" rain falls"}, tokens, false},
		{"the earliest of several", []string{"rain", "queen"}, []string{"The", " "}, true},
		{"longer one begins earlier", []string{"is", "queen is"}, []string{"The", " "}, true},
		{"at the very beginning", []string{"T"}, nil, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			out, stopped := filter(tt.stops, tokens)
			if !slices.Equal(out, tt.want) || stopped != tt.stopped {
				t.Errorf("got %q, stopped %v; want %q, %v", out, stopped, tt.want, tt.stopped)
			}
		})
	}
}

// Whatever the tokens and stops, the text is what cutting the whole text at the first stop
// string that was complete would give, and uncut tokens come out one by one.
func TestStopFilterAgainstTheWholeText(t *testing.T) {
	letters := rapid.StringMatching(`[ab ]{1,4}`)
	rapid.Check(t, func(t *rapid.T) {
		tokens := rapid.SliceOfN(letters, 0, 12).Draw(t, "tokens")
		stops := rapid.SliceOfN(letters, 0, 3).Draw(t, "stops")
		out, stopped := filter(stops, tokens)

		want, wantStopped, text := strings.Join(tokens, ""), false, ""
		for _, tok := range tokens {
			text += tok
			if at := firstOf(text, stops); at >= 0 {
				want, wantStopped = text[:at], true
				break
			}
		}
		if got := strings.Join(out, ""); got != want || stopped != wantStopped {
			t.Fatalf("got %q, %v; want %q, %v", got, stopped, want, wantStopped)
		}
		for i := range out {
			if i < len(out)-1 && out[i] != tokens[i] {
				t.Fatalf("chunk %d is %q, token %q", i, out[i], tokens[i])
			}
		}
	})
}
