package device

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"queen-rbee/hives"
)

func one(id string, free int64) []Device {
	return []Device{{Device: hives.Device{ID: id, Kind: KindCUDA, TotalBytes: 100, FreeBytes: &free}}}
}

// A source that fails gives its last figures and says so; the others are not touched by it.
func TestAFailingToolLeavesTheLastFigures(t *testing.T) {
	var fails error
	tool := newSource("nvidia-smi", func(context.Context) ([]Device, error) { return one("gpu0", 40), fails })
	other := newSource("system", func(context.Context) ([]Device, error) { return one("cpu", 7), nil })
	d := &Detector{sources: []*source{tool, other}}
	want := func(note string) {
		t.Helper()
		list, err := d.Detect(t.Context())
		if (err == nil) != (note == "") || len(list) != 2 || list[0].ID != "cpu" || list[0].Note != "" {
			t.Fatalf("%v: %+v", err, list)
		}
		if gpu := list[1]; *gpu.FreeBytes != 40 || (gpu.Note == "") != (note == "") || !strings.Contains(gpu.Note, note) {
			t.Fatalf("%+v", gpu)
		}
	}
	want("")
	fails = errors.New("driver mismatch")
	want("nvidia-smi: driver mismatch")
	if free, ok := d.Free(t.Context(), "gpu0"); ok {
		t.Fatalf("old figures given as new: %d", free)
	}
	if free, ok := d.Free(t.Context(), "cpu"); !ok || free != 7 {
		t.Fatal(free, ok)
	}
	if _, ok := d.Free(t.Context(), "gpu9"); ok {
		t.Fatal("a device that is not there")
	}
	fails = nil
	want("")
}

// What hangs in the kernel cannot be ended. It costs one goroutine, however often it is asked,
// and nobody waits longer than was promised.
func TestAToolThatHangsForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var reads atomic.Int64
		var hang atomic.Bool
		unstuck := make(chan struct{})
		s := newSource("nvidia-smi", func(context.Context) ([]Device, error) {
			n := reads.Add(1)
			if hang.Load() {
				<-unstuck
			}
			return one("gpu0", n), nil
		})
		ask := func(after time.Duration, word string) {
			t.Helper()
			began := time.Now()
			list, err := s.ask(t.Context())
			if took := time.Since(began); took != after || len(list) != 1 || *list[0].FreeBytes != 1 {
				t.Fatalf("after %v: %+v", took, list)
			}
			if (err == nil) != (word == "") || err != nil && !strings.Contains(err.Error(), word) {
				t.Fatal(err)
			}
		}
		ask(0, "")
		hang.Store(true)
		ask(askTime+endTime, "hangs")
		for range 3 {
			ask(askTime, "busy with an earlier question")
		}
		if n := reads.Load(); n != 2 {
			t.Fatalf("%d questions under way", n-1)
		}
		close(unstuck)
		synctest.Wait()
		if list, err := s.ask(t.Context()); err != nil || *list[0].FreeBytes != 3 {
			t.Fatalf("%v: %+v", err, list)
		}
	})
}

// tool puts a program of that name first in PATH.
func tool(t *testing.T, script string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "nvidia-smi"), []byte("#!/bin/sh\n"+script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
}

func TestToolsAreBounded(t *testing.T) {
	t.Run("what it writes", func(t *testing.T) {
		tool(t, "exec yes")
		if _, err := run(t.Context(), "nvidia-smi"); err == nil || !strings.Contains(err.Error(), "MiB") {
			t.Fatal(err)
		}
	})
	t.Run("what it says of a failure", func(t *testing.T) {
		words := filepath.Join(t.TempDir(), "words")
		if err := os.WriteFile(words, []byte(recorded(t, "nvidia-none.txt")), 0o600); err != nil {
			t.Fatal(err)
		}
		tool(t, "cat "+words+"; exit 9")
		_, err := newNVIDIA(run, sixteen, nil).read(t.Context())
		if err == nil || !strings.Contains(err.Error(), "exit status 9: NVIDIA-SMI has failed because it couldn't communicate") || code(err) != 9 {
			t.Fatal(err)
		}
	})
	t.Run("its time", func(t *testing.T) {
		pids := filepath.Join(t.TempDir(), "pid")
		tool(t, "echo $$ >"+pids+".new; mv "+pids+".new "+pids+"; exec sleep 1000")
		ctx, give := context.WithCancelCause(t.Context())
		go func() { // the tool runs
			for ctx.Err() == nil {
				if _, err := os.Stat(pids); err == nil {
					give(errors.New("time is over"))
				}
				<-time.After(time.Millisecond)
			}
		}()
		if _, err := run(ctx, "nvidia-smi"); err == nil || !strings.Contains(err.Error(), "time is over") {
			t.Fatal(err)
		}
	})
	t.Run("the agent's secrets", func(t *testing.T) {
		t.Setenv("RBEE_TOKEN", "hush-hush")
		tool(t, "env")
		out, err := run(t.Context(), "nvidia-smi")
		if err != nil || strings.Contains(string(out), "hush-hush") || !strings.Contains(string(out), "LC_ALL=C") {
			t.Fatalf("%v: %s", err, out)
		}
	})
}
