package agent

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"

	"queen-rbee/hives"
	"queen-rbee/hives/device"
	"queen-rbee/hives/door"
	"queen-rbee/hives/engine"
	"queen-rbee/hives/runlog"
)

// Agent is a hive's daemon. Make it with New, run it once with Run.
type Agent struct {
	cfg     Config
	boot    string
	seams   seams
	ready   chan struct{} // closed when url, addr and hive are set
	url     string
	addr    net.Addr
	hive    *hive
	stop    context.Context // ends when the agent is asked to stop in order
	stopNow context.CancelFunc
}

// seams is what tests replace.
type seams struct {
	supervise func(engine.Launch, engine.Options) (supervisor, error)
	stream    streamFunc
	devices   detector
}

// New checks the config and makes an agent. It starts nothing.
func New(cfg Config) (*Agent, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	a := &Agent{cfg: cfg, boot: ulid.Make().String(), ready: make(chan struct{}), seams: seams{
		supervise: func(l engine.Launch, o engine.Options) (supervisor, error) { return engine.NewWorker(l, o) },
		stream:    engine.Stream,
		devices:   device.NewDetector(),
	}}
	a.stop, a.stopNow = context.WithCancel(context.Background())
	return a, nil
}

// Ready is closed when the agent listens; URL and Addr are good from then on.
func (a *Agent) Ready() <-chan struct{} { return a.ready }

// URL is what queens are told to reach this hive by.
func (a *Agent) URL() string { return a.url }

// Addr is what the agent listens on.
func (a *Agent) Addr() net.Addr { return a.addr }

// Stop asks for an orderly stop: nothing new is started, runs get the drain timeout, workers
// are stopped, the queens are told. Run returns when it is done. It does not wait.
func (a *Agent) Stop() { a.stopNow() }

// Run is the agent's life. It blocks until Stop, until ctx ends (a stop that waits for no
// run), or until it cannot go on: ErrSuperseded, or an error that says what to do. No engine
// process of its own is left when it returns.
func (a *Agent) Run(ctx context.Context) error {
	lock, err := lockDir(a.cfg.DataDir)
	if err != nil {
		return err
	}
	defer lock.release()
	saved, err := loadState(a.cfg.DataDir)
	if err != nil {
		return err
	}
	listener, err := listen(a.cfg.Addr)
	if err != nil {
		return fmt.Errorf("cannot listen (choose another --addr, or stop what has the port): %w", err)
	}
	defer func() { _ = listener.Close() }()
	if a.url, err = a.cfg.advertised(listener.Addr()); err != nil {
		return err
	}
	a.addr = listener.Addr()
	store, err := a.openStore()
	if err != nil {
		return err
	}
	defer store.Close()
	shelf, err := a.openShelf()
	if err != nil {
		return err
	}
	defer shelf.close()
	a.hive = a.assemble(saved, store, shelf)
	// Before anything is started: until they are gone, engines that nobody goes on with hold devices.
	if err := a.hive.takeLeftovers(ctx, saved.Processes); err != nil {
		return err
	}
	a.cfg.Logger.Info("hive agent listens", "id", a.cfg.ID, "addr", a.addr.String(), "url", a.url, "boot", a.boot)
	close(a.ready)
	return a.hive.run(ctx, a.stop, listener)
}

func (a *Agent) openStore() (*runlog.Store, error) {
	limits := runlog.Limits{Age: a.cfg.RetainRuns, Bytes: a.cfg.RetainBytes}
	store, err := runlog.Open(filepath.Join(a.cfg.DataDir, "runs"), limits, time.Now)
	if err != nil {
		return nil, err
	}
	for _, err := range store.Skipped() {
		a.cfg.Logger.Warn("a run log cannot be read and is left alone", "error", err)
	}
	return store, nil
}

// assemble makes the parts of a running hive and ties them together.
func (a *Agent) assemble(saved savedState, store *runlog.Store, shelf *shelf) *hive {
	log := a.cfg.Logger
	m := newMetrics()
	h := &hive{cfg: a.cfg, store: store, shelf: shelf, metrics: m, letGo: make(chan struct{}), ended: make(chan struct{}, 1)}
	h.keeper = newKeeper(a.cfg.DataDir, saved, log.Named("state"))
	h.menu = newMenu(a.cfg.Engines, func() { h.up.kick() }, log.Named("engine"))
	h.devices = newDevices(a.cfg.Devices, a.seams.devices, log)
	h.call = newCaller(a.cfg.ID, a.cfg.Token, a.cfg.OfflineAfter)
	queens := newQueens(a.cfg.Queens, saved.Queens, h.keeper.learnt)
	t := newTable(store, log.Named("table"))
	t.restore(saved.Epoch, saved.Index)
	h.table = t
	down := &pipeDown{queens: queens, call: h.call, table: t, limit: a.cfg.OfflineAfter / 2, logger: log.Named("down")}
	h.up = &pipeUp{queens: queens, call: h.call, table: t, strong: down.askLeader, logger: log.Named("up"),
		failed: m.beatsFailed, bell: make(chan struct{}, 1), fill: a.fill(h), limit: a.cfg.OfflineAfter / 2}
	t.kick, t.fresh, down.broken, shelf.kick = h.up.kick, h.up.fresh, h.up.broken, h.up.kick
	h.shop = a.workshop(h)
	t.parts = a.parts(h, queens)
	h.session = &session{queens: queens, call: h.call, table: t, down: down, up: h.up,
		about: a.about(h), logger: log.Named("session")}
	gate := &gateway{table: t, closing: h.letGo, logger: log.Named("gateway"), readers: gauge{max: int64(openFiles(a.cfg.MaxReaders))}}
	h.door = door.New(openFiles(a.cfg.MaxReaders)*5/4 + 64) // the readers, and those who only ask
	m.observe(t, store, &gate.readers)
	shelving := &shelving{table: t, shelf: shelf, out: gauge{max: maxSending}}
	m.registry.MustRegister(&bounds{door: h.door, readers: &gate.readers, table: t, store: store, shelf: shelf, sending: &shelving.out})
	answers := &reads{id: a.cfg.ID, url: a.url, version: a.cfg.Version, boot: a.boot, began: time.Now(),
		menu: h.menu, table: t, up: h.up, queens: queens,
		devices: func(r *http.Request) []hives.Device { return h.devices.now(r.Context()) }}
	s := &server{table: t, gate: gate, reads: answers, shelving: shelving, token: sha256.Sum256([]byte(a.cfg.Token)), stop: a.Stop,
		logger: log.Named("http"), metrics: m.registry}
	h.http = newHTTPServer(s.routes(), h.door, log.Named("http"))
	return h
}

func (a *Agent) workshop(h *hive) *workshop {
	return &workshop{
		menu: h.menu, shelf: h.shelf, devices: h.devices.has, environ: h.devices.environ, free: h.devices.free, supervise: a.seams.supervise,
		logDir: filepath.Join(a.cfg.DataDir, "workers"), ports: a.cfg.Ports, cgroup: a.cfg.Cgroup, mark: a.cfg.DataDir, group: &h.group,
		logger: a.cfg.Logger.Named("worker"), on: workerEvents{moved: h.workerMoved, over: h.table.workerOver},
	}
}

// parts tells the table how runs and workers are made.
func (a *Agent) parts(h *hive, queens *queens) parts {
	log := a.cfg.Logger
	env := &runEnv{
		store: h.store, stream: a.seams.stream, first: a.cfg.FirstToken, inter: a.cfg.InterToken, most: a.cfg.MaxTokens,
		group: &h.group, logger: log.Named("run"), over: h.runOver,
		fetch: func(ctx context.Context, job string) ([]byte, error) { return h.call.body(ctx, queens, job) },
	}
	return parts{newWorker: h.shop.make, newRun: env.newRun, goOn: env.resumedRun, acted: h.keeper.acted,
		models: h.shelf.act, forget: h.shelf.forget, shelved: h.shelf.report}
}

// about is what a registration says of this start.
func (a *Agent) about(h *hive) func(context.Context) hives.Registration {
	return func(ctx context.Context) hives.Registration {
		return hives.Registration{ID: a.cfg.ID, URL: a.url, Version: a.cfg.Version, Devices: h.devices.now(ctx),
			Labels: a.labels(), Engines: offers(h.menu.now()), Boot: a.boot}
	}
}

// fill adds to a heartbeat what is not in the table.
func (a *Agent) fill(h *hive) func(*hives.Heartbeat) {
	return func(hb *hives.Heartbeat) {
		hb.At = time.Now().UTC().Format(time.RFC3339Nano)
		hb.URL, hb.Version, hb.Labels, hb.Engines = a.url, a.cfg.Version, a.labels(), offers(h.menu.now())
		hb.Devices = h.devices.now(context.Background())
	}
}

func (a *Agent) labels() map[string]string {
	if a.cfg.Labels == nil {
		return map[string]string{}
	}
	return a.cfg.Labels
}

// hive is an agent that runs.
type hive struct {
	cfg     Config
	store   *runlog.Store
	table   *table
	shelf   *shelf
	shop    *workshop
	keeper  *keeper
	devices *devices
	menu    *menu
	call    *caller
	up      *pipeUp
	session *session
	http    *http.Server
	door    *door.Door
	metrics *metrics
	letGo   chan struct{}  // closed when readers are to be let go
	ended   chan struct{}  // a run has ended: logs may be dropped
	group   sync.WaitGroup // runs and workers
}

// workerMoved follows a worker's process.
func (h *hive) workerMoved(w *worker, s engine.Snapshot) {
	h.keeper.process(w.saved(s))
	if s.State == hives.WorkerLoading && s.Generation > 1 {
		h.metrics.restarts.Inc()
	}
	if s.State == hives.WorkerSpawning {
		h.menu.doubt(w.spec.Engine)
	}
	h.up.kick()
}

func (h *hive) runOver(r *run) {
	h.metrics.ended.WithLabelValues(string(r.ended().Outcome)).Inc()
	h.table.runOver(r)
	ring(h.ended)
}

// retain drops old run logs until ctx ends.
func (h *hive) retain(ctx context.Context) {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-h.ended:
		}
		if _, err := h.store.Retain(); err != nil && !errors.Is(err, runlog.ErrClosed) {
			h.cfg.Logger.Error("old run logs cannot be removed", "error", err)
		}
		if !sleep(ctx, time.Second) { // however many runs end
			return
		}
	}
}
