// Package engine runs and speaks to engines: processes that hold one model each and answer the
// OpenAI API on a loopback port (llama-server, vLLM, our own rbee-worker).
//
// These things, each usable without the others:
//
//   - Definition: how an engine is started, as an operator wrote it (Spec is its YAML).
//   - Worker: the supervisor of one process. Run owns all its state in one loop; State, Alive,
//     Generation and Tail may be called from any goroutine at any time.
//   - Listing: what an engine serves that has a list of its own: an external server, which runs
//     already and which a Worker only watches, or an Ollama library.
//   - Stream: one request to an engine as a stream, read to its honest end. Whole: one that has a
//     single answer (embeddings, a ranking, audio, images), read to its end.
//   - Resume: a Stream that was broken off here and that the engine has kept; Forget ends one.
//   - Orphan: a process that an earlier agent started and left behind.
//   - Process: such a process as a Worker can go on with it (Options.Adopt).
//
// Invariants:
//
//   - At most one process group per Worker at a time; when Run has returned none is left.
//   - State moves only along the table in transition.go, one step at a time. failed and stopped
//     are ends.
//   - Each start has a fresh port, a fresh key and the next generation number. The context of a
//     generation ends no later than its process.
//   - A stream is complete only with a finish_reason for every choice and [DONE]. A broken
//     connection is never read as an end.
//   - An engine outlives its agent: it writes its log itself, in a process group of its own. An
//     adopted one is ready when it is healthy and works on nothing any more.
//   - Everything an engine sends is bounded: lines, headers, error bodies, log files.
//
// To add a field to the config: Spec and its known keys in spec.go, Definition, docs. To add a
// template field: Vars in command.go. To add a state: transition.go, and hives.WorkerState.
package engine
