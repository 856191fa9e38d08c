// Package httpapi is what clients see of a queen: the native API under /v2, the OpenAI API
// under /v1, health and metrics.
//
// The way of a request: routes.go names it (method, path, who may, how large), handler.go
// wraps it (identity, bounds, consistency, errors), one file per resource answers it. What
// changes the state goes through Queen.Do and is answered only when committed; what reads is
// answered from this replica's View, or from a strong one when asked or when an id is unknown.
//
// A stream is a reader (reader.go): a loop over the newest row of its job that waits while
// it is queued, attaches to the hive while it runs (follow.go), carries the hive's terminal
// record to the leader (report.go) and writes the end only when the state has it. Where the
// frames go is a sink (sink.go): native, OpenAI, or one whole answer; or another API's words for
// a chat (translated.go), which package translate finds.
//
// From its second record on a stream is copied by the pump (pump.go, on Linux): a few threads
// that wait in epoll for all streams at once. takeover.go takes the client's connection from
// net/http for that and gives it back at the end, passon.go hands over the hive's. Elsewhere, and
// over TLS, the reader goes on copying itself.
//
// Concurrency: every request is served by its own goroutine, which writes to its client, or sleeps
// while the pump copies. An attachment that the pump does not have has one more, watching the
// job's row, which writes comments while its hive is silent (sse.go takes both); proposals made
// off the path (Started, Finished, Hold, Release) run in goroutines that Close waits for.
//
// Everything that could grow has a bound, listed in docs/limits.md and shown at /metrics
// (bounds.go). To add one, add it to both: a test compares them.
//
// To add an endpoint: a line in routes.go, a handler in the file of its resource, its shape
// in docs/api.md, and a case in the bad-input table of its test.
package httpapi
