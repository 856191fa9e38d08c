// Package history is what clients did and were told while machines died, and the proof that
// all of it was right.
//
// A Recorder takes operations down on one monotonic clock and writes them to a file of JSON
// lines; Read reads one back, so that a violation can be looked at later. Check goes through
// a history and names every breach of an invariant of the reliability page, with the
// operations concerned. It reads nothing but the history: no queen is asked.
//
// What is unknown stays unknown: a call without an answer may have been done at any time
// after it began, or never, and nothing is concluded from it that does not hold both ways.
//
// What a history must hold to prove much: a strong List after the faults have stopped and
// everything has ended (Ended, Refusals), samples of Workers and of Lists of one page
// (Slots), Hashes of equal indexes at all queens (Equal). Lists of all jobs cost a row for
// every job each time: samples filter by state=running.
//
// Concurrency: a Recorder may be used by many goroutines, a Call belongs to its client's.
// The checks are plain functions.
//
// To add a check: a function of *court with a file of its own, a name in Rules and a line in
// Check (check.go), and a history that it finds wrong in check_test.go.
package history
