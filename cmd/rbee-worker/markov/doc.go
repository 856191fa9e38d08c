// Package markov is the language model of the built-in engine: a word-level Markov chain of
// order 2 that falls back to order 1, learnt at start from a text.
//
// What it promises:
//   - A token is one word of the text with its punctuation, so the number of tokens of any
//     text is the number of its words (CountTokens).
//   - The same model text, prompt, seed and sampling give the same tokens, on any machine and
//     under any load: the random numbers are a PCG seeded from seed and prompt, weights are
//     whole numbers when a choice is drawn, and the powers behind temperature use only
//     operations that IEEE 754 rounds exactly (arith.go).
//   - It has no end-of-text token: it goes on until the caller has enough.
//
// A Model never changes after Learn and may be used by any number of goroutines. A Sequence
// belongs to one goroutine.
//
// To add a sampling setting: a field in Sampling (sampling.go), its use in draw, its range in
// the request decoder.
package markov
