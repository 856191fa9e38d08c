// Package models keeps the model files of a hive: it fetches them, holds them against their
// digests, tells how much memory they take, and lets the least recently used go.
//
// # Words
//
// A source says where a model comes from (source.go); it becomes one file, or the parts of a
// split GGUF. A model is known by its key, which is made from its source. A digest is
// "sha256:hex"; that of a split model is the digest of its list, the text that
// `sha256sum model-*.gguf` prints.
//
// # On disk
//
// Below the directory of a Store: models/KEY/ holds a whole model, its files and model.json;
// partial/KEY/ one that is being fetched, each file as NAME.part beside NAME.part.json, the
// state that lets another process go on with it. A directory moves from partial to models in one
// rename, when all its files are synced and their digests are right; one that is removed goes to
// gone/ first.
//
// # Files
//
//   - store.go is what is held, cache.go what must go, open.go what a start finds.
//   - fetch.go joins those who want the same model; flight.go is one download from asking
//     what there is to the rename; file.go fetches one file from one origin, parts.go its
//     parts, partial.go is their state file.
//   - origin.go asks a hub, a server or a peer; client.go speaks HTTP, guard.go says to
//     which addresses; pace.go is the bandwidth limit.
//   - header.go reads a GGUF header within bounds, estimate.go makes memory of it, inspect.go
//     does so for a source that is not here.
//
// # Promises
//
//   - A path that Fetch gives is a regular file below the directory, or one that the operator
//     listed; nothing is written outside of the directory (os.Root).
//   - A model in models/ is whole: its lengths and, where one is known, its digest are right.
//   - One download per model whoever asks; it ends when nobody waits for it any more, and what
//     has come stays for the next.
//   - What a source says is bounded: redirects, headers, lengths, names, numbers of files,
//     tries, waits.
//   - Nothing that anybody claims (Claim) or fetches is removed.
//
// # Concurrency
//
// A Store is safe for concurrent use. Its mutex guards maps alone: no disk or network is under
// it, but for renames and removals. Each download has one goroutine and one for each part that
// comes; Close waits for all.
//
// # To add
//
// A kind of source: Parse in source.go and, if it is asked over HTTP, an origin in origin.go.
// A bound: Options in store.go, with its default.
package models
