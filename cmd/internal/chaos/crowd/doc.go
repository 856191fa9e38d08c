// Package crowd is the clients of a chaos run: each does one thing after the other at queens
// of its choice, as its seed says, notes everything in a history, and follows whatever it
// began to its end, through queens that die, freeze, are cut off and come back.
//
// A client streams (native and OpenAI), submits detached, asks twice under one
// Idempotency-Key, leaves in mid-stream and comes back elsewhere with Last-Event-ID, leaves
// for good, cancels, and reads states, lists, results and hashes, local and strong. It is
// patient as a program would be: a call gets some seconds, a silent stream is left for
// another queen.
//
// What is right and wrong is judged by the history's checks, but for what they do not read:
// lines that are no event stream, bodies that do not decode, and the OpenAI form of a stream
// (openai.go) are judged here and noted by Breach.
//
// Concurrency: one goroutine a client, which Run waits for. A Crowd's methods may be called
// by many.
//
// To add something clients do: a method of client and a line in stories (stories.go).
package crowd
