// Package core measures the replicated core: the proposer and fsm of three queens in this
// process, over TCP on 127.0.0.1 and raft-wal on the disk, what a plan costs, what a million
// jobs cost, and what users see when the leader goes.
package core
