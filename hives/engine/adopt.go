package engine

import (
	"fmt"
	"syscall"

	"queen-rbee/hives"
)

// Process is an engine process as a later agent must know it to go on with it.
type Process struct {
	PID        int
	StartTicks uint64
	Port       int
	Key        string
	Ready      bool // it has been healthy: the time a start may take is over
}

// Process is what a later agent must know of the process of this snapshot.
func (s Snapshot) Process() Process {
	return Process{PID: s.PID, StartTicks: s.StartTicks, Port: s.Port, Key: s.Key, Ready: s.State == hives.WorkerReady}
}

// Adoptable tells whether that very process still lives, leads a group of its own and can be
// spoken to.
func (p Process) Adoptable() bool {
	if p.PID <= 1 || p.StartTicks == 0 || p.Port <= 0 || p.PID == syscall.Getpgrp() {
		return false
	}
	st, err := readStat(p.PID)
	return err == nil && st.alive() && st.start == p.StartTicks && st.pgid == p.PID
}

// Owns tells whether an orphan belongs to the process of a worker: it is of its group, or was
// started by it under the same worker's id and has left the group.
func (p Process) Owns(o Orphan, worker string) bool {
	return o.PGID == p.PID || o.WorkerID == worker && o.StartTicks >= p.StartTicks
}

// adopt follows a living process that is no child of this agent. The caller must wait for done.
func adopt(a Process) (*process, error) {
	exit, err := followExit(a.PID)
	if err != nil {
		return nil, fmt.Errorf("engine process %d of an earlier agent cannot be followed: %w", a.PID, err)
	}
	if !a.Adoptable() { // asked when it is held: from here on the pid is known to be its own
		exit.close()
		return nil, fmt.Errorf("engine process %d of an earlier agent has ended", a.PID)
	}
	p := &process{pid: a.PID, ticks: a.StartTicks, adopted: true, gone: make(chan struct{}), done: make(chan struct{})}
	go p.follow(exit)
	return p, nil
}

// follow waits for the leader and ends what it left behind.
func (p *process) follow(exit exitWatch) {
	defer close(p.done)
	defer exit.close()
	exit.wait(p)
	close(p.gone)
	p.signal(syscall.SIGKILL)
	p.awaitGroupGone()
	p.forget()
	p.how = "it was started by an earlier agent, so that what it ended with is not known"
}
