package cluster

import (
	"context"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// guarded is a guard that watches, and its first word.
func guarded(t *testing.T, limit time.Duration) (*diskGuard, <-chan error) {
	failed := make(chan error, 8)
	g := newDiskGuard(limit, time.Now, func(err error) { failed <- err })
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		g.run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return g, failed
}

func isBroken(g *diskGuard) bool {
	select {
	case <-g.broken:
		return true
	default:
		return false
	}
}

func TestAFailedWriteStopsTheQueenAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, failed := guarded(t, time.Second)
		if err := g.write("the log", func() error { return nil }); err != nil || len(failed) != 0 || isBroken(g) {
			t.Errorf("a good write: %v", err)
		}
		if err := g.write("the log", func() error { return io.ErrShortWrite }); err == nil || !strings.Contains((<-failed).Error(), "mend its disk") {
			t.Errorf("a failed write: %v", err)
		}
		if !isBroken(g) {
			t.Error("the queen would close in order, which may hang")
		}
	})
}

func TestAWriteThatHangsStopsTheQueen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, failed := guarded(t, time.Second)
		began := time.Now()
		release := make(chan struct{})
		go func() { _ = g.write("the log", func() error { <-release; return nil }) }()
		if err := <-failed; !strings.Contains(err.Error(), "hung for 1s") {
			t.Errorf("a write that hangs: %v", err)
		}
		if d := time.Since(began); d > 1250*time.Millisecond {
			t.Errorf("it was noticed after %v", d)
		}
		<-g.broken
		close(release)
	})
}

// TestASlowDeletionIsNoFault has an append wait for the lock under which files are unlinked.
func TestASlowDeletionIsNoFault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, failed := guarded(t, time.Second)
		lock := make(chan struct{})
		go func() {
			_ = g.delete("the log", func() error {
				defer close(lock)
				sleep(t.Context(), 5*time.Second)
				return nil
			})
		}()
		synctest.Wait()
		_ = g.write("the log", func() error {
			<-lock
			sleep(t.Context(), 500*time.Millisecond)
			return nil
		})
		if len(failed) != 0 {
			t.Errorf("it stopped the queen: %v", <-failed)
		}
		hung := make(chan struct{})
		go func() { _ = g.delete("the log", func() error { <-hung; return nil }) }()
		if err := <-failed; !strings.Contains(err.Error(), "hung for 10s") {
			t.Errorf("a deletion that never ends: %v", err)
		}
		close(hung)
	})
}

// TestALateWriteToAClosedDiskIsNoFault has a heartbeat store its term when all else has ended.
func TestALateWriteToAClosedDiskIsNoFault(t *testing.T) {
	failed := make(chan error, 1)
	s, err := openStorage(t.TempDir(), false, 64<<10, newDiskGuard(0, time.Now, func(err error) { failed <- err }), nullLog())
	if err != nil {
		t.Fatal(err)
	}
	s.guard.over.Store(true)
	s.close()
	if err := s.stable.SetUint64([]byte("CurrentTerm"), 7); err != nil || len(failed) != 0 || isBroken(s.guard) {
		t.Errorf("it stops the queen, or panics raft: %v", err)
	}
}
