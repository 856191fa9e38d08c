package markov

import (
	"crypto/sha256"
	"encoding/binary"
	"math/rand/v2"
)

// Prompt is what a text is made for.
type Prompt struct {
	// Parts are what the seed's random numbers depend on, all of them and their order:
	// for a chat, role and content of each message in turn.
	Parts []string
	// Text is what the model reads for its subject.
	Text string
	// Continue asks for a text that goes on where Text ends. Otherwise the model answers
	// it: it begins a sentence of its own about Text's subject.
	Continue bool
}

// Sequence makes one text, token by token. It belongs to one goroutine.
type Sequence struct {
	model    *Model
	sampling Sampling
	rng      *rand.Rand
	at       pair
	opening  opening // still to be said before the chain goes on alone
	said     map[wordID]int
	buf      []candidate
	bareNext bool // the next token stands at the beginning of a line: no space before it
}

// Begin starts one text. choice tells texts of the same request apart (n > 1).
func (m *Model) Begin(p Prompt, seed int64, choice int, s Sampling) *Sequence {
	q := &Sequence{model: m, sampling: s, rng: newRand(p.Parts, seed, choice)}
	if s.FrequencyPenalty != 0 || s.PresencePenalty != 0 {
		q.said = make(map[wordID]int)
	}
	words := lastWords(p.Text)
	if p.Continue {
		q.at = m.state(words)
		q.bareNext = p.Text == "" || isSpace(rune(p.Text[len(p.Text)-1]))
		return q
	}
	q.opening = m.answer(words, q.rng, s.Temperature <= 0)
	q.bareNext = true
	return q
}

// Next is the next token, with the space before it.
func (q *Sequence) Next() string {
	w := q.nextWord()
	if q.said != nil {
		q.said[w]++
	}
	q.at = pair{q.at[1], q.model.keyOf[w]}
	text := q.model.words[w]
	if q.bareNext {
		q.bareNext = false
		return text
	}
	return " " + text
}

func (q *Sequence) nextWord() wordID {
	if len(q.opening) > 0 {
		w := q.opening[0]
		q.opening = q.opening[1:]
		return w
	}
	q.buf = q.model.candidates(q.at, q.buf)
	return q.sampling.draw(q.buf, q.said, q.rng)
}

// newRand hashes lengths as well as bytes, so that no two lists of parts look alike.
func newRand(parts []string, seed int64, choice int) *rand.Rand {
	h := sha256.New()
	var n [8]byte
	number := func(v uint64) {
		binary.LittleEndian.PutUint64(n[:], v)
		h.Write(n[:])
	}
	number(uint64(seed))
	number(uint64(choice))
	for _, p := range parts {
		number(uint64(len(p)))
		h.Write([]byte(p))
	}
	sum := h.Sum(nil)
	return rand.New(rand.NewPCG(binary.LittleEndian.Uint64(sum), binary.LittleEndian.Uint64(sum[8:])))
}

// lastWords splits only the end of a long prompt: a subject is looked for there alone.
func lastWords(text string) []string {
	const tail = 16 << 10
	if len(text) > tail {
		text = text[len(text)-tail:]
	}
	return split(text)
}
