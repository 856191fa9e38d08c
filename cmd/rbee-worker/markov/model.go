package markov

import (
	"fmt"
	"unicode/utf8"
)

// Limits of a text to learn from: below the first there is no choice to draw from, above the
// second learning would take minutes and gigabytes.
const (
	MinWords = 16
	MaxBytes = 64 << 20
)

// wordID is a word of the vocabulary: an index into Model.words, in order of first appearance.
type wordID uint32

// follower is a word that was seen after a state, and how often.
type follower struct {
	word  wordID
	count uint32
}

type pair [2]uint32 // keys of the last two words

// Model is what was learnt from one text. It never changes after Learn.
type Model struct {
	words    []string          // surface forms, with punctuation
	keyOf    []uint32          // by wordID: the key of its word
	keys     map[string]uint32 // key -> number
	first    [][]follower      // by key: what follows one word
	second   map[pair][]follower
	openings map[string][]opening // by bare word: the beginnings of the sentences that hold it
	total    int                  // words of the text
}

// Learn reads a text and counts which words follow which.
func Learn(text string) (*Model, error) {
	if len(text) > MaxBytes {
		return nil, fmt.Errorf("text to learn from has %d bytes, at most %d are read", len(text), MaxBytes)
	}
	if !utf8.ValidString(text) {
		return nil, fmt.Errorf("text to learn from is not UTF-8")
	}
	tokens := split(text)
	if len(tokens) < MinWords {
		return nil, fmt.Errorf("text to learn from has %d words, at least %d are needed", len(tokens), MinWords)
	}
	m := &Model{
		keys:     make(map[string]uint32),
		second:   make(map[pair][]follower),
		openings: make(map[string][]opening),
		total:    len(tokens),
	}
	ids := m.number(tokens)
	m.count(ids)
	m.findOpenings(ids)
	return m, nil
}

// Words is how many words the model was learnt from.
func (m *Model) Words() int { return m.total }

// Vocabulary is how many different words it knows, with their punctuation.
func (m *Model) Vocabulary() int { return len(m.words) }

// number gives every different word an id and a key. The sentence end is key 0, always known.
func (m *Model) number(tokens []string) []wordID {
	m.keyNumber(sentenceEnd)
	seen := make(map[string]wordID)
	ids := make([]wordID, len(tokens))
	for i, t := range tokens {
		id, ok := seen[t]
		if !ok {
			id = wordID(len(m.words))
			seen[t] = id
			m.words = append(m.words, t)
			m.keyOf = append(m.keyOf, m.keyNumber(key(t)))
		}
		ids[i] = id
	}
	return ids
}

func (m *Model) keyNumber(k string) uint32 {
	n, ok := m.keys[k]
	if !ok {
		n = uint32(len(m.keys))
		m.keys[k] = n
		m.first = append(m.first, nil)
	}
	return n
}

// count reads the text as a ring: its last word is followed by its first, so that no state is
// a dead end.
func (m *Model) count(ids []wordID) {
	n := len(ids)
	for i, id := range ids {
		a, b := m.keyOf[ids[(i+n-2)%n]], m.keyOf[ids[(i+n-1)%n]]
		m.first[b] = add(m.first[b], id)
		p := pair{a, b}
		m.second[p] = add(m.second[p], id)
	}
	if len(m.first[0]) == 0 { // no sentence ends: a text still has to begin somewhere
		m.first[0] = add(nil, ids[0])
	}
}

// add counts one more w. Lists are short but for the commonest words, and their order is the
// order of first appearance: no map order ever shows.
func add(list []follower, w wordID) []follower {
	for i := range list {
		if list[i].word == w {
			list[i].count++
			return list
		}
	}
	return append(list, follower{word: w, count: 1})
}
