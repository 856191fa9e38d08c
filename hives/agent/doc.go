// Package agent is the daemon on a GPU machine: it makes a hive be what the queens' state says.
//
// # How it works
//
//   - session.go registers the hive at a queen and then runs the two pipes until the hive has
//     to register anew: desired.go (down: what should be here) and heartbeat.go (up: what is).
//     queens.go knows which queen both pipes use, and learns of others; call.go speaks to it.
//   - table.go is what should be and what is: runs, workers, and the (epoch, index) of the
//     newest desired answer acted on. apply.go holds it against an answer, doorbell.go decides
//     what may start early, report.go makes the heartbeat of it.
//   - menu.go is what the hive's engines can serve. worker.go supervises one engine process, slots.go is its FIFO semaphore.
//   - shelf.go has the models of the catalog here that are desired (package models fetches them),
//     filed.go lets a worker wait for its file, shelving.go is what others ask of both.
//   - run.go is one run from its body to its terminal record; client.go counts its clients.
//   - listen.go, server.go, gateway.go and reading.go are what queens see over HTTP.
//   - state.go, lock.go, leftovers.go: what survives a restart, and what must not.
//     takeLeftovers makes workers of the engines that a killed agent has left.
//
// # Promises
//
//   - Nothing is started before the first strong desired answer of a session, nothing of
//     another epoch or incarnation ever, nothing older than the newest answer acted on. After a
//     silence in which the cluster may have given the hive up, nothing by doorbell either
//     before a strong answer that was asked for later; and no answer that may be of before it is acted on.
//   - A run makes one terminal record. It is repeated in every heartbeat until an answer at or
//     above the run's own index does not list the run.
//   - Runs inside an engine never exceed its slots: a slot is given on only when the engine
//     client of the run before has returned.
//   - No engine process outlives the agent unknown: an orderly stop ends them. After a kill the
//     next start goes on with those that it would start the same way and that the first desired
//     answer lists; it ends the others before anything else, or as soon as that answer is there.
//     Runs that were in them go on where the engine has kept their streams (resume.go). The others
//     end as agent_restarted, and none begins in their slots before they have let go.
//   - A model that a worker uses is not removed. One that is desired no longer stays until its room
//     is needed or an evict asks for it; a download goes on under the next agent.
//   - Of two agents with one hive id the older one stops with ErrSuperseded.
//
// # Concurrency
//
// One mutex guards the table; a run and a worker's slots have one each, taken after it, never
// before, and so has the shelf. Each live run, each worker and each desired model has one
// goroutine, and one measures the devices, so that nothing under the mutex waits for a tool; Run
// waits for all of them.
//
// # To add
//
// A thing a heartbeat says: hives.Heartbeat, report.go. A kind of desired record: hives.Desired,
// apply.go, and its doorbell in doorbell.go and server.go. A route: the table in server.go.
package agent
