// Package client speaks the queen API (/v2) over HTTP for the keeper, the demo and the
// end-to-end tests.
//
// Any queen accepts any request, so a Client knows several and stays with the one that last
// answered. It goes to the next when a connection fails or a queen answers 503 no_leader,
// unknown_outcome or replica_behind, and goes round until its patience is over. A request
// that may have been carried out is sent again only if that is harmless: GET, PUT, DELETE,
// or a POST with an Idempotency-Key.
//
// A Stream is one job's events over as many connections as it takes. What it promises:
// every record number of an attempt once and in order (a repeat is dropped and counted, a
// gap ends the stream with a *Violation), never two attempts mixed without a retry between
// them, exactly one end or error, last. A connection that closes with neither is resumed
// with Last-Event-ID at another queen.
//
// Everything that comes in is bounded: lines, frames, answers, and the time without a byte.
//
// Concurrency: a Client may be used by many goroutines; a Stream belongs to one. A Stream
// runs on its caller's goroutine; no call leaves a goroutine behind except the HTTP
// transport's kept connections, which Close ends.
//
// To add a call: its types go to types.go, the method to calls.go. To add an event: its
// fields to EventData in event.go, and its rule about ids to order.go.
package client
