// Package nemesis does to a cluster of real processes what machines and networks do: one
// fault after the other, sometimes two at a time, each healed before a pause.
//
// Plan is pure: a seed and a list of kinds are a list of rounds, for ever the same. What a
// step meets when its time has come (who leads, who lives) is not, nor how long things take.
//
// What it promises: after Run every process lives that it did not find dead, no process is
// stopped, and the network is fair, whatever ended Run. A process that died without being
// asked to is a violation and is started again, so that the run goes on.
//
// Concurrency: Run starts a goroutine for each step of a round and waits for them. No two
// steps touch one process at a time (claim.go); the weather is the sum of what the steps
// under way want (weather.go).
//
// To add a kind: a line in kinds (kinds.go), a method that breaks, holds and heals
// (processes.go, network.go, disk.go), a row in docs/chaos.md.
package nemesis
