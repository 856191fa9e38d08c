// Package relay measures what clients see of a cluster over HTTP: how many jobs followers
// accept, how much later the first token comes than from the engine itself, and what it costs
// to relay streams, beside nginx and haproxy on the same upstreams.
//
// Everything runs as processes of their own: queens, hives, engines, the proxies, and the
// clients (command load). CPU and memory are what the kernel has in a process's account, so
// other work on the machine disturbs them little; where a relay and its baseline can serve at
// the same time, they do, one half of the streams each, and share whatever disturbs them.
//
// nginx and haproxy are taken from PATH (make bench-tools installs them where apt does);
// without one its rows say so.
//
// To add a row: a Family of its own file here, and its line in Families.
package relay
