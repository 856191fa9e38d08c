// Package schedule makes every decision of the cluster: who is admitted, which worker runs
// what, where a worker is spawned, what is tried again and what is given up.
//
// It is one pure function, Plan: a World and the requests that have gathered go in, one
// batch of facts and one answer per request come out. No clock, no randomness, no
// goroutine, no map order that shows; the same input gives the same batch on any machine.
//
// # Order of the passes
//
//  1. requests that do not concern jobs born in this gather (finishes, beats, cancels …):
//     whatever frees slots comes first
//  2. hives (thorough plans): silence, drains, hives that leave, what is left on those offline
//  3. holders whose queen process is gone
//  4. timers: backoff over, deadlines, jobs nobody holds any more; then drained workers
//     that have become empty stop
//  5. submissions, and requests about them, in the order they came
//  6. the queues: each model's ready jobs by (Rank, Order) onto its least-loaded workers;
//     then, the longest waiting model first, what finds no slot may spawn a worker, make room
//     for one, or be given up where every hive has failed
//  7. the catalog (thorough plans): loads that take too long, replicas to keep, workers that
//     have rested long enough, what dropped models have left
//  8. retention
//
// Passes 2-8 run on a draft, the View plus what this plan has decided so far, so nothing is
// booked twice and nothing is deduped wrong inside a batch.
//
// # What a plan costs
//
// A plan costs what its requests and the slots it fills cost, whatever the length of the
// queues and the size of the fleet: least-loaded workers come from an index of the View. Only
// a thorough plan looks at every hive (pass 2) and at every model that waits (where to spawn):
// one in each `period`, and those that nobody or more than clients and runs asked for. The
// others wake at the end of the period, so nothing is left undone. Workers on their way and
// hives with room for one more come from indexes of the View too, so a model that can have no
// other worker costs a thorough plan a few look-ups, whatever runs.
//
// # What is fair, what starves
//
// A job's Rank is the time of its admission plus BatchOffset for a batch job. Keys never
// move, so a batch job that has waited BatchOffset longer goes before an interactive one
// and is never starved. Where a job cannot use a free slot (labels, pin, a hive to avoid),
// it is passed over together with all jobs that ask the same, however many, at no cost for
// each. Up to `lookahead` such constraints are passed over in one model's queue; beyond them
// only jobs that ask nothing of a hive are looked at, so that those are never held up by
// others. What is not promised: a constrained job behind that many other constraints, none of
// which finds a slot, waits for one of them. And while a job that any hive may run waits
// without a slot, no worker is spawned for those behind it.
//
// # Room for another model
//
// A worker that finds no place may have workers of other models leave a device (evict.go): loads
// nobody waits for, then those that rest, never one that is pinned, kept or was used a moment
// ago. Nothing that runs is ended for it: a model under a load without end is drained once
// another has waited SwapAfter, and has itself been ready as long. What is told to leave keeps
// its memory, by the state's account, until its hive says that it is gone; meanwhile whoever
// finds that room is on its way waits for it, the longest waiting first. Only a model without
// any worker has room made for it; more workers of one are spawned where there is room.
//
// # Suspicion of oneself
//
// A leader that has lost sight of many hives at once is more likely to be the one cut off
// than they are. When at least three hives, and more than a third of those online, are
// overdue together, nothing is done to them until a majority of the online hives has been
// heard after the last of them fell silent. An operator who drains or stops a hive says
// that its silence is real. See silence.go.
//
// # Bounds
//
// A plan makes at most Limits.Decisions commands of its own; what is left over sets More.
// A request always gets its own few commands, whatever the count; only the long lists of a
// Beat are cut, and its answer says Again.
//
// # To add a request
//
// Type in request.go; one case in serve (plan.go); its decision in the file of its noun;
// what it changes in draft_*.go, beside the command that it emits; a script in
// testdata/schedule.
package schedule
