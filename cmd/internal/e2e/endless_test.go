package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"queen-rbee/cmd/internal/e2e/rig"
)

// endless is an engine that never ends a stream by itself, as a llama-server with a large context
// hardly does: this test binary, started by a hive with a port and a journal. Each request's
// socket leaves two lines there: `begin USER` when the request has come, `gone USER` when its
// other side has closed it.
const (
	endless      = "endless"
	endlessModel = "endless/model"
)

// beEndless serves until it is killed, with what a hive gave it: its port and the journal.
func beEndless(port, journal string) error {
	out, err := os.OpenFile(journal, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	http.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, `{"status":"ok"}`) })
	http.HandleFunc("POST /v1/chat/completions", func(w http.ResponseWriter, r *http.Request) {
		var body struct {
			User   string `json:"user"`
			Stream bool   `json:"stream"`
		}
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil || !body.Stream {
			http.Error(w, "no stream is asked for", http.StatusBadRequest) // it would not notice the end of one that is none
			return
		}
		fmt.Fprintln(out, "begin", body.User)
		w.Header().Set("Content-Type", "text/event-stream")
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for r.Context().Err() == nil {
			fmt.Fprint(w, `data: {"choices":[{"index":0,"delta":{"content":"on "}}]}`+"\n\n")
			_ = http.NewResponseController(w).Flush() // its error is the end of the context
			select {
			case <-tick.C:
			case <-r.Context().Done():
			}
		}
		fmt.Fprintln(out, "gone", body.User)
	})
	return http.ListenAndServe("127.0.0.1:"+port, nil)
}

// TestDisconnectReachesTheEngine: whoever closes a connection to /v1 closes the engine's socket,
// streamed or not, and one that waits for a slot never gets there. No other time ends such a
// run: the engine's is endless, and the cluster's grace a minute.
func TestDisconnectReachesTheEngine(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	journal := filepath.Join(t.TempDir(), "journal")
	c := rig.Start(t, rig.Options{Queens: 1, Hives: 1, Cold: true, Grace: time.Minute, Made: func(p *rig.Process) {
		if p.Name != "hive-1" {
			return
		}
		config := fmt.Sprintf("engines:\n  endless:\n    command: [%q, %s, \"{{.Port}}\", %q]\n    models: [{ref: %s, slots: 2}]\n", self, endless, journal, endlessModel)
		if err := os.WriteFile(filepath.Join(p.Dir, "hive.yaml"), []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
	}})
	said := func() string {
		data, err := os.ReadFile(journal)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		return string(data)
	}
	await := func(line string) {
		t.Helper()
		rig.Await(t, streamTime, line, func(context.Context) error {
			if !strings.Contains(said(), line+"\n") {
				return fmt.Errorf("the engine says %q", said())
			}
			return nil
		})
	}
	stream, whole := ask(t, c, "stream"), ask(t, c, "whole")
	await("begin stream")
	await("begin whole")
	queued := ask(t, c, "queued")
	var waiting struct{ Items []rig.Job }
	rig.Await(t, streamTime, "a queued job", func(ctx context.Context) error {
		_, err := c.GetAny(ctx, "/v2/jobs?state=queued", &waiting)
		if err == nil && len(waiting.Items) != 1 {
			err = fmt.Errorf("%d are", len(waiting.Items))
		}
		return err
	})
	queued.leave()
	if _, err := c.AwaitJob(t.Context(), waiting.Items[0].ID, streamTime, "cancelled", func(j rig.Job) bool { return j.State == "cancelled" }); err != nil {
		t.Error(err)
	}
	for _, call := range []*asking{stream, whole} {
		began := time.Now()
		call.leave()
		await("gone " + call.user)
		t.Logf("%s: the engine's socket was closed after %s", call.user, time.Since(began).Round(time.Millisecond))
	}
	again := ask(t, c, "again") // there is a slot
	await("begin again")
	again.leave()
	await("gone again")
	if strings.Contains(said(), "queued") {
		t.Errorf("the request that waited has come to the engine: %q", said())
	}
}

// asking is a request to /v1 by a client that may leave.
type asking struct {
	user string
	gone context.CancelFunc
	over chan struct{}
}

// ask asks for a chat without end; all but the whole are streamed.
func ask(t *testing.T, c *rig.Cluster, user string) *asking {
	t.Helper()
	body := fmt.Sprintf(`{"model":%q,"user":%q,"stream":%t,"messages":[{"role":"user","content":"go on"}]}`, endlessModel, user, user != "whole")
	ctx, cancel := context.WithCancel(t.Context())
	a := &asking{user: user, gone: cancel, over: make(chan struct{})}
	go func() {
		defer close(a.over)
		resp, err := c.Open(ctx, http.MethodPost, c.Queens[0].URL+"/v1/chat/completions", []byte(body))
		if err == nil {
			_, err = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
		}
		if ctx.Err() == nil {
			t.Errorf("%s ended by itself: %v", user, err)
		}
	}()
	t.Cleanup(a.leave)
	return a
}

// leave closes the connection.
func (a *asking) leave() {
	a.gone()
	<-a.over
}
