package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"queen-rbee/hives"
	"queen-rbee/hives/engine"
	"queen-rbee/hives/runlog"
)

const (
	// letGoFor is how long an engine is asked whether it has let go of a request that nobody wants
	// any more, before its slot is given on all the same.
	letGoFor  = 5 * time.Second
	letGoStep = 50 * time.Millisecond
)

// engineAt is where an engine is spoken to, and under which name it keeps a run's stream; empty
// for one that it does not keep.
type engineAt struct{ url, key, name string }

// forget drops what the engine still keeps of a run that is over.
func (e engineAt) forget(r *run) {
	if e.name == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), letGoFor)
	defer cancel()
	if err := engine.Forget(ctx, e.url, e.key, e.name); err != nil {
		r.env.logger.Debug("a stream is not forgotten", "job", r.key.job, "error", err)
	}
}

// letGo waits until the engine works no more on a request that did not end by itself: not its
// word on that is the witness, but its slots. What it never took needs no waiting.
func (r *run) letGo(at engineAt, why error) {
	switch hives.CodeOf(why) {
	case engine.CodeEngineBusy, hives.CodeInvalid, hives.CodeOutputTooLarge:
		return
	}
	if why == nil {
		return
	}
	r.named = engineAt{}
	at.forget(r)
	ctx, cancel := context.WithTimeout(context.Background(), letGoFor)
	defer cancel()
	for {
		busy, ok := engine.Busy(ctx, at.url, at.key)
		if !ok || int64(busy) <= r.worker.busy.Load() {
			return
		}
		if !sleep(ctx, letGoStep) {
			r.env.logger.Warn("an engine does not let go of a request", "worker", r.worker.id, "job", r.key.job)
			return
		}
	}
}

// answering counts a request from its first byte until the function it gives is called.
func (w *worker) answering(onBytes *func()) (over func()) {
	heard, first := *onBytes, sync.Once{}
	began := false
	*onBytes = func() {
		first.Do(func() { w.busy.Add(1); began = true })
		heard()
	}
	return sync.OnceFunc(func() {
		if began {
			w.busy.Add(-1)
		}
	})
}

// resumeRuns makes runs of the logs whose agent died under them and whose engines live on: they
// may keep what they have streamed. All other logs end here. Each run takes its slot before its
// worker is started.
func (h *hive) resumeRuns(kept []*worker, saved []savedProcess) (runs []*run) {
	for _, l := range h.store.Unfinished() {
		m := l.Meta()
		var in *worker
		for _, w := range kept {
			if w.id == m.WorkerID {
				in = w
			}
		}
		if _, _, ok := l.Kept(); in == nil || !ok || m.Choices == 0 {
			endCutOff(l, h.cfg.Logger)
			continue
		}
		for _, p := range saved {
			if p.Worker != in.id {
				continue
			}
			in.slots.keep()
			runs = append(runs, h.table.parts.goOn(l, in, p.process()))
		}
	}
	return runs
}

// resumedRun makes the run of a log that goes on in a process of an earlier agent.
func (env *runEnv) resumedRun(l *runlog.Log, w *worker, p engine.Process) *run {
	m := l.Meta()
	r := env.newRun(hives.DesiredRun{
		JobID: m.JobID, Attempt: m.Attempt, Incarnation: m.Incarnation, WorkerID: m.WorkerID, AssignedIndex: m.AssignedIndex,
		API: m.API, Path: m.Path, Begin: m.Begin, Stream: m.Stream, Mode: m.Mode,
	}, w)
	r.log, r.resumed = l, &p
	close(r.logged)
	return r
}

// resume goes on with the run where its log ends.
func (r *run) resume() (engine.Result, error) {
	offset, chunks, _ := r.log.Kept()
	at := engineAt{fmt.Sprintf("http://127.0.0.1:%d", r.resumed.Port), r.resumed.Key, fmt.Sprintf("%s.%d", r.key.job, r.key.attempt)}
	r.named = at
	ctx, cancel := context.WithCancelCause(r.ctx)
	defer cancel(nil)
	defer context.AfterFunc(r.worker.ctx, func() { cancel(errDied()) })()
	o := engine.StreamOptions{Key: at.key, FirstToken: r.env.first, InterToken: r.env.inter, OnBytes: func() {
		n, _ := r.worker.sup.Generation()
		r.worker.sup.Alive(n)
	}}
	over := r.worker.answering(&o.OnBytes)
	defer over()
	k := engine.Kept{Conversation: at.name, Choices: r.log.Meta().Choices, From: offset,
		Past: func(yield func(json.RawMessage) error) error {
			for raw, err := range chunks {
				if err != nil {
					return err
				}
				if err := yield(raw); err != nil {
					return err
				}
			}
			return nil
		}}
	result, heard, err := engine.Resume(ctx, at.url, k, o, r.keep)
	over()
	if !heard { // its worker is not ready before it has let go
		r.named = engineAt{}
		return result, err
	}
	r.letGo(at, err)
	return result, err
}
