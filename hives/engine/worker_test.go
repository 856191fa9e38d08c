package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"queen-rbee/hives"
)

// watchedWorker is a worker under test that remembers every state it published.
type watchedWorker struct {
	*Worker
	t      *testing.T
	cancel context.CancelFunc
	ended  chan error
	bell   chan struct{}

	mu   sync.Mutex
	seen []Snapshot
}

func runWorker(t *testing.T, d Definition, change func(*Worker)) *watchedWorker {
	t.Helper()
	ww := &watchedWorker{t: t, ended: make(chan error, 1), bell: make(chan struct{}, 1)}
	w, err := NewWorker(Launch{ID: "w1", Definition: d, Model: d.Models[0]}, Options{
		LogDir: t.TempDir(), Mark: t.TempDir(), HangTimeout: 10 * time.Second, Notify: ww.note})
	if err != nil {
		t.Fatal(err)
	}
	w.timing.firstProbe, w.timing.loadingProbe, w.timing.readyProbe = time.Millisecond, 10*time.Millisecond, 10*time.Millisecond
	w.timing.backoff = time.Millisecond
	if change != nil {
		change(w)
	}
	ww.Worker = w
	ctx, cancel := context.WithCancel(context.Background())
	ww.cancel = cancel
	go func() { ww.ended <- w.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if ww.ended != nil {
			<-ww.ended
		}
	})
	return ww
}

func (w *watchedWorker) note() {
	w.mu.Lock()
	w.seen = append(w.seen, w.State())
	w.mu.Unlock()
	select {
	case w.bell <- struct{}{}:
	default:
	}
}

// until waits for a published state that satisfies ok.
func (w *watchedWorker) until(what string, ok func(Snapshot) bool) Snapshot {
	w.t.Helper()
	timeout := time.After(20 * time.Second)
	for {
		if s := w.State(); ok(s) {
			return s
		}
		select {
		case <-w.bell:
		case <-timeout:
			w.t.Fatalf("never %s: %+v\nlog: %s", what, w.State(), lines(w.Tail()...))
		}
	}
}

func (w *watchedWorker) ready() Snapshot {
	w.t.Helper()
	return w.until("ready", func(s Snapshot) bool { return s.State == hives.WorkerReady })
}

func (w *watchedWorker) states() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []string
	for _, s := range w.seen {
		if len(out) == 0 || out[len(out)-1] != string(s.State) {
			out = append(out, string(s.State))
		}
	}
	return strings.Join(out, " ")
}

func (w *watchedWorker) end() error {
	w.t.Helper()
	select {
	case err := <-w.ended:
		w.ended = nil
		return err
	case <-time.After(30 * time.Second):
		w.t.Fatalf("Run does not end: %+v", w.State())
		return nil
	}
}

func (w *watchedWorker) stop() error {
	w.t.Helper()
	w.cancel()
	return w.end()
}

func dead(pid int) bool {
	st, err := readStat(pid)
	return err != nil || !st.alive()
}

func TestWorkerBecomesReadyAndStops(t *testing.T) {
	w := runWorker(t, definition("-slots", "2", "-key", "{{.Key}}", "-say", "hello"), nil)
	s := w.ready()
	if s.Generation != 1 || s.Port == 0 || s.PID == 0 || s.StartTicks == 0 || s.Progress != 1 || s.Slots != 2 || s.Context != 512 || s.Key == "" ||
		s.BaseURL != fmt.Sprintf("http://127.0.0.1:%d", s.Port) {
		t.Fatalf("%+v", s)
	}
	n, ctx := w.Generation()
	if n != 1 || ctx.Err() != nil {
		t.Fatalf("generation %d, %v", n, ctx.Err())
	}
	if !(Orphan{PID: s.PID, StartTicks: s.StartTicks, PGID: s.PID}).Alive() {
		t.Fatal("the process is not the one it says")
	}
	if err := w.stop(); err != nil {
		t.Fatal(err)
	}
	if got := w.states(); got != "loading ready stopped" {
		t.Fatal(got)
	}
	if !errors.Is(context.Cause(ctx), &hives.Error{Code: hives.CodeWorkerGone}) {
		t.Fatal(context.Cause(ctx))
	}
	if s := w.State(); s.PID != 0 || s.BaseURL != "" || s.Error != "" || !dead(w.seen[0].PID) {
		t.Fatalf("%+v", s)
	}
	file, err := os.ReadFile(filepath.Join(w.options.LogDir, "w1.log"))
	if err != nil || !strings.Contains(string(file), "hello\n") || !strings.Contains(lines(w.Tail()...), "hello") {
		t.Fatalf("%v: %q", err, file)
	}
}

func TestWorkerUsesItsOwnSlotsWhenTheEngineHasMore(t *testing.T) {
	w := runWorker(t, definition("-slots", "64"), nil)
	if s := w.ready(); s.Slots != 4 {
		t.Fatalf("%+v", s)
	}
}

func TestWorkerStaysLoadingUntilHealthy(t *testing.T) {
	gate := filepath.Join(t.TempDir(), "loaded")
	w := runWorker(t, definition("-loading-until", gate), nil)
	s := w.until("loading", func(s Snapshot) bool { return s.State == hives.WorkerLoading })
	if s.Slots != 0 || s.Progress != 0 {
		t.Fatalf("%+v", s)
	}
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	w.ready()
}

func TestWorkerIsStartedAgainUnderTheSameID(t *testing.T) {
	w := runWorker(t, definition(), nil)
	first := w.ready()
	_, gone := w.Generation()
	if err := syscall.Kill(first.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-gone.Done()
	if !errors.Is(context.Cause(gone), &hives.Error{Code: hives.CodeWorkerDied}) {
		t.Fatal(context.Cause(gone))
	}
	second := w.until("ready again", func(s Snapshot) bool { return s.State == hives.WorkerReady && s.Generation == 2 })
	if second.PID == first.PID || second.Key == first.Key || second.Error != "" {
		t.Fatalf("%+v after %+v", second, first)
	}
	if n, ctx := w.Generation(); n != 2 || ctx.Err() != nil {
		t.Fatal(n, ctx.Err())
	}
	if got := w.states(); got != "loading ready spawning loading ready" {
		t.Fatal(got)
	}
}

func TestWorkerSurvivesOneFailedStart(t *testing.T) {
	w := runWorker(t, definition("-fail-once", filepath.Join(t.TempDir(), "once")), nil)
	if s := w.ready(); s.Generation != 2 {
		t.Fatalf("%+v", s)
	}
}

func TestWorkerFailsWithTheLastLinesOfItsLog(t *testing.T) {
	w := runWorker(t, definition("-say", "error: model file is truncated", "-exit", "3"), nil)
	err := w.end()
	s := w.State()
	if s.State != hives.WorkerFailed || s.Generation != 4 || !errors.Is(err, &hives.Error{Code: hives.CodeWorkerGone}) {
		t.Fatalf("%+v, %v", s, err)
	}
	for _, want := range []string{"exit status 3", "3 restarts", "error: model file is truncated"} {
		if !strings.Contains(s.Error, want) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %q", s.Error, want)
		}
	}
	if _, ctx := w.Generation(); ctx.Err() == nil {
		t.Error("a failed worker has a living generation")
	}
}

func TestWorkerFailsWhenItsProgramIsMissing(t *testing.T) {
	d := definition()
	d.Command = []string{"/no/such/engine"}
	w := runWorker(t, d, func(w *Worker) { w.options.Restarts = -1 })
	if err := w.end(); err == nil || !strings.Contains(err.Error(), "/no/such/engine") {
		t.Fatal(err)
	}
	if got := w.states(); got != "spawning failed" {
		t.Fatal(got)
	}
}

func TestWorkerIsKilledWhenNotReadyInTime(t *testing.T) {
	d := definition("-loading-until", "/no/such/file", "-deaf")
	d.StartTimeout = 200 * time.Millisecond
	w := runWorker(t, d, func(w *Worker) { w.options.Restarts = -1 })
	err := w.end()
	if err == nil || !strings.Contains(err.Error(), "not ready within 200ms") {
		t.Fatal(err)
	}
	if !dead(w.seen[0].PID) {
		t.Fatal("the process lives")
	}
}

func TestWorkerThatHangsIsKilledAndStartedAgain(t *testing.T) {
	w := runWorker(t, definition(), func(w *Worker) { w.options.HangTimeout = 300 * time.Millisecond })
	first := w.ready()
	if err := syscall.Kill(first.PID, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	w.until("ready again", func(s Snapshot) bool { return s.State == hives.WorkerReady && s.Generation == 2 })
	if !dead(first.PID) {
		t.Fatal("the hung process lives")
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if !strings.Contains(fmt.Sprintf("%+v", w.seen), "hung: neither a probe nor a byte") {
		t.Fatalf("%+v", w.seen)
	}
}

func TestBytesOnAStreamOutrankALateProbe(t *testing.T) {
	w := runWorker(t, definition(), func(w *Worker) { w.options.HangTimeout = time.Second })
	first := w.ready()
	if err := syscall.Kill(first.PID, syscall.SIGSTOP); err != nil { // no probe is answered from here on
		t.Fatal(err)
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for range 300 { // three times the limit
		<-tick.C
		w.Alive(first.Generation)
	}
	if s := w.State(); s.State != hives.WorkerReady || s.Generation != 1 {
		t.Fatalf("%+v", s)
	}
	// Bytes of another generation prove nothing.
	eventually(t, "killed when the bytes end", func() bool { w.Alive(first.Generation + 7); return w.State().Generation == 2 })
}

func TestStopKillsWhatIgnoresSIGTERM(t *testing.T) {
	d := definition("-deaf", "-child", "group")
	d.StopGrace = 50 * time.Millisecond
	w := runWorker(t, d, nil)
	s := w.ready()
	child := childOf(t, w)
	if err := w.stop(); err != nil {
		t.Fatal(err)
	}
	if !dead(s.PID) || !dead(child) {
		t.Fatal("something of the group lives")
	}
}

func TestDeathOfTheLeaderTakesItsGroupAlong(t *testing.T) {
	w := runWorker(t, definition("-child", "group"), func(w *Worker) { w.options.Restarts = -1 })
	s := w.ready()
	child := childOf(t, w)
	_ = syscall.Kill(s.PID, syscall.SIGKILL)
	if err := w.end(); err == nil || !dead(child) {
		t.Fatal(err, "or the child lives")
	}
}

func TestAChildThatLeftTheGroupDoesNotBlock(t *testing.T) {
	w := runWorker(t, definition("-child", "session"), nil)
	w.ready()
	child := childOf(t, w)
	if err := w.stop(); err != nil {
		t.Fatal(err)
	}
	found, err := FindOrphans(w.options.Mark)
	if err != nil || len(found) != 1 || found[0].PID != child || found[0].WorkerID != "w1" {
		t.Fatalf("%+v, %v", found, err)
	}
	if err := found[0].End(context.Background(), 10*time.Millisecond); err != nil || !dead(child) {
		t.Fatal(err)
	}
}

func childOf(t *testing.T, w *watchedWorker) (pid int) {
	t.Helper()
	eventually(t, "a child", func() bool {
		for _, line := range w.Tail() {
			if n, ok := strings.CutPrefix(line, "child "); ok {
				pid, _ = strconv.Atoi(n)
			}
		}
		return pid > 0
	})
	return pid
}

func TestStopWhileWaitingOutABackoff(t *testing.T) {
	w := runWorker(t, definition("-exit", "1"), func(w *Worker) { w.timing.backoff = time.Hour })
	w.until("waiting", func(s Snapshot) bool { return s.State == hives.WorkerSpawning && s.Generation == 1 })
	if err := w.stop(); err != nil || w.State().State != hives.WorkerStopped {
		t.Fatal(err, w.State())
	}
}

func TestNewWorkerRefuses(t *testing.T) {
	d := definition()
	wants := definition("{{.Args.draft}}")
	for name, c := range map[string]struct {
		l    Launch
		o    Options
		want string
	}{
		"id":    {Launch{ID: "../x", Definition: d, Model: d.Models[0]}, Options{LogDir: "x"}, "worker id"},
		"log":   {Launch{ID: "w", Definition: d, Model: d.Models[0]}, Options{}, "log directory"},
		"slots": {Launch{ID: "w", Definition: d}, Options{LogDir: "x"}, "slots"},
		"args":  {Launch{ID: "w", Definition: wants, Model: d.Models[0]}, Options{LogDir: "x"}, "draft"},
	} {
		_, err := NewWorker(c.l, c.o)
		if !errors.Is(err, &hives.Error{Code: hives.CodeInvalid}) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTheKeysOfOtherEnginesAreNotTheEngines(t *testing.T) {
	t.Setenv("BOX7_KEY", "secret")
	t.Setenv("BOX8_KEY", "secret")
	d := definition()
	d.Env = map[string]string{"BOX8_KEY": "own"}
	w := &Worker{launch: Launch{ID: "w1", Definition: d}, options: Options{Secrets: []string{"BOX7_KEY", "BOX8_KEY"}, Environ: func() []string { return nil }}}
	env, err := w.environ(Vars{})
	if text := lines(env...); err != nil || strings.Contains(text, "BOX7_KEY") || !strings.Contains(text, "BOX8_KEY=own") || !strings.Contains(text, "PATH=") {
		t.Fatal(err, text)
	}
}

func TestTheAgentsSecretsAreNotTheEngines(t *testing.T) {
	t.Setenv("RBEE_TOKEN", "secret")
	env, err := definition().environ(Vars{}, nil, "mark", "w1")
	text := lines(env...)
	if err != nil || strings.Contains(text, "secret") || !strings.Contains(text, "RBEE_ENGINE_MARK=mark") || !strings.Contains(text, "PATH=") {
		t.Fatal(err, text)
	}
}
