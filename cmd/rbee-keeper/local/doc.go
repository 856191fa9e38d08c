// Package local runs a whole cluster of real processes on this machine, in one directory:
// queens, hives and, below these, workers. `rbee-keeper dev` and `demo` stand on it, and so
// can end-to-end tests.
//
// What it promises: everything it started is over when Stop returns, also after a failed
// start, with SIGTERM first and SIGKILL 10 s later; a process that was started again by
// Restart, even from another terminal, is found by its pid file and ended too. A pid is only
// trusted when the process behind it names this cluster's directory in its command line or
// environment, so a number that the system gave to somebody else is never signalled.
//
// Layout of the directory D: dev.json (how each process is started; holds the tokens, 0600),
// dev.env (what a client needs, shell syntax, 0600), and for each process D/NAME/pid,
// D/NAME/log, D/NAME/data; hives have D/NAME/hive.yaml too.
//
// Concurrency: a Cluster's Start, Watch and Stop are called one after the other by one
// goroutine; Kill and the getters by any. Each child has one goroutine that waits for its
// end; Stop waits for these.
//
// To add a process kind: a spec in layout.go, its readiness in ready.go, its place in the
// order of start.go and stop.go.
package local
