package engine

import (
	"fmt"

	"queen-rbee/hives"
)

// cause is what moves a worker from state to state.
type cause int

const (
	started cause = iota // its process runs
	healthy              // the probe was answered
	died                 // its process is gone or given up, or could not be started
	gaveUp               // no restart is left
	stuck                // its process outlived SIGKILL: a second one would take the device twice
	ended                // it is no longer desired, and no process is left
)

func (c cause) String() string {
	return [...]string{"started", "healthy", "died", "gave up", "stuck", "ended"}[c]
}

// transitions is every move there is. failed and stopped are ends. A worker that is being
// stopped keeps its state until its process is gone, since until then it holds its device;
// the end of its generation tells those who use it. A died one is spawning at once, even
// while what is left of its process is being killed.
var transitions = map[hives.WorkerState]map[cause]hives.WorkerState{
	hives.WorkerSpawning: {
		started: hives.WorkerLoading,
		died:    hives.WorkerSpawning,
		gaveUp:  hives.WorkerFailed,
		stuck:   hives.WorkerFailed,
		ended:   hives.WorkerStopped,
	},
	hives.WorkerLoading: {
		healthy: hives.WorkerReady,
		died:    hives.WorkerSpawning,
		stuck:   hives.WorkerFailed,
		ended:   hives.WorkerStopped,
	},
	hives.WorkerReady: {
		died:  hives.WorkerSpawning,
		stuck: hives.WorkerFailed,
		ended: hives.WorkerStopped,
	},
}

// next returns the state that c leads to from s, or an error when there is no such move.
func next(s hives.WorkerState, c cause) (hives.WorkerState, error) {
	to, ok := transitions[s][c]
	if !ok {
		return s, fmt.Errorf("worker in state %s: no move on %q", s, c)
	}
	return to, nil
}
