// Package enginetest plays engines for tests: recorded exchanges of a real llama-server, byte for
// byte and in pieces of any size, and the parts of its API that an agent asks on its own
// (/health, /props, /slots, and the replay buffer of newer builds).
//
// An Engine is an http.Handler. Main makes a test binary one, as a process that is started, asked
// and killed like any other.
package enginetest
