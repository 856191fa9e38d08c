// Package sim is a cluster on virtual time: model queens, hives and clients around the real
// fsm.State and the real schedule.Plan, driven by one seed. It looks for histories that break
// the invariants of the reliability page, and tells them line by line.
//
// # What is real and what is modelled
//
// Real: every replica applies the same encoded batches to its own fsm.State, is killed,
// and starts again from the bytes of a snapshot and the log; every leader plans with
// schedule.Plan on the View that it has.
//
// Modelled, by the promises of the packages that it stands for:
//
//   - raft.go: a log, one leader per term, an entry under way that its leader's fall saves or
//     loses, an entry that is accepted in another term than it was planned in
//   - proposer.go, forward.go: one batch in flight, answers after the commit, requests that
//     are parked and sent again under the same ids, packets that arrive late
//   - fleet.go, hive.go, pipes.go, table.go, worker.go, run.go: registrations, numbered
//     beats, desired answers by (epoch, index), doorbells, incarnations, slots, engines that
//     load, die, hang, outlive their agent, terminal records that are repeated until they are no longer listed
//   - client.go, watching.go, reader.go, holds.go, poll.go: who submits, reads, cancels,
//     leaves, asks again with his key, reconnects
//
// faults.go does the harm, and brings old requests and doorbells again. A run is in safety
// (any trouble, to the end) or in liveness (the trouble stops, and everything that was
// accepted must end within four minutes of its time).
//
// Not modelled: an agent that stops in order, two machines with one id, queens that join and
// leave, a change of epoch, what goes on inside HTTP.
//
// # What is checked, after every step
//
//	1 accepted is durable     check_job.go: no job vanishes before it has ended and was retained
//	2 a job ends once         rows of ended jobs never change; an end is a hive's word or has
//	                          its reason; no attempt begins twice, none that is over
//	3 a stream is whole       watching.go: 1, 2, 3 … of one text; ends only when committed
//	4 no slot is overbooked   in the state at each index, and inside the engines (check_hive.go)
//	6 replicas are equal      by hash at each entry, by bytes at the end of a run
//	8 refusal is clean        what was refused never comes to be; what was accepted is never 404
//	10 the core is pure       the same input plans the same, on a restored state too; no guard
//	                          ever fires, no refused batch leaves a trace
//
// What a hive may begin: an answer is under way for a moment, so a run may still be taken on
// up to five seconds after the state has given it up, if the hive could not know; never when
// it was told, never later.
//
// # What it takes for granted
//
// No packet lives longer than an ended job is retained (RetainMin). Nobody unloads idle
// workers yet; while jobs wait after the faults, a model operator does. A hive's disk keeps
// its run logs. Clocks of queens run at one speed.
//
// # To run it
//
// go test ./schedule/sim runs 1,000 seeds; make sim SEEDS=100000 SEED=1 hunts longer. A
// failing seed is shrunk and printed; -seed N -seeds 1 -trace prints all of it. A run is one
// goroutine and depends on nothing but its Config, so a seed stays a run until this package
// or what it runs changes. A bug that was found keeps its story in found_test.go, as a world
// that behaves as the faulty part did.
//
// # To add a fault
//
// Its harm in faults.go behind a field of Faults, drawn so that a zero word means none; a
// meet() where it bites, and its line in TestTheWorldIsRough; what must not follow from it in
// check*.go, and a broken world in broken_test.go in which it does.
package sim
