package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/pflag"
	"golang.org/x/net/netutil"
	"golang.org/x/sync/errgroup"

	"queen-rbee/cmd/internal/settings"
	"queen-rbee/cmd/internal/version"
	"queen-rbee/cmd/rbee-worker/internal/engine"
	"queen-rbee/cmd/rbee-worker/internal/serve"
	"queen-rbee/cmd/rbee-worker/markov"
)

const (
	maxWaiting     = 4096 // requests in the queue for slots
	maxConnections = 8192 // more than can wait, so that probes still come in
)

// StartExit is the fault of a process that ends instead of starting.
type StartExit struct{ Code int }

func (e *StartExit) Error() string {
	return fmt.Sprintf("fault-start-exit: ending with code %d as told to", e.Code)
}

// Worker is the whole program: ParseFlags, Validate, Run, in this order, each once; Close
// ends Run from elsewhere.
type Worker struct {
	Options Options
	// Die ends the process for --fault-die-after. Tests put their own in its place.
	Die func()

	stderr    io.Writer
	set       *pflag.FlagSet
	sources   settings.Sources
	listening chan struct{}
	addr      string // written before listening is closed
	ended     context.Context
	end       context.CancelFunc
}

// NewWorker makes a worker that logs to stderr.
func NewWorker(stderr io.Writer) *Worker {
	w := &Worker{Die: die, stderr: stderr, listening: make(chan struct{})}
	w.set = w.Options.flags()
	w.ended, w.end = context.WithCancel(context.Background())
	return w
}

// die is as hard as SIGKILL from outside: no handler, no flush, no farewell on any socket.
func die() {
	if self, err := os.FindProcess(os.Getpid()); err == nil {
		_ = self.Kill()
	}
	select {}
}

// ParseFlags reads the command line and then the environment.
func (w *Worker) ParseFlags(args []string) error {
	if err := w.set.Parse(args); err != nil {
		return err
	}
	if extra := w.set.Args(); len(extra) > 0 {
		return fmt.Errorf("%q is no flag; everything is told by flags", extra[0])
	}
	var err error
	w.sources, err = settings.Load(w.set, nil)
	return err
}

// Usage is the help text.
func (w *Worker) Usage() string {
	return "rbee-worker: the built-in engine, a small language model behind the OpenAI API.\n\n" +
		"Every flag is also an environment variable: --load-delay is RBEE_WORKER_LOAD_DELAY.\n\n" + w.set.FlagUsages()
}

// Validate checks what was told.
func (w *Worker) Validate() error { return w.Options.check(w.sources) }

// Listening is closed when Addr is known: connections are taken, the model may still load.
func (w *Worker) Listening() <-chan struct{} { return w.listening }

// Addr is the address it listens on, once Listening is closed.
func (w *Worker) Addr() string { return w.addr }

// Close ends Run.
func (w *Worker) Close() { w.end() }

// Run listens, loads and serves until ctx ends or Close is called. It closes every
// connection at once then, as llama-server does, and returns nil.
func (w *Worker) Run(ctx context.Context) error {
	o := w.Options
	if o.StartExit != engine.Off {
		return &StartExit{Code: o.StartExit}
	}
	log := hclog.New(&hclog.LoggerOptions{Name: "rbee-worker", Level: hclog.LevelFromString(o.LogLevel), Output: w.stderr})
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(w.ended, cancel)()

	listener, err := net.Listen("tcp", o.Addr)
	if err != nil {
		return fmt.Errorf("cannot listen on %s: %w; give another --addr, port 0 takes a free one", o.Addr, err)
	}
	w.addr = listener.Addr().String()
	log.Info("listening", "addr", w.addr, "model", o.Model, "version", version.Short())
	close(w.listening)

	site := serve.New(serve.Config{
		Model: o.Model, ModelPath: o.ModelPath, Build: "rbee-" + version.Short(), HealthFails: o.HealthFail, Log: log,
	})
	group, ctx := errgroup.WithContext(ctx)
	server := newServer(ctx, site, log)
	group.Go(func() error {
		if err := server.Serve(netutil.LimitListener(listener, maxConnections)); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	group.Go(func() error { return w.load(ctx, log, site) })
	group.Go(func() error {
		<-ctx.Done()
		err := server.Close()
		site.Close()
		return err
	})
	return group.Wait()
}

// newServer has no WriteTimeout, which would cut streams: every write has its own deadline.
// Requests end with ctx.
func newServer(ctx context.Context, site *serve.Server, log hclog.Logger) *http.Server {
	return &http.Server{
		Handler:           site.Handler(),
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       120 * time.Second,
		MaxHeaderBytes:    64 << 10,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ErrorLog:          log.StandardLogger(&hclog.StandardLoggerOptions{ForceLevel: hclog.Debug}),
	}
}

// load learns the model and opens the doors. A worker whose model cannot be read ends.
func (w *Worker) load(ctx context.Context, log hclog.Logger, site *serve.Server) error {
	o := w.Options
	delay := time.NewTimer(o.LoadDelay)
	defer delay.Stop()
	text, err := readText(o.ModelPath)
	if err != nil {
		return err
	}
	model, err := markov.Learn(text)
	if err != nil {
		return fmt.Errorf("cannot learn from %s: %w", o.ModelPath, err)
	}
	select {
	case <-delay.C:
	case <-ctx.Done():
		return nil
	}
	plan := engine.FaultPlan{DieAfter: o.DieAfter, HangAfter: o.HangAfter, ErrorAfter: o.ErrorAfter, Die: w.Die}
	site.Ready(engine.New(engine.Config{
		Model:   model,
		Slots:   engine.NewSlots(o.Slots, maxWaiting),
		Faults:  engine.NewFaults(plan),
		Context: o.Context,
		Rate:    o.TokensPerSecond,
	}))
	log.Info("ready", "words", model.Words(), "vocabulary", model.Vocabulary(), "slots", o.Slots, "context", o.Context)
	return nil
}

// readText reads the text to learn from: the built-in one when no path is given.
func readText(path string) (string, error) {
	if path == "" {
		return markov.Corpus(), nil
	}
	file, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("model-path: %w", err)
	}
	defer func() { _ = file.Close() }()
	text, err := io.ReadAll(io.LimitReader(file, markov.MaxBytes+1)) // Learn refuses what is longer
	if err != nil {
		return "", fmt.Errorf("model-path: %w", err)
	}
	return string(text), nil
}
