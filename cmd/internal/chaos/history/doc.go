// Package history is what clients did and were told while machines died.
//
// A Recorder takes operations down on one monotonic clock and writes them to a file of JSON
// lines; Read reads one back, so that a violation can be looked at later. Order holds one
// client's stream to the contract.
//
// What is unknown stays unknown: a call without an answer may have been done at any time
// after it began, or never.
//
// Concurrency: a Recorder may be used by many goroutines, a Call belongs to its client's.
package history
