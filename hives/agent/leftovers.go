package agent

import (
	"context"
	"fmt"
	"time"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sync/errgroup"

	"queen-rbee/hives"
	"queen-rbee/hives/engine"
	"queen-rbee/hives/runlog"
)

// leftoverGrace is what an engine that an earlier agent left behind gets between SIGTERM and SIGKILL.
const leftoverGrace = 5 * time.Second

// endLeftovers ends every engine process that an agent of this data directory left behind, and
// returns when all are gone: until then they hold devices and slots. Processes are known from
// the state file, and by the mark in their environment where the machine shows it.
func endLeftovers(ctx context.Context, saved []savedProcess, mark string, logger hclog.Logger) error {
	found, err := engine.FindOrphans(mark)
	if err != nil {
		logger.Warn("engines left behind can only be told from the state file", "error", err)
	}
	known := map[int]bool{}
	for _, o := range found {
		known[o.PID] = true
	}
	for _, p := range saved {
		o := engine.Orphan{PID: p.PID, StartTicks: p.StartTicks, PGID: p.PID, WorkerID: p.Worker}
		if !known[p.PID] && o.Alive() {
			found = append(found, o)
		}
	}
	var g errgroup.Group
	for _, o := range found {
		logger.Warn("ending an engine that an earlier agent left behind", "worker", o.WorkerID, "pid", o.PID)
		g.Go(func() error {
			if err := o.End(ctx, leftoverGrace); err != nil {
				return fmt.Errorf("engine process %d of worker %s was left behind by an earlier agent and cannot be ended: %w; end it by hand and start again", o.PID, o.WorkerID, err)
			}
			return nil
		})
	}
	return g.Wait()
}

// endUnfinished ends the logs whose agent died under them. Their engines are gone by now.
func endUnfinished(store *runlog.Store, logger hclog.Logger) {
	for _, l := range store.Unfinished() {
		t, err := l.End(hives.Terminal{Outcome: hives.Failed, Error: restarted()})
		if err != nil {
			logger.Error("end of a run cannot be written", "job", l.Meta().JobID, "attempt", l.Meta().Attempt, "error", err)
		}
		logger.Info("run was cut off by the agent's restart", "job", t.JobID, "attempt", t.Attempt, "events", t.Events)
	}
}

func restarted() *hives.Error {
	return hives.Errorf(hives.CodeAgentRestarted, "the hive's agent was restarted under the run")
}
