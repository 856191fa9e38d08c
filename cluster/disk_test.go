package cluster_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"queen-rbee/cluster"
	"queen-rbee/cluster/clustertest"
)

// TestAVoteThatCannotBeStoredEndsTheQueen runs itself as a process: raft's goroutines are held
// back for good, as in a queen that is about to exit.
func TestAVoteThatCannotBeStoredEndsTheQueen(t *testing.T) {
	t.Parallel()
	const child, done = "RBEE_TEST_CHILD", "Run returned:"
	if os.Getenv(child) == "" {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$")
		cmd.Env = append(os.Environ(), child+"=1", "TMPDIR="+t.TempDir())
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), done) {
			t.Fatalf("%v:\n%s", err, out)
		}
		return
	}
	c := clustertest.New(t, 3, nil)
	leader, sick := c.Settled(), c.Followers()[0]
	if err := sick.Queen().LoseVotes(); err != nil {
		t.Fatal(err)
	}
	leader.Kill()
	err := sick.Wait()
	var start *cluster.StartError
	if !errors.As(err, &start) || !strings.Contains(err.Error(), "mend its disk") {
		t.Fatalf("Run returned %v", err)
	}
	fmt.Println(done, err)
	os.Exit(0)
}
