package core

import "queen-rbee/cmd/internal/bench"

// Families are the rows of the replicated core, in the order of the reliability page.
func Families() []bench.Family {
	return []bench.Family{
		accepted(128, 8), accepted(1024, 20), loneCommit(), planned(), lag(), latency(),
		plans(), snapshots(), memory(), reopen(), failover(),
	}
}
