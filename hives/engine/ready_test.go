package engine

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"

	"queen-rbee/hives"
)

// programs makes a PATH of programs that do nothing.
func programs(t testing.TB, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range names {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/true\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir)
	return dir
}

// commandLine is the command line, and the environment of its own, of a launch.
func commandLine(t testing.TB, d Definition, v Vars) string {
	t.Helper()
	argv, err := d.argv(v)
	if err != nil {
		t.Fatal(err)
	}
	env, err := d.environ(v, nil, "mark", "w1")
	if err != nil {
		t.Fatal(err)
	}
	env = slices.DeleteFunc(env, func(kv string) bool { name, _, _ := strings.Cut(kv, "="); _, own := d.Env[name]; return !own })
	slices.Sort(env)
	argv[0] = filepath.Base(argv[0])
	return strings.Join(append(env, argv...), " ")
}

func TestReadyDefinitionsStartAsTheirEnginesWantIt(t *testing.T) {
	programs(t, "llama-server", "vllm", "sglang", "ollama")
	t.Setenv("OLLAMA_MODELS", t.TempDir())
	found, missing, err := Found(nil)
	if err != nil || len(missing) != 0 || len(found) != len(Ready()) {
		t.Fatal(found, missing, err)
	}
	v := Vars{Model: "qwen", Name: "qwen", ModelPath: "/m/qwen.gguf", Port: 5, Addr: "127.0.0.1:5", Slots: 4, Context: 8192, Key: "k"}
	unknown := v
	unknown.Context = 0
	want := map[string]string{
		"llama.cpp":           "llama-server -m /m/qwen.gguf --alias qwen --host 127.0.0.1 --port 5 --api-key k --threads-http 20 -np 4 -c 32768",
		"llama.cpp-embedding": "llama-server -m /m/qwen.gguf --alias qwen --host 127.0.0.1 --port 5 --api-key k --threads-http 20 -np 4 -c 32768 --embeddings -b 8192 -ub 8192",
		"llama.cpp-rerank":    "llama-server -m /m/qwen.gguf --alias qwen --host 127.0.0.1 --port 5 --api-key k --threads-http 20 -np 4 -c 32768 --reranking -b 8192 -ub 8192",
		"vllm":                "vllm serve /m/qwen.gguf --served-model-name qwen --host 127.0.0.1 --port 5 --api-key k --max-num-seqs 4 --max-model-len 8192",
		"sglang":              "sglang serve --model-path /m/qwen.gguf --served-model-name qwen --host 127.0.0.1 --port 5 --api-key k --max-running-requests 4 --context-length 8192",
		"ollama":              "OLLAMA_CONTEXT_LENGTH=8192 OLLAMA_HOST=127.0.0.1:5 OLLAMA_KEEP_ALIVE=-1 OLLAMA_MAX_LOADED_MODELS=1 OLLAMA_NOPRUNE=1 OLLAMA_NUM_PARALLEL=4 ollama serve",
	}
	for _, d := range found {
		if got := commandLine(t, d, v); got != want[d.Name] {
			t.Errorf("%s\n got %s\nwant %s", d.Name, got, want[d.Name])
		}
		for _, flag := range []string{" -c ", " -ub ", "--max-model-len", "--context-length", "OLLAMA_CONTEXT_LENGTH"} {
			if got := commandLine(t, d, unknown); strings.Contains(got, flag) {
				t.Errorf("%s with an unknown context: %s", d.Name, got)
			}
		}
		if files := d.Name != "ollama"; d.TakesFiles() != files || d.keyed() != files {
			t.Errorf("%s takes files: %v, is given a key: %v", d.Name, d.TakesFiles(), d.keyed())
		}
	}
}

func TestOnlyEnginesAreOfferedThatAreThere(t *testing.T) {
	programs(t, "vllm")
	found, missing, err := Found(map[string]Spec{"sglang": {}})
	if err != nil || len(found) != 1 || found[0].Name != "vllm" || strings.Join(missing, " ") != "llama-server ollama" {
		t.Fatal(found, missing, err)
	}
	if _, err := decode("engines: {llama.cpp: {extra_args: [-ngl, '99']}}"); err == nil ||
		!strings.Contains(err.Error(), "engines.llama.cpp.binary") || !strings.Contains(err.Error(), "install llama-server, or give the path of its program here") {
		t.Fatal(err)
	}
}

func TestReadyDefinitionsAreOverriddenKeyByKey(t *testing.T) {
	dir := programs(t, "llama-server", "vllm", "mine")
	v := Vars{Model: "m", Name: "m", ModelPath: "/m", Port: 5, Addr: "a:5", Slots: 1, Key: "k"}
	for in, want := range map[string]string{
		`llama.cpp: {extra_args: [-ngl, "99", "--seed={{.Slots}}"]}`:                             "llama-server -m /m --alias m --host 127.0.0.1 --port 5 --api-key k --threads-http 17 -np 1 -ngl 99 --seed=1",
		`vllm: {binary: ` + dir + `/mine, env: {HF_HOME: /h}, start_timeout: 1h, health: /ping}`: "HF_HOME=/h mine serve /m --served-model-name m --host 127.0.0.1 --port 5 --api-key k --max-num-seqs 1",
		`vllm: {command: [mine, "{{.ModelPath}}"]}`:                                              "mine /m",
	} {
		got, err := decode("engines: {" + in + "}")
		if err != nil || commandLine(t, got[0], v) != want {
			t.Fatalf("%s: %v\n got %s\nwant %s", in, err, commandLine(t, got[0], v), want)
		}
		d := got[0]
		switch {
		case strings.Contains(in, "/ping") && (d.Health != "/ping" || d.StartTimeout.Hours() != 1 || d.StopGrace.Seconds() != 30 || d.ModelName != "{{.Model}}"),
			strings.Contains(in, "command") && (d.ModelName != "" || d.Health != "/health" || d.StartTimeout.Minutes() != 30 || !d.TakesFiles()):
			t.Errorf("%s: %+v", in, d)
		}
	}
	for in, want := range map[string]string{
		`vllm: {command: [mine], extra_args: [x]}`:             "leave binary and extra_args out",
		`mine: {extra_args: [x]}`:                              "engines.mine.extra_args: this engine has no such key",
		`x: {command: [a], models_from: lmstudio}`:             `engines.x.models_from: "lmstudio" is not known`,
		`ollama: {binary: mine, models: [{ref: a, path: /m}]}`: "has its models itself",
	} {
		if got, err := decode("engines: {" + in + "}"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v %v", in, got, err)
		}
	}
}

// manifest is one as `ollama pull` writes it.
const manifest = `{"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.v2+json","config":{"mediaType":"application/vnd.docker.container.image.v1+json","digest":"sha256:aa","size":487},
"layers":[{"mediaType":"application/vnd.ollama.image.model","digest":"sha256:bb","size":1000},{"mediaType":"application/vnd.ollama.image.projector","digest":"sha256:cc","size":500},
{"mediaType":"application/vnd.ollama.image.license","digest":"sha256:dd","size":7020}]}`

func TestAnOllamaLibrarysModels(t *testing.T) {
	programs(t, "ollama")
	dir := t.TempDir()
	for path, text := range map[string]string{
		"registry.ollama.ai/library/llama3.2/latest": manifest, "registry.ollama.ai/me/mine/q4": manifest, "hf.co/org/repo-GGUF/Q4_K_M": manifest,
		"registry.ollama.ai/library/broken/latest": "{", "registry.ollama.ai/library/.partial": "x",
	} {
		p := filepath.Join(dir, "manifests", filepath.FromSlash(path))
		if err := os.MkdirAll(filepath.Dir(p), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	read := func(more string) string {
		got, err := decode(fmt.Sprintf("engines: {ollama: {env: {OLLAMA_MODELS: %q}%s}}", dir, more))
		if err != nil {
			t.Fatal(err)
		}
		models, err := NewListing(got[0], func() {}, hclog.NewNullLogger()).read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(models)
	}
	size := int64(1800 + ollamaSpare)
	if got, want := read(""), fmt.Sprint([]Model{{Ref: "hf.co/org/repo-GGUF:Q4_K_M", Name: "hf.co/org/repo-GGUF:Q4_K_M", VRAMBytes: size, Slots: 2},
		{Ref: "llama3.2:latest", Name: "llama3.2:latest", VRAMBytes: size, Slots: 2}, {Ref: "me/mine:q4", Name: "me/mine:q4", VRAMBytes: size, Slots: 2}}); got != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
	if got, want := read(", models: [{ref: llama, name: llama3.2, slots: 1, vram_bytes: 3GiB, context: 4096}]"),
		fmt.Sprint([]Model{{Ref: "llama", Name: "llama3.2:latest", VRAMBytes: 3 << 30, Slots: 1, Context: 4096}}); got != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
	dir = filepath.Join(dir, "none")
	if got := read(""); got != "[]" {
		t.Errorf("a library that is not there yet: %s", got)
	}
}

// Another process on the port answers /health just as well: the worker is not ready by it.
func TestAStrangerOnThePortIsNotTheEngine(t *testing.T) {
	props := string(load(t, "props").sse(t))
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		want   string
	}{
		"another key": {func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/props" {
				w.WriteHeader(http.StatusUnauthorized)
			}
		}, "does not take this start's key"},
		"another model": {func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, props) }, `it serves "small", not "m"`},
	} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewServer(c.answer)
			defer s.Close()
			d := definition("-key", "{{.Key}}", "--alias", "{{.Model}}")
			w, err := NewWorker(Launch{ID: "w1", Definition: d, Model: d.Models[0]}, Options{LogDir: t.TempDir()})
			if err != nil {
				t.Fatal(err)
			}
			w.snapshot.Store(&Snapshot{State: hives.WorkerLoading, BaseURL: "http://" + s.Listener.Addr().(*net.TCPAddr).String()})
			pr := w.probe("k", life{})
			if got := pr.ask(t.Context(), pr.patience); !got.ok {
				t.Fatalf("%+v", got)
			}
			if _, err := pr.props(t.Context()); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatal(err)
			}
		})
	}
	w := runWorker(t, definition("-key", "{{.Key}}", "--alias", "{{.Model}}"), nil)
	w.ready()
}
