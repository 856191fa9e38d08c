package core

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"queen-rbee/cmd/internal/bench"
	"queen-rbee/fsm"
)

const (
	million     = 1_000_000
	rowMemory   = "memory of a queued job beside its body, 1,000,000 jobs"
	rowSnapshot = "longest wait of an apply while 1,000,000 jobs are written as a snapshot"
)

// many is a million, or a fifth of it in a quick run, which a row's note then tells.
func many(r *bench.Rounds, row string) int {
	if !r.Quick {
		return million
	}
	r.Note(row, "with %d jobs, in a quick run", million/5)
	return million / 5
}

// crowdedState is a state with as many jobs waiting, made of batches that went through the
// codec as those of a log do.
type crowdedState struct {
	state *fsm.State
	jobs  jobs
}

func newCrowdedState(n int) (*crowdedState, error) {
	s := &crowdedState{state: fsm.New()}
	err := s.apply(&fsm.Genesis{ClusterID: "c", Epoch: fsm.Epoch{1}, Level: fsm.CurrentLevel})
	for made := 0; made < n && err == nil; made += 500 {
		var cmds []fsm.Command
		for range min(500, n-made) {
			cmds = append(cmds, s.submit())
		}
		err = s.apply(cmds...)
	}
	return s, err
}

func (s *crowdedState) submit() *fsm.Submit {
	n := s.jobs.made.Add(1)
	j := jobNumber(n)
	j.State, j.Rank = fsm.JobQueued, fsm.Time(n)
	return &fsm.Submit{Job: j}
}

func (s *crowdedState) apply(cmds ...fsm.Command) error {
	m := s.state.View().Meta()
	data, err := fsm.EncodeBatch(&fsm.Batch{Base: m.Index, Epoch: m.Epoch, Now: m.Now + 1, Level: fsm.CurrentLevel, Commands: cmds})
	if err != nil {
		return err
	}
	batch, err := fsm.DecodeBatch(data)
	if err != nil {
		return err
	}
	out := s.state.Apply(batch)
	if out.Refused != nil {
		return out.Refused
	}
	for _, err := range out.Errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// memory compares the heap with a million jobs to the heap without.
func memory() bench.Family {
	return bench.Family{
		Name: "memory",
		Rows: []bench.Spec{{Name: rowMemory, Unit: "bytes", Goal: bench.ValueAtMost(1024)}},
		Run: func(ctx context.Context, r *bench.Rounds) error {
			r.Warm() // it is the same each time: one round is enough
			return r.Round(ctx, func() error {
				n := many(r, rowMemory)
				before := heap()
				s, err := newCrowdedState(n)
				if err != nil {
					return err
				}
				r.Put(rowMemory, bench.Figure(float64(heap()-before)/float64(n)-bodySize), bench.None)
				runtime.KeepAlive(s)
				return nil
			})
		},
	}
}

// heap is what lives on it, in bytes.
func heap() int64 {
	runtime.GC()
	runtime.GC() // what the first one's finalizers let go
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// snapshots applies a submission after the other, alone and while a snapshot is written to
// the disk, and looks which took longest.
func snapshots() bench.Family {
	return bench.Family{
		Name: "snapshot",
		Rows: []bench.Spec{{Name: rowSnapshot, Unit: "ms", Against: "the longest of as many without a snapshot", Goal: bench.ValueAtMost(5)}},
		Run: func(ctx context.Context, r *bench.Rounds) error {
			s, err := newCrowdedState(many(r, rowSnapshot))
			if err != nil {
				return err
			}
			runtime.GC() // of what making it left behind
			return r.Each(ctx, func(int) error {
				// The value first: the baseline takes as many applies as it had.
				during, n, err := s.beside(filepath.Join(r.Dir, "snapshot"))
				if err != nil {
					return err
				}
				alone, err := s.longest(func(made int) bool { return made == n })
				r.Put(rowSnapshot, bench.Figure(bench.Millis(during)), bench.Figure(bench.Millis(alone)))
				return err
			})
		},
	}
}

// beside applies while a snapshot is written: the longest apply, and how many there were.
func (s *crowdedState) beside(path string) (longest time.Duration, n int, err error) {
	at := time.Now()
	v := s.state.View() // what raft's FSM goroutine does for it
	taken := time.Since(at)
	done := make(chan error, 1)
	go func() { done <- write(v, path) }()
	written := false
	longest, failed := s.longest(func(made int) bool {
		n = made
		select {
		case err = <-done:
			written = true
		default:
		}
		return written
	})
	if !written {
		err = <-done
	}
	if err == nil {
		err = failed
	}
	return max(longest, taken), n, err
}

func write(v *fsm.View, path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	err = fsm.Snapshot(v, f)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// longest applies lone submissions, at the pace of a busy leader, until enough says so.
func (s *crowdedState) longest(enough func(made int) bool) (longest time.Duration, err error) {
	pause := time.NewTicker(time.Millisecond)
	defer pause.Stop()
	for made := 0; !enough(made); made++ {
		<-pause.C
		cmd := s.submit()
		at := time.Now()
		if err := s.apply(cmd); err != nil {
			return longest, err
		}
		s.state.View()
		longest = max(longest, time.Since(at))
	}
	return longest, nil
}

// decode restores a state from a snapshot in memory.
func decode(data []byte) (time.Duration, error) {
	at := time.Now()
	_, err := fsm.Restore(bytes.NewReader(data))
	return time.Since(at), err
}

// encoded is a view's snapshot in memory.
func encoded(v *fsm.View) ([]byte, error) {
	var b bytes.Buffer
	err := fsm.Snapshot(v, io.Writer(&b))
	return b.Bytes(), err
}
