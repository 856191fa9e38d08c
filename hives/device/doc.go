// Package device says what memory a hive has to hold models in: its devices, each with an id,
// a kind, a total and, where something can measure it, what is free.
//
// Detect reads the machine. Override lays the devices an operator declared in the config over
// what was detected: a declared id replaces the detected device of that id, others are added.
// Both are plain functions that keep nothing and start nothing; free memory is measured anew at
// each call. Sizes are bytes; people write them as in 24GiB (Bytes).
//
// To add a kind of device: write a file <kind>.go with a function that runs the vendor's tool
// under the context, parses its output (golden outputs in testdata/devices), and call it in Detect.
package device
