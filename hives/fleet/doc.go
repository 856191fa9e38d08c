// Package fleet is the queen's side of the two pipes: it takes registrations and heartbeats
// in, and makes the desired state of a hive from the replicated state.
//
// A heartbeat may reach any queen. It is carried to the leader, whose fleet compares it
// with the state, keeps fresh telemetry in memory, and proposes a schedule.Beat only when
// something changed. An answer means that the leader has it. The desired state is answered
// by any queen from its own view, woken by the hive's row.
//
// Concurrency: all methods may be called from any goroutine; the telemetry is guarded by one
// mutex and lives only as long as this process. Decisions about silence are schedule's.
//
// To add a field of a heartbeat: hives/wire.go, convert.go here, and schedule.Beat if it
// should enter the state; telemetry.go if plans are to see it without that, with a note wherever
// it changes.
package fleet
