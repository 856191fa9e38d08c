package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"go.uber.org/goleak"

	"queen-rbee/hives"
	"queen-rbee/hives/agent/agenttest"
	"queen-rbee/hives/engine"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeEngine answers chat completions with the words of the prompt, one chunk each; a word
// "hold" waits for the test.
type fakeEngine struct {
	server *httptest.Server

	mu      sync.Mutex
	now     int
	most    int
	order   []string // prompts in the order in which they came
	release chan struct{}
	holding int
}

func newFakeEngine(t *testing.T) *fakeEngine {
	e := &fakeEngine{release: make(chan struct{})}
	e.server = httptest.NewServer(http.HandlerFunc(e.serve))
	t.Cleanup(func() {
		e.server.CloseClientConnections()
		e.server.Close()
	})
	return e
}

func (e *fakeEngine) serve(w http.ResponseWriter, r *http.Request) {
	var req struct{ Prompt string }
	if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	e.mu.Lock()
	e.now++
	e.most = max(e.most, e.now)
	e.order = append(e.order, req.Prompt)
	e.mu.Unlock()
	defer func() { e.mu.Lock(); e.now--; e.mu.Unlock() }()
	w.Header().Set("Content-Type", "text/event-stream")
	words := strings.Fields(req.Prompt)
	for _, word := range words {
		switch {
		case word == "hold" && !e.hold(r.Context()):
			return
		case word == "break":
			panic(http.ErrAbortHandler)
		}
		_, _ = fmt.Fprintf(w, "data: {\"object\":\"text_completion\",\"choices\":[{\"index\":0,\"text\":\"%s \"}]}\n\n", word)
		_ = http.NewResponseController(w).Flush()
	}
	_, _ = fmt.Fprintf(w, "data: {\"choices\":[{\"index\":0,\"text\":\"\",\"finish_reason\":\"stop\"}]}\n\n")
	_, _ = fmt.Fprintf(w, "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":%d,\"total_tokens\":%d}}\n\ndata: [DONE]\n\n", len(words), len(words)+1)
}

func (e *fakeEngine) hold(ctx context.Context) bool {
	e.mu.Lock()
	e.holding++
	release := e.release
	e.mu.Unlock()
	defer func() { e.mu.Lock(); e.holding--; e.mu.Unlock() }()
	select {
	case <-release:
		return true
	case <-ctx.Done():
		return false
	}
}

// letGo lets all who hold go on.
func (e *fakeEngine) letGo() {
	e.mu.Lock()
	defer e.mu.Unlock()
	close(e.release)
	e.release = make(chan struct{})
}

func (e *fakeEngine) held() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.holding
}

// fakeWorker supervises nothing: its process is the test's fakeEngine.
type fakeWorker struct {
	launch  engine.Launch
	options engine.Options
	url     string
	doubts  atomic.Int64

	mu   sync.Mutex
	snap engine.Snapshot
	gen  context.Context
	end  context.CancelCauseFunc
	fail chan error
}

func (w *fakeWorker) Run(ctx context.Context) error {
	w.revive()
	var err error
	select {
	case <-ctx.Done():
		w.end(hives.Errorf(hives.CodeWorkerGone, "stopped"))
		w.set(engine.Snapshot{State: hives.WorkerStopped})
	case err = <-w.fail:
		w.end(hives.Errorf(hives.CodeWorkerDied, "failed"))
		w.set(engine.Snapshot{State: hives.WorkerFailed, Error: err.Error()})
	}
	return err
}

func (w *fakeWorker) revive() {
	w.mu.Lock()
	w.gen, w.end = context.WithCancelCause(context.Background())
	n := w.snap.Generation + 1
	w.mu.Unlock()
	w.set(engine.Snapshot{State: hives.WorkerLoading, Generation: n})
	w.set(engine.Snapshot{State: hives.WorkerReady, Generation: n, BaseURL: w.url, Slots: w.launch.Slots, Port: 1})
}

// die is the end of the process; it is not started again.
func (w *fakeWorker) die() {
	w.mu.Lock()
	n, end := w.snap.Generation, w.end
	w.mu.Unlock()
	end(hives.Errorf(hives.CodeWorkerDied, "killed by the test"))
	w.set(engine.Snapshot{State: hives.WorkerSpawning, Generation: n, Error: "killed by the test"})
}

func (w *fakeWorker) set(s engine.Snapshot) {
	w.mu.Lock()
	w.snap = s
	w.mu.Unlock()
	w.options.Notify()
}

func (w *fakeWorker) State() engine.Snapshot {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.snap
}

func (w *fakeWorker) Generation() (uint64, context.Context) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.snap.Generation, w.gen
}

func (w *fakeWorker) Alive(uint64) {}

func (w *fakeWorker) Doubt() { w.doubts.Add(1) }

// rig is an agent with a queen and an engine of the test's.
type rig struct {
	t      *testing.T
	queen  *agenttest.Queen
	engine *fakeEngine
	agent  *Agent
	config Config
	cancel context.CancelFunc
	done   chan error

	mu      sync.Mutex
	workers map[string]*fakeWorker
	spawns  int
}

func testConfig(t *testing.T, queens ...string) Config {
	c := Config{
		ID: "h1", Addr: "127.0.0.1:0", Queens: queens, Token: agenttest.Token, DataDir: t.TempDir(), Version: "test",
		Engines: []engine.Definition{{Name: "fake", Command: []string{"fake"}, Models: []engine.Model{{Ref: "m", Slots: 2}}}},
	}
	if testing.Verbose() && os.Getenv("RBEE_TEST_LOG") != "" {
		c.Logger = hclog.New(&hclog.LoggerOptions{Level: hclog.Debug})
	}
	return c
}

// newRig starts an agent that has registered.
func newRig(t *testing.T, change ...func(*Config)) *rig {
	q := agenttest.New(t)
	r := &rig{t: t, queen: q, engine: newFakeEngine(t), config: testConfig(t, q.URL), workers: map[string]*fakeWorker{}}
	for _, f := range change {
		f(&r.config)
	}
	r.start()
	return r
}

func (r *rig) start() {
	r.t.Helper()
	r.launch()
	r.queen.Await(r.t, "a heartbeat after the first desired answer", func(hb *hives.Heartbeat) bool { return hb.Index > 0 })
}

func (r *rig) launch() {
	r.t.Helper()
	a, err := New(r.config)
	if err != nil {
		r.t.Fatal(err)
	}
	a.seams.supervise = func(l engine.Launch, o engine.Options) (supervisor, error) {
		w := &fakeWorker{launch: l, options: o, url: r.engine.server.URL, fail: make(chan error, 1),
			snap: engine.Snapshot{State: hives.WorkerSpawning}}
		w.gen, w.end = context.WithCancelCause(context.Background())
		r.mu.Lock()
		defer r.mu.Unlock()
		r.workers[l.ID] = w
		r.spawns++
		return w, nil
	}
	a.seams.devices = oneCPU{}
	var ctx context.Context
	ctx, r.cancel = context.WithCancel(context.Background())
	r.agent, r.done = a, make(chan error, 1)
	done := r.done
	go func() { done <- a.Run(ctx); close(done) }()
	r.t.Cleanup(func() { r.cancelAndWait() })
	select {
	case <-a.Ready():
	case err := <-done:
		r.t.Fatalf("agent did not start: %v", err)
	}
}

func (r *rig) cancelAndWait() {
	r.cancel()
	<-r.done // a value, or closed
	http.DefaultClient.CloseIdleConnections()
}

// wait waits until the agent has ended by itself.
func (r *rig) wait() error {
	r.t.Helper()
	return <-r.done
}

// spawned is how many workers were started.
func (r *rig) spawned() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.spawns
}

func (r *rig) worker(id string) *fakeWorker {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.workers[id]
}

// spawn wants a worker and waits until it is ready.
func (r *rig) spawn(id string, slots int) {
	r.t.Helper()
	r.queen.Want(func(index uint64, d *hives.Desired) {
		d.Workers = append(d.Workers, hives.DesiredWorker{ID: id, Index: index, Model: "m", Engine: "fake", Device: "cpu", Slots: slots})
	})
	r.queen.Await(r.t, "worker ready", func(hb *hives.Heartbeat) bool { return agenttest.State(hb, id) == hives.WorkerReady })
}

// list wants a run; change may be nil.
func (r *rig) list(job, worker, prompt string, change func(*hives.DesiredRun)) uint64 {
	if prompt != "" {
		r.queen.Body(job, body(prompt))
	}
	_, inc := r.queen.Registered()
	return r.queen.Want(func(index uint64, d *hives.Desired) {
		run := hives.DesiredRun{JobID: job, Attempt: 1, Incarnation: inc, WorkerID: worker, AssignedIndex: index,
			API: hives.APITask, Path: "/v1/completions", Mode: hives.Detached}
		if change != nil {
			change(&run)
		}
		d.Runs = append(d.Runs, run)
	})
}

// unlist wants a run no more.
func (r *rig) unlist(job string) uint64 {
	return r.queen.Want(func(_ uint64, d *hives.Desired) {
		var left []hives.DesiredRun
		for _, one := range d.Runs {
			if one.JobID != job {
				left = append(left, one)
			}
		}
		d.Runs = left
	})
}

func body(prompt string) string { return fmt.Sprintf(`{"model":"m","prompt":%q}`, prompt) }

// bell is a doorbell as a queen with the newest state makes it; without a prompt it brings no body.
func (r *rig) bell(job, prompt string) hives.Execute {
	epoch, inc := r.queen.Registered()
	e := hives.Execute{Epoch: epoch, Incarnation: inc, JobID: job, Attempt: 1, AssignedIndex: r.queen.Pass(1),
		API: hives.APITask, Path: "/v1/completions", Follow: true, Mode: hives.Detached}
	if prompt != "" {
		e.Body = json.RawMessage(body(prompt))
	}
	return e
}

// post sends anything to the agent; the caller closes the body.
func (r *rig) do(method, path string, in any) *http.Response {
	r.t.Helper()
	var data []byte
	switch v := in.(type) {
	case nil:
	case string:
		data = []byte(v)
	default:
		var err error
		if data, err = json.Marshal(in); err != nil {
			r.t.Fatal(err)
		}
	}
	req, err := http.NewRequest(method, r.agent.URL()+path, bytes.NewReader(data))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+agenttest.Token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	return resp
}

// ask sends something and gives status and answer.
func (r *rig) ask(method, path string, in any) (int, string) {
	r.t.Helper()
	resp := r.do(method, path, in)
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// execute reads a run to its end, as a queen does.
func (r *rig) execute(worker string, e hives.Execute) (frames string, end *hives.Terminal, rest string, err error) {
	c := hives.NewClient(func() string { return agenttest.Token }, nil)
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	s, err := c.Execute(ctx, hives.WorkerURL(r.agent.URL(), worker), e)
	if err != nil {
		return "", nil, "", err
	}
	defer func() { _ = s.Close() }()
	for {
		p, err := s.Next()
		if err != nil {
			return frames, nil, "", err
		}
		frames += strings.ReplaceAll(string(p.Bytes), string(comment), "")
		if p.End != nil {
			more, err := s.Rest()
			return frames, p.End, string(more), err
		}
	}
}

func (r *rig) table() *table { return r.agent.hive.table }

func (r *rig) tableWorker(id string) *worker {
	t := r.table()
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.workers[id]
}
