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
	runs := h.resumeRuns(kept, saved)
	if err := endLeftovers(ctx, found, log); err != nil {
		return err
	}
	h.table.resume(kept, runs)
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

// resume takes workers in that go on with engines of an earlier agent, and the runs that go on
// in them, and starts to look after them. Like any other, the runs stand until an answer says
// that they should not.
func (t *table) resume(kept []*worker, runs []*run) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, r := range runs {
		t.runs[r.key] = r
		r.start()
	}
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

// endCutOff ends a log whose agent died under it. Its engine has lost the connection it wrote
// to, and gets no other request before it has let go.
func endCutOff(l *runlog.Log, logger hclog.Logger) {
	t, err := l.End(hives.Terminal{Outcome: hives.Failed, Error: restarted()})
	if err != nil {
		logger.Error("end of a run cannot be written", "job", l.Meta().JobID, "attempt", l.Meta().Attempt, "error", err)
	}
	logger.Info("run was cut off by the agent's restart", "job", t.JobID, "attempt", t.Attempt, "events", t.Events)
}

func restarted() *hives.Error {
	return hives.Errorf(hives.CodeAgentRestarted, "the hive's agent was restarted under the run")
}
