package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"queen-rbee/cmd/rbee-keeper/client/clienttest"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"rbee-keeper": func() { os.Exit(Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) },
	})
}

type fakeKey struct{}

// deferrer lets the fake cluster end with its script.
type deferrer struct{ *testscript.Env }

func (d deferrer) Cleanup(f func()) { d.Defer(f) }

// TestScripts runs the commands against three fake queens: see testdata/script.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			f := clienttest.New(deferrer{env}, 3)
			f.Answers(answers)
			env.Values[fakeKey{}] = f
			env.Setenv("RBEE_QUEENS", strings.Join(f.URLs(), ","))
			env.Setenv("RBEE_API_KEY", "key")
			env.Setenv("RBEE_PATIENCE", "200ms")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			// fault QUEEN MATCH STATUS CODE: the next request that matches is refused.
			"fault": func(ts *testscript.TestScript, _ bool, args []string) {
				status, err := strconv.Atoi(args[2])
				ts.Check(err)
				fake(ts).Queens[number(ts, args[0])].Fail(clienttest.Fault{Match: args[1], Status: status, Code: args[3]})
			},
			// cut QUEEN MATCH FRAMES: the next stream that matches breaks after so many frames.
			"cut": func(ts *testscript.TestScript, _ bool, args []string) {
				frames, err := strconv.Atoi(args[2])
				ts.Check(err)
				fake(ts).Queens[number(ts, args[0])].Fail(clienttest.Fault{Match: args[1], Frames: frames, MidFrame: true})
			},
			// frames QUEEN FILE: the next stream has the frames of the file.
			"frames": func(ts *testscript.TestScript, _ bool, args []string) {
				frames := strings.Split(strings.TrimSpace(ts.ReadFile(args[1])), "\n\n")
				fake(ts).Queens[number(ts, args[0])].Fail(clienttest.Fault{EditFrames: func([]string) []string { return frames }})
			},
			// die QUEEN...: they are gone.
			"die": func(ts *testscript.TestScript, _ bool, args []string) {
				for _, a := range args {
					q := fake(ts).Queens[number(ts, a)]
					q.CloseClientConnections()
					q.Close()
				}
			},
			// seen: stdout for the next check is what the queens were asked.
			"seen": func(ts *testscript.TestScript, neg bool, args []string) {
				all := strings.Join(fake(ts).Seen(), "\n")
				if strings.Contains(all, args[0]) == neg {
					ts.Fatalf("the queens saw:\n%s", all)
				}
			},
			// jobs N: so many jobs were made.
			"jobs": func(ts *testscript.TestScript, _ bool, args []string) {
				if n := len(fake(ts).Jobs()); strconv.Itoa(n) != args[0] {
					ts.Fatalf("%d jobs were made", n)
				}
			},
		},
	})
}

func fake(ts *testscript.TestScript) *clienttest.Fake { return ts.Value(fakeKey{}).(*clienttest.Fake) }

func number(ts *testscript.TestScript, s string) int {
	n, err := strconv.Atoi(s)
	ts.Check(err)
	return n - 1
}

func answers(of map[string]any) {
	list := func(items ...any) map[string]any { return map[string]any{"items": items} }
	of["GET /v2/cluster"] = map[string]any{
		"cluster_id": "01C", "leader": "queen-2", "term": 3, "commit_index": 17, "future": "field",
		"queens": []any{
			map[string]any{"id": "queen-1", "http_url": "http://a:7833", "role": "voter", "votes": true, "status": "alive", "applied_index": 17, "version": "v1"},
			map[string]any{"id": "queen-2", "http_url": "http://b:7833", "role": "voter", "votes": true, "status": "dead", "leader": true, "applied_index": 16},
		},
	}
	of["GET /v2/cluster/token"] = map[string]any{
		"cluster_token": "CT", "hive_token": "HT", "join_command": "queen-rbee serve --token CT", "hive_command": "rbee-hive serve --token HT",
	}
	of["POST /v2/cluster/transfer"] = map[string]any{"leader": "queen-1"}
	of["DELETE /v2/cluster/queens/queen-2"] = map[string]any{}
	of["GET /v2/hives"] = list(map[string]any{
		"id": "hive-1", "url": "http://h:7835", "status": "online", "desired": "running", "labels": map[string]string{"b": "2", "a": "1"},
		"devices": []any{map[string]any{"id": "gpu0", "kind": "cuda", "total_bytes": 24 << 30, "free_bytes": 1 << 30, "utilisation": 0.83, "temperature_c": 61}, map[string]any{"id": "cpu", "total_bytes": 512, "free_bytes": nil}},
	})
	of["GET /v2/workers"] = list(map[string]any{"id": "w1", "hive": "hive-1", "device": "cpu", "model": "m\x1b[2J", "engine": "builtin", "desired": "running", "state": "idle", "slots": 8, "busy": 3, "vram_bytes": 1536},
		map[string]any{"id": "w2", "hive": "hive-2", "device": "gpu0", "model": "qwen", "engine": "llama.cpp", "desired": "running", "state": "idle", "slots": 4, "vram_bytes": 3 << 30, "keep_until": time.Now().Add(4*time.Minute + 30*time.Second).UTC().Format(time.RFC3339)},
		map[string]any{"id": "w0", "hive": "hive-1", "device": "cpu", "model": "m", "engine": "builtin", "desired": "stopped", "state": "stopped", "slots": 8})
	catalogAnswers(of)
	of["POST /v2/workers/spawn"] = map[string]any{"worker_id": "w9", "state": "spawning"}
	of["DELETE /v2/workers/w1"] = map[string]any{}
}

func catalogAnswers(of map[string]any) {
	offered := map[string]any{
		"id": "builtin/markov", "object": "model", "created": 1, "state": "available", "hives": []string{"hive-1", "hive-2"},
		"engines": []string{"builtin"}, "workers": 1, "slots": 8, "busy": 2,
	}
	qwen := map[string]any{
		"id": "qwen", "aliases": []string{"q"}, "source": "hf:a/b/c.gguf", "engine": "llama.cpp", "digest": "sha256:00", "size_bytes": 2 << 30,
		"memory": map[string]any{"weights": 2 << 30, "kv": 512 << 20, "overhead": 512 << 20, "total": 3 << 30}, "slots": 4, "context": 8192,
		"idle_ttl": "10m0s", "max_replicas": 2, "labels": map[string]string{"gpu": "big"}, "catalog": true,
		"state": "loading", "hives": []string{"hive-1"}, "engines": []string{"llama.cpp"}, "workers": 1,
		"copies": []any{map[string]any{"hive": "hive-1", "state": "present", "bytes": 2 << 30, "wanted": true},
			map[string]any{"hive": "hive-2", "state": "failed", "error": map[string]any{"code": "digest_mismatch", "message": "another file"}}},
		"loads": []any{map[string]any{"worker_id": "w5", "hive": "hive-1", "device": "gpu0", "state": "loading", "progress": 0.25, "bytes": 1 << 30, "total_bytes": 4 << 30}},
	}
	old := map[string]any{"id": "old", "catalog": true, "state": "unavailable", "reason": "no hive has engine x"}
	of["GET /v2/models"] = map[string]any{"items": []any{offered, old, qwen}}
	of["GET /v2/models/qwen"] = qwen
	of["GET /v2/models/builtin/markov"] = offered
	for _, ref := range []string{"qwen", "new", "a/b"} {
		of["PUT /v2/models/"+ref] = map[string]any{"id": ref}
	}
	of["DELETE /v2/models/old"] = nil
	of["POST /v2/models/evict"] = map[string]any{}
	progress := func(hive, state string, done, total int64) string {
		return fmt.Sprintf("event: progress\ndata: {\"hive\":%q,\"state\":%q,\"bytes\":%d,\"total_bytes\":%d}", hive, state, done, total)
	}
	of["POST /v2/models/download"] = clienttest.Events{
		progress("hive-1", "downloading", 0, 0), progress("hive-1", "downloading", 1<<20, 4<<20), progress("hive-1", "downloading", 3<<20, 4<<20),
		progress("hive-1", "present", 4<<20, 4<<20), "event: end\ndata: {\"model\":\"qwen\",\"hives\":[\"hive-1\"]}",
	}
}
