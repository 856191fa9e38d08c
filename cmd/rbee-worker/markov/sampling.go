package markov

import (
	"math/rand/v2"
	"slices"
)

// Sampling says how the next token is drawn. The zero value is greedy.
type Sampling struct {
	Temperature      float64 // 0: always the likeliest; 1: as often as learnt; above: flatter
	TopP             float64 // the likeliest tokens whose shares reach it, 0 or 1: all
	FrequencyPenalty float64 // lowers a token for each time it was said
	PresencePenalty  float64 // lowers a token that was said at all
}

// pairWeight is how much more order 2 counts than order 1: enough for sentences that hold
// together, little enough that the text is not repeated by heart.
const pairWeight = 6

// scale turns shares into whole numbers, whose sums have no rounding: 2^40 leaves room for
// 2^24 candidates.
const scale = 1 << 40

type candidate struct {
	word   wordID
	weight float64 // relative to the heaviest, in (0, 1]
	share  uint64
}

// candidates lists what may follow a state in the order it was learnt, without repeats. The
// list is never empty: whatever was said last was followed by something in the text.
func (m *Model) candidates(at pair, buf []candidate) []candidate {
	buf = buf[:0]
	for _, f := range m.second[at] {
		buf = append(buf, candidate{word: f.word, weight: float64(f.count) * pairWeight})
	}
	byPair := len(buf)
	for _, f := range m.first[at[1]] {
		i := slices.IndexFunc(buf[:byPair], func(c candidate) bool { return c.word == f.word })
		if i >= 0 {
			buf[i].weight += float64(f.count)
			continue
		}
		buf = append(buf, candidate{word: f.word, weight: float64(f.count)})
	}
	return buf
}

// draw chooses one of the candidates, of which there is at least one. It may reorder them.
func (s Sampling) draw(c []candidate, said map[wordID]int, rng *rand.Rand) wordID {
	s.penalise(c, said)
	slices.SortStableFunc(c, func(a, b candidate) int {
		switch {
		case a.weight > b.weight:
			return -1
		case a.weight < b.weight:
			return 1
		}
		return 0
	})
	if s.Temperature <= 0 {
		return c[0].word
	}
	total := s.shares(c)
	c, total = s.nucleus(c, total)
	at := rng.Uint64N(total)
	for _, one := range c {
		if at < one.share {
			return one.word
		}
		at -= one.share
	}
	return c[0].word // not reached: the shares sum to total
}

// penalise multiplies by e^-penalty, which is what subtracting it from a logit does.
func (s Sampling) penalise(c []candidate, said map[wordID]int) {
	if s.FrequencyPenalty == 0 && s.PresencePenalty == 0 {
		return
	}
	for i := range c {
		if n := said[c[i].word]; n > 0 {
			penalty := float64(s.FrequencyPenalty*float64(n)) + s.PresencePenalty
			c[i].weight *= exp(-penalty)
		}
	}
}

// shares fills in each candidate's share after temperature and returns their sum.
func (s Sampling) shares(c []candidate) uint64 {
	heaviest := c[0].weight
	var total uint64
	for i := range c {
		w := c[i].weight / heaviest
		if s.Temperature != 1 {
			w = power(w, 1/s.Temperature)
		}
		c[i].share = uint64(w * scale)
		total += c[i].share
	}
	return total
}

// nucleus keeps the heaviest candidates until their shares reach TopP of all.
func (s Sampling) nucleus(c []candidate, total uint64) ([]candidate, uint64) {
	if s.TopP <= 0 || s.TopP >= 1 {
		return c, total
	}
	enough := s.TopP * float64(total)
	var sum uint64
	for i := range c {
		sum += c[i].share
		if float64(sum) >= enough {
			return c[:i+1], sum
		}
	}
	return c, total
}
