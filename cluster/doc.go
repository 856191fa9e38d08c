// Package cluster makes a queen a member: raft, gossip, joining, forwarding to the leader,
// the proposer and the leader's duties.
//
// # Life of a queen
//
// New checks the configuration and starts nothing. Run opens the data directory, the
// listeners and raft, joins when it must, follows, leads when elected, and at the end of its
// context hands leadership on and closes everything in order. Ready is closed once the queen
// has seen all that was committed before it started.
//
// # What it promises
//
//   - All change goes through the proposer of the established leader, one batch in flight.
//     Every batch is bound to the state it was planned on; a refused one is planned again.
//   - An answer is given only for what is committed. What may have been committed is never
//     called refused: it is unknown_outcome, and asked again under the same ids it is the
//     same thing. apply.go is the one place that tells the three apart.
//   - A request takes at most one hop, and is bound to the leadership it was sent to: nothing
//     that was given up is done in a later term. Whoever is not the leader says so.
//   - A View is published before Apply returns, so it holds all this queen ever acknowledged.
//   - Cluster time never goes back and is never early (clock.go).
//   - Relays (queens without a vote) hold the state and serve clients. They count for nothing:
//     no commit, election or confirmation of a leader needs one or is helped by one.
//   - Gossip gives hints. Only an operator and the duties of membership change who votes:
//     members.go up to three voters, autopilot.go from there on, by the queens' own answers.
//   - An entry nobody can read, or a disk that fails or hangs, stops the queen with a message.
//
// A majority that is lost for good is the operator's case: Recover (recover.go) makes one
// queen's directory a cluster of another id and epoch, in which the old queens have no part.
//
// # Concurrency
//
// raft's FSM goroutine owns the state and alone publishes Views. The proposer's loop owns
// the batch in flight. Leading is one call (lead.go) which cannot return before every duty
// has ended. A link (link.go) has a reader and a writer and is closed by its pool. Everything
// else is called from any goroutine.
//
// # To add
//
//   - a leader duty: a func(ctx) error handed to Lead before Run; nothing here changes.
//   - a question to the leader: HandleLeader there, CallLeader here.
//   - a question any queen answers: a case in rpc.go's table of peer methods.
//   - a kind of request: schedule.Request, and its class in queue.go if it is not a client's.
package cluster
