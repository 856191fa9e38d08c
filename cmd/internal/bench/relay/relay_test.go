package relay

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

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

func TestMedianOfHistogram(t *testing.T) {
	old := histogram{bounds: []float64{0.001, 0.002, 0.004}, counts: []float64{5, 5, 5}}
	now := histogram{bounds: old.bounds, counts: []float64{7, 11, 13}}
	// Of eight commits two took up to 1 ms and four up to 2 ms: the fourth is in the middle of those.
	if got := now.since(old).median(); got != 1.5 {
		t.Errorf("median %v ms, want 1.5", got)
	}
	if got := old.since(old).median(); got == got {
		t.Errorf("no commit has the median %v", got)
	}
}

// CPU and memory of a process that is known to use some.
func TestAccounts(t *testing.T) {
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		t.Skip("this system has no /proc")
	}
	me := []int{os.Getpid()}
	before, err := cpuOf(me)
	if err != nil {
		t.Fatal(err)
	}
	for sum := 0; ; sum++ { // until the kernel has counted some of it
		now, err := cpuOf(me)
		if err != nil {
			t.Fatal(err)
		}
		if now > before {
			break
		}
	}
	if bytes, err := memoryOf(me); err != nil || bytes < 1<<20 {
		t.Errorf("memory %d, %v", bytes, err)
	}
	if _, err := cpuOf([]int{1 << 30}); err == nil {
		t.Error("a process that does not exist has an account")
	}
}

// What a program has started ends with it: nobody holds the pipe any more.
func TestStopEndsTheFamily(t *testing.T) {
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		t.Skip("this system has no /proc")
	}
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	cmd := exec.Command("sh", "-c", "sleep 1000 & echo begun; wait")
	cmd.Stdout = write
	p, err := launch(t.TempDir(), "parent", cmd)
	if err != nil {
		t.Fatal(err)
	}
	p.watch()
	write.Close()
	said := bufio.NewReader(read)
	if line, err := said.ReadString('\n'); err != nil || line != "begun\n" {
		t.Fatal(line, err)
	}
	if pids, err := p.pids(); err != nil || len(pids) != 2 {
		t.Errorf("pids %v, %v", pids, err)
	}
	p.stop()
	if rest, err := io.ReadAll(said); err != nil || len(rest) > 0 {
		t.Errorf("%q, %v", rest, err)
	}
}
