package engine

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"syscall"
	"time"
)

const (
	orphanPoll = 20 * time.Millisecond
	// killWait is how long a process may take to go after SIGKILL: a driver can hold it.
	killWait = 10 * time.Second
	// maxEnviron bounds what is read of a process's environment.
	maxEnviron = 4 << 20
)

// Orphan names a process that an earlier agent started: its pid, its start time in clock ticks
// after boot (so that a reused pid is not mistaken for it), and its process group.
type Orphan struct {
	PID        int
	StartTicks uint64
	PGID       int
	WorkerID   string // from its environment, when found by FindOrphans
}

// FindOrphans lists the living processes of this user that were started under mark
// (Options.Mark), grandchildren too. It needs /proc. Call it before any worker of this agent is
// started, or it finds those too.
func FindOrphans(mark string) ([]Orphan, error) {
	all, err := pids()
	if err != nil {
		return nil, fmt.Errorf("looking for engines left behind: %w", err)
	}
	var out []Orphan
	for _, pid := range all {
		worker, ok := marked(pid, mark)
		if !ok {
			continue
		}
		if st, err := readStat(pid); err == nil && st.alive() {
			out = append(out, Orphan{PID: pid, StartTicks: st.start, PGID: st.pgid, WorkerID: worker})
		}
	}
	return out, nil
}

// marked reads the worker's id from a process's environment, if it carries the mark.
func marked(pid int, mark string) (worker string, ok bool) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/environ", pid))
	if err != nil {
		return "", false // gone, or another user's
	}
	defer f.Close()
	env, err := readAtMost(f, maxEnviron)
	if err != nil {
		return "", false
	}
	for kv := range bytes.SplitSeq(env, []byte{0}) {
		name, value, _ := bytes.Cut(kv, []byte("="))
		switch string(name) {
		case envMark:
			ok = string(value) == mark
		case envWorker:
			worker = string(value)
		}
	}
	return worker, ok
}

// Alive reports whether that very process still lives; a zombie does not.
func (o Orphan) Alive() bool {
	st, err := readStat(o.PID)
	return err == nil && st.start == o.StartTicks && st.alive()
}

// End ends the process's whole group: SIGTERM, up to grace, SIGKILL; and waits until it is gone.
// A process that is not that very one, or has left that group, is left alone. It fails when the
// group outlives SIGKILL for 10 s or ctx ends first.
func (o Orphan) End(ctx context.Context, grace time.Duration) error {
	st, err := readStat(o.PID)
	if err != nil || st.start != o.StartTicks || !st.alive() {
		return nil
	}
	if o.PGID <= 1 || st.pgid != o.PGID || o.PGID == syscall.Getpgrp() {
		return fmt.Errorf("process %d is in group %d, not in one of its own (%d): end it by hand", o.PID, st.pgid, o.PGID)
	}
	// While any process of the group lives, its id is not given to another group.
	for _, step := range []struct {
		sig  syscall.Signal
		wait time.Duration
	}{{syscall.SIGTERM, grace}, {syscall.SIGKILL, killWait}} {
		if err := syscall.Kill(-o.PGID, step.sig); err == syscall.ESRCH {
			return nil
		} else if err != nil {
			return fmt.Errorf("process group %d: %w", o.PGID, err)
		}
		gone, err := awaitGroup(ctx, o.PGID, step.wait)
		if gone || err != nil {
			return err
		}
	}
	return fmt.Errorf("process group %d outlived SIGKILL for %v", o.PGID, killWait)
}

// awaitGroup waits until no process of the group lives; false when the time is over.
func awaitGroup(ctx context.Context, pgid int, wait time.Duration) (bool, error) {
	tick := time.NewTicker(orphanPoll)
	defer tick.Stop()
	over := time.NewTimer(wait)
	defer over.Stop()
	for groupLives(pgid) {
		select {
		case <-ctx.Done():
			return false, context.Cause(ctx)
		case <-over.C:
			return false, nil
		case <-tick.C:
		}
	}
	return true, nil
}
