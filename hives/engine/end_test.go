package engine

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"queen-rbee/hives"
)

func TestAWorkerIsStoppedByItsSignal(t *testing.T) {
	d := definition("-heeds-int", "-deaf")
	d.StopSignal, d.StopGrace = syscall.SIGINT, 15*time.Second
	w := runWorker(t, d, nil)
	w.ready()
	if err := w.stop(); err != nil || !strings.Contains(lines(w.Tail()...), "interrupted") {
		t.Fatal(err, w.Tail())
	}
}

func TestRestartPolicies(t *testing.T) {
	for _, c := range []struct {
		restart Restart
		status  string
		starts  uint64
		want    string
	}{
		{RestartNever, "3", 1, "exit status 3; it is never started again (restart: never)"},
		{RestartOnFailure, "0", 1, "exit status 0; it is started again only after a failure (restart: on-failure)"},
		{RestartOnFailure, "3", 4, "given up after 3 restarts"},
		{RestartAlways, "0", 4, "given up after 3 restarts"},
	} {
		d := definition("-exit", c.status)
		d.Restart = c.restart
		w := runWorker(t, d, nil)
		if err := w.end(); err == nil || w.State().Generation != c.starts || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s after %s: %d starts, %v", c.restart, c.status, w.State().Generation, err)
		}
	}
}

func TestACrashLoopIsSaidWithTheEndOfTheLog(t *testing.T) {
	d := definition("-say", "error: unknown architecture", "-exit", "1")
	d.CrashLimit = CrashLimit{Exits: 2, Within: Duration(time.Hour)}
	w := runWorker(t, d, nil)
	if err := w.end(); err == nil {
		t.Fatal("it goes on")
	}
	s := w.State()
	if s.State != hives.WorkerFailed || s.Code != hives.CodeCrashLoop || s.Generation != 2 ||
		!strings.Contains(s.Error, "given up after 1 restarts in 1h0m0s\nerror: unknown architecture") {
		t.Fatalf("%+v", s)
	}
}

func TestALoadWithoutMemoryIsNotTriedAgainAndSaysTheNumbers(t *testing.T) {
	for _, said := range []string{
		"ggml_backend_cuda_buffer_type_alloc_buffer: allocating 24000.00 MiB on device 0: cudaMalloc failed: out of memory",
		"torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.",
		"ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization`",
		"llama_model_load: error loading model: unable to allocate CUDA0 buffer",
	} {
		d := definition("-say", said, "-exit", "1")
		d.Models[0].VRAMBytes = 24 << 30
		w := runWorker(t, d, func(w *Worker) {
			w.launch.Device = "gpu0"
			w.options.Free = func(context.Context) (int64, bool) { return 8 << 30, true }
			w.timing.memoryWait = time.Millisecond
		})
		if err := w.end(); err == nil {
			t.Fatal("it goes on")
		}
		s := w.State()
		if s.Code != hives.CodeOutOfMemory || s.Generation != 1 ||
			!strings.Contains(s.Error, "out of memory on gpu0 (it is taken to need 24.0 GiB; 8.0 GiB of gpu0 were free before it; it said: "+said+")") {
			t.Errorf("%s: %+v", said, s)
		}
	}
}

// What an earlier process of the worker said does not make this one's death one of memory, and
// a worker that was ready is started again whatever it died of.
func TestOnlyALoadFailsAtOnceForMemory(t *testing.T) {
	once := filepath.Join(t.TempDir(), "once")
	w := runWorker(t, definition("-say", "warning: failed to allocate pinned memory", "-fail-once", once), nil)
	if err := w.end(); err == nil || w.State().Code != hives.CodeOutOfMemory {
		t.Fatal(err)
	}
	w = runWorker(t, definition("-say", "warning: failed to allocate pinned memory"), nil)
	s := w.ready()
	_ = syscall.Kill(s.PID, syscall.SIGKILL)
	w.until("ready again", func(s Snapshot) bool { return s.State == hives.WorkerReady && s.Generation == 2 })

	d := definition("-say", "warning: failed to allocate pinned memory", "-loading-until", "/no/such/file")
	d.StartTimeout = 300 * time.Millisecond
	w = runWorker(t, d, func(w *Worker) { w.options.Restarts = -1 })
	if err := w.end(); err == nil || w.State().Code == hives.CodeOutOfMemory {
		t.Fatal("it was only slow", err, w.State())
	}

	l := startLog(t, 1<<20)
	say(t, l, "CUDA out of memory\n")
	l.note("starting again")
	say(t, l, "bad magic\n")
	if got := l.sinceStart(); len(got) != 1 || got[0] != "bad magic" {
		t.Fatal(got)
	}
}

func TestALoadingEnginesLastLineIsTold(t *testing.T) {
	gate := filepath.Join(t.TempDir(), "loaded")
	w := runWorker(t, definition("-say", "load_tensors: offloading 33 layers", "-loading-until", gate), nil)
	eventually(t, "the line told", func() bool { return w.State().Detail == "load_tensors: offloading 33 layers" })
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if s := w.ready(); s.Detail != "" {
		t.Fatalf("%+v", s)
	}
}

// slowDevice gives its memory back only after it was asked a number of times.
type slowDevice struct {
	before, after int64
	asks          int64
	asked         atomic.Int64
	stopped       func() bool
	early         atomic.Bool // the worker was called stopped before
}

func (d *slowDevice) free(context.Context) (int64, bool) {
	n := d.asked.Add(1)
	if d.stopped() {
		d.early.Store(true)
	}
	if n <= d.asks {
		return d.before, true
	}
	return d.after, true
}

func TestAWorkerIsStoppedOnlyWhenItsDeviceShowsTheMemory(t *testing.T) {
	for name, c := range map[string]struct {
		device string
		after  int64
		asks   int64 // wanted
	}{
		"three quarters":    {"gpu0", 10<<30 + 6<<30, 6},
		"never, so 5 s":     {"gpu0", 10<<30 + 6<<30 - 1, 0},
		"the system's own":  {"cpu", 99 << 30, 1},
		"nothing can tell":  {"gpu0", -1, 2},
		"it was free first": {"gpu0", 99 << 30, 6},
	} {
		t.Run(name, func(t *testing.T) {
			dev := &slowDevice{before: 10 << 30, after: c.after, asks: 5, stopped: func() bool { return false }}
			d := definition()
			d.Models[0].VRAMBytes = 8 << 30
			w := runWorker(t, d, func(w *Worker) {
				w.launch.Device, w.timing.memoryPoll, w.timing.memoryWait = c.device, time.Millisecond, 200*time.Millisecond
				dev.stopped = func() bool { return w.State().State == hives.WorkerStopped }
				w.options.Free = dev.free
				if c.after < 0 {
					w.options.Free = func(ctx context.Context) (int64, bool) { _, _ = dev.free(ctx); return 0, false }
				}
			})
			w.ready()
			if err := w.stop(); err != nil || dev.early.Load() {
				t.Fatalf("%v, or it was called stopped while its memory was not back", err)
			}
			if got := dev.asked.Load(); c.asks > 0 && got != c.asks || c.asks == 0 && got < 7 {
				t.Fatalf("the device was asked %d times", got)
			}
		})
	}
}

func TestBadPoliciesNameTheFieldAndTheFix(t *testing.T) {
	for in, want := range map[string]string{
		"stop_signal: SIGWINCH":                  `engines.x.stop_signal: "SIGWINCH": use one of SIGHUP, SIGINT`,
		"restart: sometimes":                     `engines.x.restart: "sometimes": use always, on-failure or never`,
		"crash_limit: {exits: 0}":                "engines.x.crash_limit: use 1 or more exits within a time",
		"crash_limit: {exit: 1}":                 `a crash limit has no key "exit"`,
		"crash_limit: {exits: many, within: 1m}": "many",
	} {
		if got, err := decode(fmt.Sprintf("engines: {x: {command: [a], models: [m], %s}}", in)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, %v", in, got, err)
		}
	}
	got, err := decode("engines: {x: {command: [a], models: [m], stop_signal: int, restart: on-failure, crash_limit: {exits: 3, within: 5m}}}")
	if err != nil || got[0].StopSignal != syscall.SIGINT || got[0].Restart != RestartOnFailure || got[0].CrashLimit != (CrashLimit{3, Duration(5 * time.Minute)}) || got[0].Models[0].Ref != "m" {
		t.Fatalf("%+v, %v", got, err)
	}
}
