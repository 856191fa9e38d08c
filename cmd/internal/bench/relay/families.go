package relay

import "queen-rbee/cmd/internal/bench"

// Families are the rows of what clients see, in the order of the reliability page.
func Families() []bench.Family {
	return []bench.Family{submits(), firstByte(), pacedQueen(), pacedWhole(), saturated(), idleQueen()}
}
