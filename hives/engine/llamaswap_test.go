package engine

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestSplitWords(t *testing.T) {
	for in, want := range map[string][]string{
		"":                                   nil,
		"a  b\tc\nd":                         {"a", "b", "c", "d"},
		`a 'b c' "d e" f\ g`:                 {"a", "b c", "d e", "f g"},
		`a ""`:                               {"a", ""},
		`--x='a "b"' --y="c 'd'"`:            {`--x=a "b"`, "--y=c 'd'"},
		`"a\"b\\c\$d\n" '\n'`:                {`a"b\c$d\n`, `\n`},
		"a \\\n  b \\\r\n c":                 {"a", "b", "c"},
		"# a comment\na # another\nb#no '#'": {"a", "b#no", "#"},
		"a | b > c; $d && `e`":               {"a", "|", "b", ">", "c;", "$d", "&&", "`e`"},
		`a 'ü'`:                              {"a", "ü"},
	} {
		if got, err := splitWords(in); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %q %v, want %q", in, got, err, want)
		}
	}
	for _, in := range []string{`a "b`, `a 'b`, `a \`} {
		if got, err := splitWords(in); err == nil || !strings.Contains(err.Error(), "in the middle") {
			t.Errorf("%q: %q %v", in, got, err)
		}
	}
}

// A splitting and a quoting undo each other, whatever the words.
func FuzzSplitWords(f *testing.F) {
	f.Add("a b", "c'd", "\\\n\"$`#")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		words := []string{a, b, c}
		text := ""
		for _, w := range words {
			text += " '" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
		if got, err := splitWords(text); err != nil || !reflect.DeepEqual(got, words) {
			t.Fatalf("%q: %q %v", text, got, err)
		}
		_, _ = splitWords(a)
	})
}

const swapConfig = `
healthCheckTimeout: 500
startPort: 10001
logLevel: info
globalTTL: 600
hooks: {on_startup: {preload: [qwen]}}
groups: {all: {swap: false, members: [qwen]}}
macros:
  latest-llama: >
    /opt/llama server/llama-server
    --port ${PORT}
  "ctx": 4096
  args: "--ctx-size ${ctx} --alias ${MODEL_ID}"
  dir: "${env.SWAP_DIR}"
models:
  "qwen":
    cmd: |
      # with a comment
      "/opt/llama server/llama-server" --port ${PORT} \
      ${args} -m "${dir}/qwen 3.gguf" --template '{{ bos }}'
    macros: {ctx: 16384}
    env: ["CUDA_VISIBLE_DEVICES=0,1", "CACHE=${dir}/cache"]
    aliases: ["gpt-4o-mini", {id: "gpt-4", name: "four", unlisted: true}]
    ttl: 60
    concurrencyLimit: 3
    name: "Qwen"
  "org/docker:1":
    proxy: "http://127.0.0.1:9${PORT}/api/"
    cmd: docker run --name ${MODEL_ID} -p 9${PORT}:8080 image
    cmdStop: docker stop --pid ${PID} ${MODEL_ID}
    checkEndpoint: none
    useModelName: "served/${MODEL_ID}"
    ttl: 0
    metadata: {vram_bytes: 6GiB, note: any}
`

func TestALlamaSwapConfigLoadsUnchanged(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("SWAP_DIR", dir)
	if err := os.WriteFile(filepath.Join(dir, "qwen 3.gguf"), make([]byte, 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "config.yaml")
	if err := os.WriteFile(path, []byte(swapConfig), 0o600); err != nil {
		t.Fatal(err)
	}
	swap, err := LlamaSwap(path)
	if err != nil {
		t.Fatal(err)
	}
	if swap.Ports != (PortRange{10001, 11000}) || len(swap.Warnings) != 1 || !strings.HasSuffix(swap.Warnings[0], "not used: groups, hooks, logLevel") {
		t.Errorf("%v %q", swap.Ports, swap.Warnings)
	}
	if want := "models:\n    - ref: org/docker:1\n      idle_ttl: 10m0s\n    - ref: qwen\n      aliases:\n        - gpt-4o-mini\n        - gpt-4\n      idle_ttl: 1m0s\n"; string(swap.Catalog) != strings.Replace(want, "    - ref: org/docker:1\n      idle_ttl: 10m0s\n", "", 1) {
		t.Errorf("catalog:\n%s", swap.Catalog)
	}
	docker, qwen := swap.Engines[0], swap.Engines[1]
	v := Vars{Port: 5001, PID: 77}
	if got, want := commandLine(t, qwen, v), "CACHE="+dir+"/cache CUDA_VISIBLE_DEVICES=0,1 llama-server --port 5001 --ctx-size 16384 --alias qwen -m "+dir+"/qwen 3.gguf --template {{ bos }}"; got != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
	if qwen.Name != "qwen" || qwen.Health != "/health" || qwen.StartTimeout != 500*time.Second || qwen.Models[0] != (Model{Ref: "qwen", Slots: 3, VRAMBytes: 1200 + ollamaSpare}) || qwen.TakesFiles() {
		t.Errorf("%+v", qwen)
	}
	if got, want := commandLine(t, docker, v), "docker run --name org/docker:1 -p 95001:8080 image"; got != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
	if docker.Name != "org-docker-1" || docker.HealthStatus != anyStatus || docker.Models[0] != (Model{Ref: "org/docker:1", Name: "served/org/docker:1", Slots: 10, VRAMBytes: 6 << 30}) {
		t.Errorf("%+v", docker)
	}
	if got, err := docker.arguments("stop_command", docker.StopCommand, v); err != nil || strings.Join(got, " ") != "docker stop --pid 77 org/docker:1" {
		t.Error(got, err)
	}
	w, err := NewWorker(Launch{ID: "w1", Definition: docker, Model: docker.Models[0]}, Options{LogDir: dir})
	if err != nil || w.address(5001) != "http://127.0.0.1:95001/api" || w.model != "served/org/docker:1" {
		t.Error(err)
	}
}

func TestWhatALlamaSwapConfigWantsInVainIsNamed(t *testing.T) {
	for in, want := range map[string]string{
		"{}":            "models: missing",
		"models: [a]":   "cannot unmarshal",
		"models: {a: }": "models.a.cmd: missing",
		"models: {a: {cmd: 'x ${PORT}', filters: {stripParams: t}}}": "models.a.filters: is not done here",
		"models: {a: {cmd: x}}":                                                                                 "models.a.proxy: missing: cmd does not use ${PORT}",
		"models: {a: {cmd: 'x ${prt}'}}":                                                                        "models.a.cmd: ${prt} is no macro",
		"models: {a: {cmd: 'x ${env.NOT_SET_ANYWHERE}'}}":                                                       "NOT_SET_ANYWHERE is not set",
		"models: {a: {cmd: 'x \"${PORT}'}}":                                                                     "models.a.cmd: ends in the middle of something",
		"models: {a: {cmd: 'x ${PORT}', proxy: 'localhost:1'}}":                                                 "a.proxy",
		"models: {a: {cmd: 'x ${PORT}', env: [X]}}":                                                             "models.a.env: \"X\": write NAME=value",
		"models: {a: {cmd: 'x ${PORT}', checkEndpoint: nope}}":                                                  `a.health: "nope" is not a path`,
		"models: {a: {cmd: 'x ${PORT}', concurrencyLimit: -1}}":                                                 "a.slots: -1",
		"models: {a: {cmd: 'x ${PORT}', metadata: {vram_bytes: much}}}":                                         "models.a.metadata.vram_bytes",
		"macros: {PORT: 1}\nmodels: {a: {cmd: x}}":                                                              "macro PORT is given by llama-swap itself",
		"macros: {'a b': 1}\nmodels: {a: {cmd: x}}":                                                             `macro "a b": use 1 to 63`,
		"macros: {a: [1]}\nmodels: {a: {cmd: x}}":                                                               "macro a must be a text",
		"macros: {a: '${b}', b: '${a}'}\nmodels: {a: {cmd: '${a}'}}":                                            "use each other without end",
		"macros: {a: '${b}${b}${b}${b}', b: '" + strings.Repeat("x", 30_000) + "'}\nmodels: {a: {cmd: '${a}'}}": "its macros make more than 64 KiB",
		"startPort: 70000\nmodels: {a: {cmd: x}}":                                                               "startPort: 70000",
	} {
		got, err := parseSwap([]byte(in))
		if err == nil && strings.Contains(want, "a.proxy") { // known when a port is
			_, err = NewWorker(Launch{ID: "w", Definition: got.Engines[0], Model: got.Engines[0].Models[0]}, Options{LogDir: "x"})
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.100s\n got %v\nwant %s", in, err, want)
		}
	}
	got, err := parseSwap([]byte("models: {a: {cmd: 'x ${PORT}'}, 'a@': {cmd: 'x ${PORT}'}, 'a-': {cmd: 'x ${PORT}'}}"))
	if err != nil || len(got.Engines) != 3 || len(got.Warnings) != 3 || !strings.Contains(got.Warnings[0], "models.a: what memory it takes is not known") {
		t.Fatalf("%+v %v", got, err)
	}
	if names := fmt.Sprint(got.Engines[0].Name, got.Engines[1].Name, got.Engines[2].Name); names != "aa-2a-3" {
		t.Fatal(names)
	}
}

func TestAnEngineIsStoppedByItsCommand(t *testing.T) {
	d := definition("-deaf", "-heeds-int")
	d.StopCommand = []string{"kill", "-INT", "{{.PID}}"}
	w := runWorker(t, d, nil)
	w.ready()
	if err := w.stop(); err != nil || !strings.Contains(lines(w.Tail()...), "interrupted") {
		t.Fatal(err, w.Tail())
	}
	// A command that hangs, or is not there, holds nothing up.
	for _, command := range [][]string{{"sleep", "60"}, {"/no/such/command"}} {
		d := definition("-deaf")
		d.StopCommand, d.StopGrace = command, 50*time.Millisecond
		w := runWorker(t, d, nil)
		s := w.ready()
		if err := w.stop(); err != nil || !dead(s.PID) {
			t.Fatal(err)
		}
		if left, err := FindOrphans(w.options.Mark); err != nil || len(left) != 0 {
			t.Fatal(left, err)
		}
	}
}

func TestAnyAnswerWillDoWhereNoneIsChecked(t *testing.T) {
	d := definition()
	d.Health, d.HealthStatus = "/no/such/path", anyStatus
	runWorker(t, d, nil).ready()
}
