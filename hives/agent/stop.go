package agent

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"

	"queen-rbee/hives"
)

// How long the last words may take, when nothing answers.
const (
	lastWords  = 5 * time.Second
	shortWords = 500 * time.Millisecond
	letReaders = 3 * time.Second
)

// run runs the hive until it is asked to stop (stop ends), must stop at once (ctx ends), or
// cannot go on.
func (h *hive) run(ctx, stop context.Context, listener net.Listener) error {
	inside, leave := context.WithCancel(context.WithoutCancel(ctx))
	defer leave()
	defer h.call.close()
	var wg sync.WaitGroup
	failed := make(chan error, 2)
	wg.Go(func() { h.keeper.run(inside) })
	wg.Go(func() { h.retain(inside) })
	wg.Go(func() { h.devices.run(inside) })
	wg.Go(func() { h.menu.run(inside) })
	wg.Go(func() {
		if err := h.http.Serve(h.door.Listen(listener)); !errors.Is(err, http.ErrServerClosed) {
			failed <- err
		}
	})
	var piping sync.WaitGroup
	pipes, hangUp := context.WithCancel(inside)
	defer hangUp()
	piping.Go(func() {
		h.table.awaitSettled(pipes)
		h.menu.await(pipes)
		if err := h.session.run(pipes); err != nil && pipes.Err() == nil {
			failed <- err
		}
	})

	var err error
	select {
	case <-ctx.Done():
	case <-stop.Done():
	case err = <-failed:
		h.cfg.Logger.Error("hive agent stops", "error", err)
	}
	h.wind(ctx, err)
	hangUp()
	piping.Wait()
	h.closeServer()
	leave()
	wg.Wait()
	return err
}

// wind ends runs and workers, and tells the queens while somebody listens. Not so after err:
// then queens know better (a newer agent is there) or cannot be told.
func (h *hive) wind(ctx context.Context, err error) {
	log := h.cfg.Logger
	h.table.close()
	if err == nil && ctx.Err() == nil && h.cfg.DrainTimeout > 0 {
		log.Info("stopping: waiting for runs", "at_most", h.cfg.DrainTimeout)
		h.up.kick()
		drain, cancel := context.WithTimeout(ctx, h.cfg.DrainTimeout)
		_ = h.table.awaitRuns(drain) // what is left then is ended
		cancel()
	}
	h.table.endRuns(hives.Errorf(hives.CodeDrained, "the hive's agent is being stopped"))
	_ = h.table.awaitRuns(context.Background()) // they all have ended engine connections and go at once
	h.say(ctx, err)
	h.table.seal() // from here on nothing joins the group
	h.table.stopWorkers(hives.Errorf(hives.CodeWorkerGone, "the hive's agent is being stopped"))
	h.group.Wait()
	h.say(ctx, err)
}

// say lets a heartbeat tell what is true now. It is short when there is a hurry or nobody to listen.
func (h *hive) say(ctx context.Context, err error) {
	if err != nil {
		return
	}
	patience := lastWords
	if ctx.Err() != nil || h.up.since() > h.cfg.OfflineAfter {
		patience = shortWords
	}
	flushing, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := h.up.flush(flushing); err != nil {
		h.cfg.Logger.Warn("no queen took the last heartbeat", "error", err)
	}
}

// closeServer gives readers time to read the ends of their runs, then lets them go.
func (h *hive) closeServer() {
	ctx, cancel := context.WithTimeout(context.Background(), letReaders)
	defer cancel()
	if h.http.Shutdown(ctx) == nil {
		close(h.letGo)
		return
	}
	close(h.letGo)
	_ = h.http.Close()
}
