// Package bench is the frame of make bench: every figure of the project is taken here beside
// another one, in the same run, and told as their ratio, because absolute times of a shared
// machine say nothing.
//
// A Family measures one row or several that share what they need. Its Run opens that, hands
// Rounds.Each a function that takes every figure once, and closes it. The frame runs a round
// that does not count, then several that do, measures the machine's own noise before each
// (a fixed loop of the CPU and an fdatasync), and makes Rows of the medians, with the least
// and the greatest beside them. Report writes them as a table, as bench.json and as
// docs/performance.md.
//
// # bench.json
//
// {"commit","machine","rows":[{"name","unit","value","baseline","ratio","goal","met","runs"}]}
//
// value and baseline are medians over the rounds, ratio is value/baseline, null where a row
// has no baseline. goal is a sentence ("8 x or more", "5 ms or less", "measured"). met is null
// where nothing was measured or nothing is promised; note then says why. Beside these stand
// against (what the baseline is), min, max, baseline_min, baseline_max, noise (how much slower than
// its median the machine's own loop was in the worst moment of the row) and note.
//
// # Concurrency
//
// One goroutine runs one family after the other, so nothing measured disturbs another
// measurement. What a family starts, it ends before Run returns.
//
// # To add a row
//
// A Family in a file of its own, in core (the replicated core) or in a package beside it, and
// its line in that package's list; run/main.go joins the lists.
package bench
