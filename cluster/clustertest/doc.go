// Package clustertest runs clusters of queens in one process, over real TCP on 127.0.0.1,
// with faults between them (Link, Mail), under them (Disk) and in their clocks (Clock).
// Gossip is not cut by partitions: nothing may depend on it.
//
// Kill ends a queen as a SIGKILL would, as far as one process can: its connections are cut
// first, nothing is handed on, and what was not synced is not waited for. A queen that stands
// still and then goes on (SIGSTOP) cannot be had in a process: cmd/internal/e2e does that.
package clustertest
