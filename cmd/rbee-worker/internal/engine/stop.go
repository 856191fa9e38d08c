package engine

import "strings"

// stopFilter ends a text before the first of its stop strings, wherever in a token it begins
// and over however many tokens it goes. Tokens that may turn out to be the beginning of one
// are held back; they come out whole, so that a token is still one chunk.
type stopFilter struct {
	stops []string
	held  []string
}

// add takes the next token and returns what may be sent. When stopped is true, the text is
// over and nothing more may be added.
func (f *stopFilter) add(token string) (out []string, stopped bool) {
	if len(f.stops) == 0 {
		return []string{token}, false
	}
	f.held = append(f.held, token)
	text := strings.Join(f.held, "")
	if at := firstOf(text, f.stops); at >= 0 {
		return f.release(at, true), true
	}
	return f.release(len(text)-openEnd(text, f.stops), false), false
}

// rest is what was held back when the text ends for another reason.
func (f *stopFilter) rest() []string {
	out := f.held
	f.held = nil
	return out
}

// release returns the held tokens that lie before a byte of the held text; the one that the
// byte is in is cut there when the text is over, else held on to.
func (f *stopFilter) release(before int, over bool) []string {
	n := 0
	for n < len(f.held) && len(f.held[n]) <= before {
		before -= len(f.held[n])
		n++
	}
	out := f.held[:n:n]
	if over && before > 0 {
		out = append(out, f.held[n][:before])
	}
	f.held = f.held[n:]
	return out
}

// firstOf is where the earliest stop string begins, or -1.
func firstOf(text string, stops []string) int {
	first := -1
	for _, s := range stops {
		if i := strings.Index(text, s); i >= 0 && (first < 0 || i < first) {
			first = i
		}
	}
	return first
}

// openEnd is the length of the longest end of text that is the beginning of a stop string.
func openEnd(text string, stops []string) int {
	longest := 0
	for _, s := range stops {
		for n := min(len(s)-1, len(text)); n > longest; n-- {
			if strings.HasSuffix(text, s[:n]) {
				longest = n
				break
			}
		}
	}
	return longest
}
