// Package engine runs requests on a model the way a real engine does: with a fixed number of
// slots, a queue before them, a pace, and the faults it was told to show.
//
// Invariants: never more requests run than there are slots; slots are given in the order they
// were asked for; a request whose context ends gives up its slot, or its place in the queue,
// at once. The text of a request depends on the request alone, never on load or on the pace.
//
// Concurrency: every method of Engine, Slots and Faults may be called from any goroutine. An
// Engine starts none of its own: a request runs on its caller's.
//
// To add a fault: a field of FaultPlan and its line in Faults.Reserve or Sent, a flag in
// cmd/rbee-worker/options.go.
package engine
