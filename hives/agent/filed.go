package agent

import (
	"context"
	"errors"
	"sync"

	"queen-rbee/hives"
	"queen-rbee/hives/engine"
	"queen-rbee/hives/models"
)

// filed supervises a worker whose model is the catalog's: it waits until the file is here, and
// then has an engine looked after as any other. Until then it is spawning, and its progress is
// that of the bytes.
type filed struct {
	wait   func(context.Context) (models.Model, func(), error)
	start  func(models.Model) (supervisor, error)
	done   func() float64
	notify func()

	mu     sync.Mutex
	engine supervisor // nil until the file is here
	ended  engine.Snapshot
}

// errNoEngine ends what would use an engine that has not been started.
var errNoEngine = hives.Errorf(hives.CodeWorkerGone, "the worker waits for its model")

// Run blocks until the worker has failed or ctx has ended, as an engine's does.
func (f *filed) Run(ctx context.Context) error {
	m, release, err := f.wait(ctx)
	if err == nil {
		defer release()
		var sup supervisor
		if sup, err = f.start(m); err == nil {
			f.mu.Lock()
			f.engine = sup
			f.mu.Unlock()
			f.notify()
			return sup.Run(ctx)
		}
	}
	end := engine.Snapshot{State: hives.WorkerStopped}
	if ctx.Err() == nil {
		end = engine.Snapshot{State: hives.WorkerFailed, Error: messageOf(err)}
	}
	f.mu.Lock()
	f.ended = end
	f.mu.Unlock()
	f.notify()
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// messageOf is an error's text for people, without its code.
func messageOf(err error) string {
	if e, ok := errors.AsType[*hives.Error](err); ok {
		return e.Message
	}
	return err.Error()
}

func (f *filed) inner() (supervisor, engine.Snapshot) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.engine, f.ended
}

// State returns the newest snapshot.
func (f *filed) State() engine.Snapshot {
	sup, ended := f.inner()
	switch {
	case sup != nil:
		return sup.State()
	case ended.State != "":
		return ended
	}
	return engine.Snapshot{State: hives.WorkerSpawning, Progress: f.done()}
}

// Generation is the engine's; before it there is none.
func (f *filed) Generation() (uint64, context.Context) {
	if sup, _ := f.inner(); sup != nil {
		return sup.Generation()
	}
	ctx, end := context.WithCancelCause(context.Background())
	end(errNoEngine)
	return 0, ctx
}

// Alive tells the engine that bytes of it have come.
func (f *filed) Alive(generation uint64) {
	if sup, _ := f.inner(); sup != nil {
		sup.Alive(generation)
	}
}

// Doubt has the engine asked for its health.
func (f *filed) Doubt() {
	if sup, _ := f.inner(); sup != nil {
		sup.Doubt()
	}
}
