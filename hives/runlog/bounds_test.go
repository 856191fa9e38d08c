package runlog

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"queen-rbee/hives"
)

// Ten thousand runs end, each with an output many times of what is kept altogether of all: disk
// and memory stay within the limits, whatever was there before.
func TestEndedRunsStayWithinTheLimits(t *testing.T) {
	runs := 10_000
	if testing.Short() {
		runs = 2_000
	}
	const (
		kept  = 64 * block // of all logs
		one   = 2 * block  // of one
		every = 100        // runs between two calls of Retain
	)
	dir := t.TempDir()
	s := open(t, dir, Limits{Bytes: kept, LogBytes: one}, newClock().now)
	defer s.Close()
	text := strings.Repeat("x", one/4)
	var before uint64
	for i := range runs {
		l := create(t, s, Meta{JobID: fmt.Sprintf("job-%05d", i), Attempt: 1})
		must(t, l.Start())
		err := error(nil)
		for err == nil { // an engine that does not stop by itself
			err = l.Append(chunk(text), true, text, false)
		}
		if hives.CodeOf(err) != hives.CodeOutputTooLarge {
			t.Fatal(err)
		}
		_, err = l.End(hives.Terminal{Outcome: hives.Failed, Error: hives.Errorf(hives.CodeOutputTooLarge, "%s", strings.Repeat("y", 1000))})
		must(t, err)
		if i%every != every-1 {
			continue
		}
		_, err = s.Retain()
		must(t, err)
		if disk := onDisk(t, dir); disk > kept {
			t.Fatalf("after %d runs %d bytes are on the disk, %d are allowed", i+1, disk, kept)
		}
		if n := len(s.Logs()); n > kept/block {
			t.Fatalf("after %d runs %d logs are known", i+1, n)
		}
		if i == runs/10-1 {
			before = heap()
		}
	}
	if now := heap(); now > before+before/4+1<<20 {
		t.Errorf("after a tenth of the runs %d bytes were in use, after all %d", before, now)
	}
}

// onDisk is what the files of a directory take, in whole blocks.
func onDisk(t *testing.T, dir string) (sum int64) {
	t.Helper()
	files, err := os.ReadDir(dir)
	must(t, err)
	for _, f := range files {
		info, err := os.Stat(filepath.Join(dir, f.Name()))
		must(t, err)
		sum += (info.Size() + block - 1) / block * block
	}
	return sum
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
