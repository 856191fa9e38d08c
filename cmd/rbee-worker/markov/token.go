package markov

import "strings"

// sentenceEnd is the key of every word that closes a sentence: what follows one may follow
// any other, which is what lets the chain change its subject at a full stop.
const sentenceEnd = "."

// CountTokens is the number of tokens of a text: its words.
func CountTokens(text string) int {
	n, inWord := 0, false
	for _, r := range text {
		space := isSpace(r)
		if !space && !inWord {
			n++
		}
		inWord = !space
	}
	return n
}

func isSpace(r rune) bool {
	return r == ' ' || (r >= '\t' && r <= '\r') || r == '\u0085' || r == '\u00a0'
}

// split cuts a text at the same places CountTokens counts.
func split(text string) []string { return strings.FieldsFunc(text, isSpace) }

// key is the form of a word that states are made of: lower case, without the punctuation
// around it; sentenceEnd for a word that closes a sentence. Empty for bare punctuation.
func key(word string) string {
	if endsSentence(word) {
		return sentenceEnd
	}
	return bare(word)
}

// bare is a word in lower case without the punctuation around it.
func bare(word string) string {
	return strings.ToLower(strings.Trim(word, ".,;:!?\"'()[]{}<>*_`~-"))
}

func endsSentence(word string) bool {
	w := strings.TrimRight(word, "\"')]")
	return w != "" && strings.ContainsRune(".!?", rune(w[len(w)-1]))
}
