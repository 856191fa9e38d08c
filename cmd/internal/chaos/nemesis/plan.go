package nemesis

import (
	"math/rand/v2"
	"time"
)

// Step is one fault.
type Step struct {
	Kind  Kind
	After time.Duration // from the start of its round
	For   time.Duration // from break to heal
	Pick  uint64        // chooses the target among those there are when its time has come
}

// Round is one step, or two that overlap, and the pause after they are healed.
type Round struct {
	Steps []Step
	Pause time.Duration
}

// Pauses between rounds: long enough for some to see the cluster whole again, too short for
// others.
const (
	shortPause = 500 * time.Millisecond
	longPause  = 3 * time.Second
	pairs      = 5 // every so many rounds have two steps
)

// Plan is the rounds of a seed, together at least as long as total. Every kind comes once
// before any comes again. No kinds make no rounds.
func Plan(seed uint64, total time.Duration, chosen []Kind) []Round {
	p := planner{rng: rand.New(rand.NewPCG(seed, 0x6e656d65736973)), chosen: chosen}
	var rounds []Round
	for at := time.Duration(0); at < total && len(chosen) > 0; {
		r := p.round()
		rounds = append(rounds, r)
		at += r.length()
	}
	return rounds
}

func (r Round) length() time.Duration {
	var longest time.Duration
	for _, s := range r.Steps {
		longest = max(longest, s.After+s.For)
	}
	return longest + r.Pause
}

// planner deals kinds like cards.
type planner struct {
	rng    *rand.Rand
	chosen []Kind
	deck   []Kind
}

func (p *planner) round() Round {
	first := p.step(p.deal(func(Kind) bool { return true }))
	r := Round{Steps: []Step{first}, Pause: p.between(shortPause, longPause)}
	if p.rng.IntN(pairs) > 0 || find(first.Kind).alone {
		return r
	}
	// Two that need the same of the machine would often want the same target.
	fits := func(k Kind) bool { return !find(k).alone && Needed(k) != Needed(first.Kind) }
	if other := p.deal(fits); other != "" {
		second := p.step(other)
		second.After = p.between(0, first.For)
		r.Steps = append(r.Steps, second)
	}
	return r
}

// deal takes the first card that fits off the deck, and shuffles a new one when it is empty.
// "" if none fits.
func (p *planner) deal(fits func(Kind) bool) Kind {
	if len(p.deck) == 0 {
		p.deck = append(p.deck, p.chosen...)
		p.rng.Shuffle(len(p.deck), func(i, j int) { p.deck[i], p.deck[j] = p.deck[j], p.deck[i] })
	}
	for i, k := range p.deck {
		if fits(k) {
			p.deck = append(p.deck[:i:i], p.deck[i+1:]...)
			return k
		}
	}
	return ""
}

func (p *planner) step(k Kind) Step {
	d := find(k)
	return Step{Kind: k, For: p.between(d.from, d.to), Pick: p.rng.Uint64()}
}

func (p *planner) between(from, to time.Duration) time.Duration {
	if to <= from {
		return from
	}
	return from + time.Duration(p.rng.Int64N(int64(to-from)))
}
