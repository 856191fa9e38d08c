package markov

import "math/rand/v2"

const (
	openingWords  = 8  // an opening reaches its subject within so many words
	openingsEach  = 24 // a word that opens more sentences is too common to be a subject
	subjectLength = 3  // so is one of fewer letters
	promptWords   = 64 // so many last words of a prompt are searched for a subject
)

// opening is the beginning of a sentence of the text, up to and with the word it is filed under.
type opening []wordID

// findOpenings files the beginning of every sentence under each of its first words.
func (m *Model) findOpenings(ids []wordID) {
	start := 0
	for i, id := range ids {
		if i-start < openingWords {
			if w := bare(m.words[id]); len(w) >= subjectLength && len(m.openings[w]) <= openingsEach {
				m.openings[w] = append(m.openings[w], opening(ids[start:i+1]))
			}
		}
		if m.keyOf[id] == 0 {
			start = i + 1
		}
	}
	for w, list := range m.openings { // deletes only: the order does not show
		if len(list) > openingsEach {
			delete(m.openings, w)
		}
	}
}

// answer is how the model begins to speak about a prompt: with the beginning of a sentence
// that reaches the prompt's last word it knows something of. Nil when it knows none.
func (m *Model) answer(prompt []string, rng *rand.Rand, greedy bool) opening {
	for i := len(prompt) - 1; i >= 0 && i >= len(prompt)-promptWords; i-- {
		list := m.openings[bare(prompt[i])]
		if len(list) == 0 {
			continue
		}
		if greedy {
			return list[0]
		}
		return list[rng.IntN(len(list))]
	}
	return nil
}

// state is where the chain stands after a text: the keys of its last two words, when it knows
// them. An unknown word is stepped over, so that the text goes on from the last thing known.
func (m *Model) state(text []string) pair {
	at := pair{0, 0}
	known := 0
	for i := len(text) - 1; i >= 0 && i >= len(text)-promptWords && known < 2; i-- {
		if k, ok := m.keys[key(text[i])]; ok {
			at[1-known] = k
			known++
		}
	}
	return at
}
