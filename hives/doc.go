// Package hives holds what queens and hives say to each other: the two pipes (heartbeats up,
// desired state down), the doorbells, and the client a queen uses to read a run.
//
// The types are wire types only: plain JSON, no behaviour. The agent's side is hives/agent,
// hives/engine, hives/runlog and hives/device; the queen's side is hives/fleet. The agent's
// side never imports fsm, schedule or cluster.
//
// To add a field: add it here with its unit, fill it in agent (or fleet), read it in fleet
// (or agent), and say in docs/api.md what its absence means.
package hives
