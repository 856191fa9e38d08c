package fsm

import (
	"flag"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// rewrite regenerates golden files: go test ./fsm -rewrite, then read the diff.
var rewrite = flag.Bool("rewrite", false, "rewrite golden files")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// golden compares with a file, or writes it.
func golden(t *testing.T, path, got string) {
	t.Helper()
	if *rewrite {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v (go test ./fsm -rewrite makes it)", err)
	}
	if string(want) != got {
		t.Errorf("%s differs; -rewrite shows the change as a diff. got:\n%s", path, got)
	}
}
