package relay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"queen-rbee/cmd/internal/bench/relay/order"
	"queen-rbee/cmd/rbee-keeper/client"
	"queen-rbee/cmd/rbee-keeper/local"
	"queen-rbee/hives"
)

// What jobs ask for: a text that is longer than any measurement.
const (
	model   = "builtin/markov"
	prompt  = "Tell me of bees."
	longest = 1 << 19
)

// files is how many files and sockets a queen with 10,000 streams needs, and some.
const files = 50_000

// rig is a cluster and what is put around it.
type rig struct {
	dir, bins string
	cluster   *local.Cluster
	api       *client.Client
	loads     int // numbers what is started
}

// options of a cluster.
type options struct {
	queens int
	slots  int
	rate   float64  // tokens per second of each run; 0: as fast as it goes
	worker []string // more arguments of the engine
}

// start builds the programs and brings a cluster up with one hive and a warm worker.
func start(ctx context.Context, dir string, o options) (_ *rig, err error) {
	if err := raiseFiles(); err != nil {
		return nil, err
	}
	b := &rig{dir: dir, bins: filepath.Join(dir, "bin")}
	if err := build(ctx, b.bins); err != nil {
		return nil, err
	}
	config := filepath.Join(dir, "hive.yaml")
	// What hangs on purpose must be let.
	text := fmt.Sprintf("engine-inter-token-timeout: 0s\nengines:\n  builtin: {binary: %q, slots: %d, args: [%s]}\n",
		b.bin("rbee-worker"), o.slots, quoted(workerArgs(o)))
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return nil, err
	}
	find := func(name string) (string, error) { return b.bin(name), nil }
	b.cluster, err = local.New(local.Config{
		Dir: filepath.Join(dir, fmt.Sprintf("cluster-%d", time.Now().UnixNano())), Queens: o.queens, Hives: 1, Slots: 1, TokenRate: 1, HiveConfig: config, Find: find,
	})
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			b.close()
		}
	}()
	if err := b.cluster.Start(ctx); err != nil {
		return nil, err
	}
	if b.api, err = client.New(client.Config{Queens: b.cluster.QueenURLs(), APIKey: b.cluster.Key()}); err != nil {
		return nil, err
	}
	_, err = b.api.SpawnWorker(ctx, client.Spawn{Model: model}, 30*time.Second)
	return b, err
}

func (b *rig) bin(name string) string { return filepath.Join(b.bins, name) }

// close ends everything of the cluster at once.
func (b *rig) close() {
	if b.api != nil {
		b.api.Close()
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for _, n := range b.names() {
		if pid := b.pid(n); pid > 0 {
			if pids, err := family(pid); err == nil {
				for _, one := range pids {
					_ = syscall.Kill(one, syscall.SIGKILL)
				}
			}
			_ = b.cluster.Kill(ctx, n)
		}
	}
	_ = b.cluster.Stop()
}

func (b *rig) names() []string {
	var names []string
	for i := range b.cluster.QueenURLs() {
		names = append(names, fmt.Sprintf("queen-%d", i+1))
	}
	return append(names, "hive-1")
}

// pid of one process of the cluster, 0 if it has none.
func (b *rig) pid(name string) int {
	data, err := os.ReadFile(filepath.Join(b.cluster.Dir(), name, "pid"))
	if err != nil {
		return 0
	}
	n, _ := strconv.Atoi(strings.TrimSpace(string(data)))
	return n
}

// addr is host:port of a process's URL.
func addrOf(url string) string { return strings.TrimPrefix(url, "http://") }

// leader is the name of the queen that leads.
func (b *rig) leader(ctx context.Context) (string, error) {
	cl, err := b.api.Cluster(ctx)
	if err != nil {
		return "", err
	}
	if cl.Leader == "" {
		return "", errors.New("the cluster has no leader")
	}
	return cl.Leader, nil
}

// request is one as it goes over the wire.
func (b *rig) request(addr, method, path, key string, body any, headers ...string) order.Request {
	var text strings.Builder
	var data []byte
	if body != nil {
		data, _ = json.Marshal(body) // maps and hives.Execute always marshal
	}
	fmt.Fprintf(&text, "%s %s HTTP/1.1\r\nHost: %s\r\n", method, path, addr)
	if key != "" {
		fmt.Fprintf(&text, "Authorization: Bearer %s\r\n", key)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		fmt.Fprintf(&text, "%s: %s\r\n", headers[i], headers[i+1])
	}
	if body != nil {
		fmt.Fprintf(&text, "Content-Type: application/json\r\nContent-Length: %d\r\n", len(data))
	}
	return order.Request{Addr: addr, Text: text.String() + "\r\n" + string(data)}
}

// chat is the body of an OpenAI stream.
func chat() map[string]any {
	return map[string]any{"model": model, "stream": true, "max_tokens": longest,
		"messages": []map[string]string{{"role": "user", "content": prompt}}}
}

// job is one that runs without a client.
type job struct{ id, worker string }

// run starts a job that needs no client, and waits until its hive has it.
func (b *rig) run(ctx context.Context, hiveToken string) (job, error) {
	most := longest
	made, err := b.api.Submit(ctx, client.Task{Model: model, Prompt: prompt, MaxTokens: &most}, "")
	if err != nil {
		return job{}, err
	}
	j := job{id: made.JobID}
	for {
		if j.worker == "" {
			got, err := b.api.Job(ctx, j.id)
			if err != nil {
				return j, err
			}
			j.worker = got.Worker
		}
		if j.worker != "" {
			if there, err := b.onHive(ctx, hiveToken, j); there || err != nil {
				return j, err
			}
		}
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return j, err
		}
	}
}

// onHive tells whether the hive has begun a job, so that it can be read there.
func (b *rig) onHive(ctx context.Context, hiveToken string, j job) (bool, error) {
	url := b.cluster.HiveURLs()[0] + "/w/" + j.worker + "/v1/execute/" + j.id + "?attempt=1"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false, err
	}
	req.Header.Set("Authorization", "Bearer "+hiveToken)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false, err
	}
	return resp.StatusCode == http.StatusOK, resp.Body.Close()
}

// read is how a queen's client reads a job as an OpenAI stream.
func (b *rig) read(queen string, j job) order.Request {
	return b.request(queen, "GET", "/v2/jobs/"+j.id+"/events?format=openai", b.cluster.Key(), nil)
}

// hiveRead is how a queen reads the job of its hive, through a proxy or not.
func (b *rig) hiveRead(addr, hiveToken string, j job) order.Request {
	return b.request(addr, "POST", "/w/"+j.worker+"/v1/execute", hiveToken, hives.Execute{
		JobID: j.id, Attempt: 1, API: hives.APIOpenAI, Path: "/v1/chat/completions", Follow: true, Mode: hives.Detached,
	})
}

// engine starts one more worker of the built-in engine, beside the cluster.
func (b *rig) engine(ctx context.Context, o options) (*proxy, error) {
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	b.loads++
	args := append([]string{"--addr", addr, "--model", model, "--slots", strconv.Itoa(o.slots)}, workerArgs(o)...)
	p, err := launch(b.dir, fmt.Sprintf("engine-%d", b.loads), exec.Command(b.bin("rbee-worker"), args...))
	if err != nil {
		return nil, err
	}
	if err := p.watch().listening(ctx, addr); err != nil {
		p.stop()
		return nil, err
	}
	return &proxy{program: p, addr: addr}, nil
}

func workerArgs(o options) []string {
	args := []string{"--tokens-per-second", fmt.Sprintf("%g", o.rate), "--context", strconv.Itoa(1 << 20)}
	return append(args, o.worker...)
}

func quoted(args []string) string {
	var q []string
	for _, a := range args {
		q = append(q, strconv.Quote(a))
	}
	return strings.Join(q, ", ")
}

// raiseFiles raises the limit of open files for this process and those it starts, as far as it may.
func raiseFiles() error {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return err
	}
	if l.Cur >= files && l.Max >= files {
		return nil
	}
	want := syscall.Rlimit{Cur: max(l.Cur, files), Max: max(l.Max, files)}
	if syscall.Setrlimit(syscall.RLIMIT_NOFILE, &want) == nil {
		return nil
	}
	want = syscall.Rlimit{Cur: l.Max, Max: l.Max} // only root gets more than that
	return syscall.Setrlimit(syscall.RLIMIT_NOFILE, &want)
}
