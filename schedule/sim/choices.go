package sim

import (
	"math/rand/v2"
	"time"
)

// choices is where everything that could be otherwise is drawn from: a stream of words made
// by a seed, or a script of words kept from an earlier run. Zero is always the plainest
// choice (no fault, least delay), so that a script is simplified by deleting and zeroing.
type choices struct {
	words []uint32 // drawn so far, or the script
	at    int
	rng   *rand.Rand // nil while a script is replayed
}

func seeded(seed uint64) *choices { return &choices{rng: rand.New(rand.NewPCG(seed, 0x5eed))} }

func scripted(words []uint32) *choices { return &choices{words: words} }

// next draws a word. Behind the end of a script every word is zero.
func (c *choices) next() uint32 {
	c.at++
	switch {
	case c.at <= len(c.words):
		return c.words[c.at-1]
	case c.rng == nil:
		return 0
	}
	v := c.rng.Uint32()
	c.words = append(c.words, v)
	return v
}

// below draws a number from 0 to n-1.
func (c *choices) below(n int) int { return int(c.next() % uint32(n)) }

// chance is true so many times in a thousand.
func (c *choices) chance(permille int) bool { return int(c.next()%1000) >= 1000-permille }

// between draws a duration in steps of a tenth of a millisecond.
func (c *choices) between(least, most time.Duration) time.Duration {
	const step = 100 * time.Microsecond
	return least + step*time.Duration(c.below(int((most-least)/step)+1))
}

// pick draws one of a list.
func pick[T any](c *choices, list ...T) T { return list[c.below(len(list))] }
