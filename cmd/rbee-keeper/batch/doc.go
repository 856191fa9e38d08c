// Package batch runs a file of tasks: one JSON object a line in, one JSON object a line out.
//
// Every line is checked before the first is submitted, so a mistake costs nothing. Then each
// is a detached job of its own, so many at a time; its stream is followed to the end over
// whatever queens live. A line that fails is a result too, and the others go on.
//
// A run with an output file can be interrupted at any instant and started again: beside the
// file stands FILE.run with a random name of the run, written before anything is submitted.
// The Idempotency-Key of a line is made of that name, the line's number and its body, so the
// same line is the same job, whether or not its result had been written. The jobs that were
// accepted run on meanwhile. When the run is over FILE.run goes, and FILE is never touched
// again.
//
// Concurrency: Run blocks; its workers are over when it returns.
package batch
