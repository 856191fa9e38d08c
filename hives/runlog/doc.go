// Package runlog keeps what runs on a hive have said: one append file per run (job id and
// attempt), and the renderings of it that readers get.
//
// # Records
//
// A log is a list of records, and record N of attempt A has the id `A.N` in every rendering:
//
//   - `started` is record 1 and carries no chunk.
//   - Each engine chunk with content (text, tool call, logprobs; any choice) is one record.
//     Chunks without content (role, finish, usage) wait in memory for the next record and are
//     written with it; the last ones are written with the end. `[DONE]` is never stored.
//   - The end carries hives.Terminal. Its number is Terminal.Events+1.
//   - A run that is not streamed has no content records: the engine's answer, whatever bytes it
//     is, goes into the record of the end.
//
// An attempt that continues another one after record S (Begin.Seq) numbers its first content
// record S+1. Its own `started` then adds no number: it has the number S, so that readers who
// have S records never see it and those who have fewer see it as the mark that S records came
// before. Only the case S = 0 (started is 1) is in use today.
//
// Natively each content record is one `token` event, whose index i follows from its number.
// The text of a record that closes the last open choice is a `token` natively; in OpenAI form
// its chunk says that the answer is over, so its frames, with its id A.N, are held back until
// the end of a complete run (or until another record shows that it was not over); of a run
// that did not complete only the id goes out. The last frame of the end has the id A.(N+1) in
// OpenAI form. Natively the end is only the end mark:
// the event that the client gets is made from the cluster's state.
//
// # Promises
//
//   - Numbers are 1, 2, 3, … without gap or repeat, for every reader, from every number.
//   - After End a log never changes. End happens once; who comes later gets the first Terminal.
//   - A record that a reader has seen is in the file. Appends are plain write(2) without fsync,
//     at the end too: the page cache outlives the agent, and a machine that dies takes the
//     whole hive with it, so syncing each token would buy nothing.
//   - A record half written when the agent died fails its length or checksum and is cut off by
//     the next Open. Logs without an end are then in Unfinished, for the agent to end.
//   - Memory: a log keeps its waiting chunks (bounded by Limits.RecordBytes; a whole answer by
//     Limits.LogBytes) and one offset per 64 records; a reader keeps one buffer of about 64 KiB,
//     or of one record if that is larger. There is no cache of the tail: the page cache is one.
//
// # Concurrency
//
// Everything but a single Reader (and Stream, Renderer) is safe for concurrent use. No
// goroutines are started. Readers never wait for each other or hold up the writer: they read
// the file with pread, and wait on a channel that the next append closes.
//
// # To add
//
// A field of the header: Meta (meta.go); old files lack it. A kind of record: record.go, and
// each form in render.go. A form: render.go. A rule for merging chunks: fold_delta.go.
package runlog
