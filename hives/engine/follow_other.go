//go:build !linux

package engine

import "time"

// exitWatch tells when a process ends that is no child of this one.
type exitWatch struct{}

func followExit(int) (exitWatch, error) { return exitWatch{}, nil }

// wait blocks until the process has exited.
func (exitWatch) wait(p *process) {
	tick := time.NewTicker(orphanPoll)
	defer tick.Stop()
	for (Orphan{PID: p.pid, StartTicks: p.ticks}).Alive() {
		<-tick.C
	}
}

func (exitWatch) close() {}
