// Package fsm is the replicated state of a cluster: its records, the numbered commands that
// change them, Apply, the immutable View that everybody reads, snapshots and the hash.
//
// # What it promises
//
//   - Equal states fed equal batches stay equal: same outcome, same hash, on any machine, at
//     any time. The package is pure: no network, disk, goroutine, clock, randomness, logger
//     or visible map order. Time and ids arrive inside batches.
//   - A batch is accepted on the very state it was planned on (base and epoch), or refused
//     whole without a trace. An accepted batch has the index base+1.
//   - A job ends once. Running jobs on a worker never exceed its slots. Both are guards of
//     Apply, whatever a plan says.
//   - The state hashes to the sum (mod 2^128) of its rows' hashes, kept up by Apply: equal
//     states have equal hashes, and Restore proves that it read what was written.
//
// # What a repeat does
//
// Every command is idempotent by id and attempt. The repeat of a command whose effect stands
// changes nothing and has no error. A command the state does not allow changes nothing,
// has a typed error in Outcome.Errs and counts in Meta.Guarded.
//
// # Concurrency
//
// One goroutine owns a State: it alone calls Apply and View. A View is a copy-on-write
// picture: any number of goroutines may read it while the owner applies on. Records are
// published once and never written again: Apply copies, changes the copy and puts it.
//
// # How it is laid out
//
// job.go worker.go hive.go queen.go model.go are the records with their transition tables, command.go
// the list of commands. apply.go dispatches a batch, apply_*.go say what each command does.
// tables.go names the tables and indexes, index.go is the only place that writes them.
// coder.go and code_*.go describe the binary form, each field once for both directions;
// codec.go frames batches, snapshot.go and restore.go frame the state. hash.go sums rows.
//
// # To add a command
//
//  1. command.go: the type, the next free number, its number method.
//  2. code_command.go: its line in the table of kinds, its fields.
//  3. apply.go: its line in the dispatch; apply_*.go: what it does, guards first.
//  4. codec_test.go: a sample, which makes its golden file (go test ./fsm -rewrite).
//  5. testdata/fsm: a script that shows it done, repeated and refused.
//
// A changed encoding is a new number; a changed row is a new snapshot version. What a new
// level adds to a command or row is a tail behind its fields (code_model.go): the command has
// another number where it has one, a row the same bytes as before where it has none.
package fsm
