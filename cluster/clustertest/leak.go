package clustertest

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// patience is how often goleak is asked, which waits about a second each time.
const patience = 20

// VerifyTestMain is goleak's, with patience for gossip: memberlist's shutdown does not wait for a
// probe that is under way, and the probe of a member that does not answer ends by its own
// deadline only, up to eight intervals after it began.
func VerifyTestMain(m *testing.M) {
	code := m.Run()
	if code == 0 {
		err := goleak.Find()
		for n := 1; err != nil && n < patience; n++ {
			err = goleak.Find()
		}
		if err != nil {
			fmt.Fprintf(os.Stderr, "goroutines are left: %v\n", err)
			code = 1
		}
	}
	os.Exit(code)
}
