package e2e

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"queen-rbee/cmd/internal/e2e/rig"
)

// clientsTime bounds one suite, and the installation of what they need.
const clientsTime = 2 * time.Minute

// The SDKs of others work unchanged: each suite of testdata/clients does with a cluster what its
// package promises its users, and goes on when the queen it talks to is killed.
func TestClients(t *testing.T) {
	node, npm := rig.Tool(t, "node", "node"), rig.Tool(t, "node", "npm")
	if out, err := exec.Command(node, "-p", "ReadableStream.from && 20").CombinedOutput(); err != nil || strings.TrimSpace(string(out)) != "20" {
		rig.Lacks(t, "node", fmt.Sprintf("this Node.js is too old, 20.6 is needed: %s", out))
	}
	scripts := t.TempDir()
	if err := os.CopyFS(scripts, os.DirFS(clients(t, "node"))); err != nil {
		t.Fatal(err)
	}
	_ = os.RemoveAll(filepath.Join(scripts, "node_modules")) // of somebody who tried a suite by hand
	inGo := filepath.Join(scripts, "openai-go.test")
	rig.Each(t, 2, 2, func(i int) error {
		if i == 0 {
			return prepare(t.Context(), scripts, npm, "ci", "--ignore-scripts", "--prefer-offline", "--no-audit", "--no-fund")
		}
		return prepare(t.Context(), clients(t, "openai-go"), "go", "test", "-c", "-p", "1", "-o", inGo, ".")
	})
	if t.Failed() {
		return
	}

	// Whoever leaves /v1 waits half a second, not the cluster's grace.
	c := rig.Start(t, rig.Options{Slots: 2, TokenRate: 50, Grace: time.Minute})
	for i, suite := range [][]string{
		{node, filepath.Join(scripts, "openai.mjs")},
		{node, filepath.Join(scripts, "responses.mjs")},
		{node, filepath.Join(scripts, "anthropic.mjs")},
		{node, filepath.Join(scripts, "ai.mjs")},
		{node, filepath.Join(scripts, "langchain.mjs")},
		{inGo, "-test.v"},
	} {
		name := filepath.Base(suite[len(suite)-1])
		if suite[0] == inGo {
			name = "openai-go"
		}
		t.Run(name, func(t *testing.T) {
			runSuite(t, c, i, name, suite)
		})
	}
	t.Run("keep_alive", func(t *testing.T) { stopsBehind(t, c) })
}

// stopsBehind asks for a worker that stops when its last run has ended, whatever any SDK's user wanted.
func stopsBehind(t *testing.T, c *rig.Cluster) {
	const body = `{"model":"builtin/markov","keep_alive":0,"max_tokens":3,"messages":[{"role":"user","content":"Tell me of the bees"}]}`
	r, err := c.Call(t.Context(), http.MethodPost, c.Queens[0].URL+"/v1/chat/completions", []byte(body))
	if err != nil || r.Status != http.StatusOK {
		t.Fatalf("%+v, %v", r, err)
	}
	worker := ""
	if j, err := c.JobNow(t.Context(), r.Header.Get("X-Rbee-Job-Id")); err != nil {
		t.Fatal(err)
	} else {
		worker = j.Worker
	}
	rig.Await(t, streamTime, "the worker being stopped", func(ctx context.Context) error {
		var list struct {
			Items []struct{ ID, State string }
		}
		if _, err := c.GetAny(ctx, "/v2/workers?limit=1000&consistency=strong", &list); err != nil {
			return err
		}
		for _, w := range list.Items {
			if w.ID == worker && w.State != "stopped" {
				return fmt.Errorf("worker %s is %s", w.ID, w.State)
			}
		}
		return nil
	})
}

// clients is a directory of testdata/clients.
func clients(t *testing.T, name string) string {
	dir, err := filepath.Abs(filepath.Join("..", "..", "..", "testdata", "clients", name))
	if err != nil {
		t.Error(err)
	}
	return dir
}

func prepare(ctx context.Context, dir, name string, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, clientsTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out)
	}
	return nil
}

// runSuite runs one; the first of the queens it is told of is the one it kills.
func runSuite(t *testing.T, c *rig.Cluster, i int, name string, suite []string) {
	queens := append(append([]*rig.Process{}, c.Queens[i%3:]...), c.Queens[:i%3]...)
	var pids []string
	for _, q := range queens {
		pids = append(pids, fmt.Sprint(q.Pid()))
	}
	p := c.Process(name, "", suite[1:]...)
	p.Bin, p.Env = suite[0], []string{
		"RBEE_QUEENS=" + strings.Join(rig.URLs(queens), ","), "RBEE_PIDS=" + strings.Join(pids, ","), "RBEE_API_KEY=" + c.Key, "RBEE_MODEL=" + rig.Model,
	}
	if err := p.Launch(); err != nil {
		t.Fatal(err)
	}
	if code := p.AwaitExit(t, clientsTime); code != 0 {
		t.Errorf("exit code %d:\n%s", code, p.Log())
	} else {
		t.Log(p.Log())
	}
	if queens[0].Alive() {
		t.Fatal("the queen in use was not killed")
	}
	queens[0].Restart(t)
	c.AwaitMembers(t, c.Queens...)
}
