package agent

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sync/errgroup"

	"queen-rbee/hives"
	"queen-rbee/hives/engine"
	"queen-rbee/hives/runlog"
)

const (
	// leftoverGrace is what an engine that nobody goes on with gets between SIGTERM and SIGKILL.
	leftoverGrace = 5 * time.Second
	// settleFor is how long a start waits for the engines it goes on with to answer, so that the
	// cluster need not take one for loading that is ready.
	settleFor = 2 * time.Second
)

// takeLeftovers sorts the engine processes that earlier agents of this data directory left
// behind. Those that can be gone on with are workers of the table from here on; the first
// desired answer decides about them. The others are ended, and gone when it returns: until then
// they hold devices and slots. Processes are known from the state file, and by the mark in
// their environment where the machine shows it.
func (h *hive) takeLeftovers(ctx context.Context, saved []savedProcess) error {
	log := h.cfg.Logger
	found, err := engine.FindOrphans(h.cfg.DataDir)
	if err != nil {
		log.Warn("engines left behind can only be told from the state file", "error", err)
	}
	for _, p := range saved {
		o := engine.Orphan{PID: p.PID, StartTicks: p.StartTicks, PGID: p.PID, WorkerID: p.Worker}
		if !slices.ContainsFunc(found, func(f engine.Orphan) bool { return f.PID == p.PID }) && o.Alive() {
			found = append(found, o)
		}
	}
	var kept []*worker
	for _, p := range saved {
		w, err := h.shop.resume(p)
		if err != nil {
			log.Info("an engine of an earlier agent is not gone on with", "worker", p.Worker, "pid", p.PID, "reason", err)
			continue
		}
		kept = append(kept, w)
		found = slices.DeleteFunc(found, func(o engine.Orphan) bool { return p.process().Owns(o, p.Worker) })
	}
	h.keeper.forgetOthers(kept)
	if err := endLeftovers(ctx, found, log); err != nil {
		return err
	}
	h.table.resume(kept)
	return nil
}

func endLeftovers(ctx context.Context, found []engine.Orphan, logger hclog.Logger) error {
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

// resume takes workers in that go on with engines of an earlier agent, and starts to look
// after them.
func (t *table) resume(kept []*worker) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, w := range kept {
		t.workers[w.id] = w
		w.start()
	}
}

// awaitSettled waits, for a while, until it is known of each engine that was ready under an
// earlier agent whether it still is.
func (t *table) awaitSettled(ctx context.Context) {
	over := time.NewTimer(settleFor)
	defer over.Stop()
	for _, w := range t.resumed() {
		select {
		case <-w.settled:
		case <-over.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// resumed are the workers whose engines were ready under an earlier agent.
func (t *table) resumed() []*worker {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []*worker
	for _, w := range t.workers {
		if w.settled != nil && w.wasReady {
			out = append(out, w)
		}
	}
	return out
}

// endUnfinished ends the logs whose agent died under them. Their engines have lost the
// connection they wrote to, and get no other request before they have let go.
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
