// Package serve puts an engine behind HTTP, with the routes and the manners of llama-server
// where those are good, and of the OpenAI API where they are not.
//
// Life: a Server answers 503 "Loading model" on every route until Ready. Close ends every
// request at once, without a clean end of its stream, and returns when the last handler has.
// A client that goes away frees its slot at once, in the queue as well as in the stream.
//
// A stream is a role chunk (chat only), one chunk for each token, a chunk with the
// finish_reason for each choice, a chunk with usage and no choices where that was asked for,
// and [DONE]. What ends without [DONE] was not complete.
//
// Handlers run on the HTTP server's goroutines; nothing here starts one. To add a route:
// Handler in server.go, its function in a file of its own or in info.go.
package serve
