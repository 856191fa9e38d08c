// Package rig starts real clusters for end-to-end tests: queens, hives and workers as
// processes of their own, on ports of 127.0.0.1 that were free, each with a directory and a
// log.
//
// What it promises: whatever becomes of the test, nothing it started lives on. Every process
// carries a mark in its environment (workers inherit it from their hive); the end of a test
// ends what carries its cluster's mark, and a guard process, which notices when the test
// binary dies under a timeout or a signal, ends what carries the binary's. A failed test
// shows the tails of all logs; a log with a stack trace fails the test.
//
// The checker (stream.go, check.go, and package history's Order) reads the API with nothing but net/http: the
// keeper's client is a part of what is tested here, so it proves nothing.
//
// Concurrency: a Cluster's and a Process's methods may be called by many goroutines, except
// that Start and Restart of one process come one after the other. Functions that take a
// testing.TB and fail it are for the test's own goroutine.
//
// To add a fault: a method of Process (process.go), or a Proxy or Net between processes
// (proxy.go, netns_linux.go). To add a rule about streams: history/order.go.
package rig
