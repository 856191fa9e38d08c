// Package chaos runs a cluster of real processes while machines and networks fail and clients
// go on, and proves from what the clients saw that nothing was lost: make chaos.
//
//	nemesis/  breaks and heals, by a plan that a seed makes
//	crowd/    the clients, who note all they do and are told
//	history/  the notes, and the checks that hold them to the invariants
//	cmd/      the program
//
// This package puts them together: it starts the cluster (stage.go), lets both go (run.go),
// watches slots and hashes meanwhile (watch.go), heals, waits until everything accepted has
// ended (settle.go), judges (judge.go) and reports (report.go).
//
// What it promises: it fails for a violation only, never because a machine is slow: waiting
// ends when nothing has moved for minutes, not after a time. Whatever ends it, Ctrl-C and
// SIGKILL too, leaves no process, namespace or mount behind (the rig's guard).
//
// The seed decides the faults, their order, length and pauses, and what each client does;
// what meets what in time is the machine's.
//
// To add a fault: nemesis/doc.go. To add something clients do: crowd/doc.go. To add a check:
// history/doc.go.
package chaos
