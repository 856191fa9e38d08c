package core

import (
	"io"
	"os"
	"regexp"
	"testing"

	"queen-rbee/cluster"
	"queen-rbee/cluster/clustertest"
	"queen-rbee/cmd/internal/bench"
)

func TestMain(m *testing.M) {
	timings = cluster.WAN
	clustertest.VerifyTestMain(m)
}

// One row with three queens is taken as make bench takes it: it must have its figures, and
// leave neither goroutines nor files.
func TestLoneCommit(t *testing.T) {
	o := bench.Options{Run: regexp.MustCompile("^" + rowLone + "$"), Rounds: 1, Quick: true, Dir: t.TempDir(), Log: io.Discard}
	rows, err := bench.Run(t.Context(), Families(), o)
	if err != nil {
		t.Fatal(err)
	}
	if r := rows[0]; r.Name != rowLone || r.Note != "" || r.Value <= 0 || r.Baseline <= 0 || r.Runs != 1 || r.Met == nil {
		t.Errorf("got %+v", r)
	}
	if left, _ := os.ReadDir(o.Dir); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// Rows are chosen, and told apart in bench.json, by their names.
func TestNamesAreUnique(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range Families() {
		for _, s := range f.Rows {
			if seen[s.Name] || s.Name == "" || s.Unit == "" {
				t.Errorf("%s has a row %+v", f.Name, s)
			}
			seen[s.Name] = true
		}
	}
}
