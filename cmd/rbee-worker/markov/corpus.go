package markov

import _ "embed"

//go:embed corpus.txt
var corpus string

// Corpus is the text the built-in model learns from.
func Corpus() string { return corpus }
