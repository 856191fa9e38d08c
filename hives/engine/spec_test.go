package engine

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

func decode(text string) ([]Definition, error) {
	var c struct {
		Engines map[string]Spec `yaml:"engines"`
	}
	if err := yaml.Unmarshal([]byte(text), &c); err != nil {
		return nil, err
	}
	return Definitions(c.Engines)
}

// executable makes a file that can be run, for the builtin's binary.
func executable(t testing.TB) string {
	t.Helper()
	p := filepath.Join(t.TempDir(), "rbee-worker")
	if err := os.WriteFile(p, []byte("#!/bin/true\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestDefinitionsFromYAML(t *testing.T) {
	got, err := decode(`
engines:
  llama.cpp:
    command: [llama-server, -m, "{{.ModelPath}}", --host, 127.0.0.1, --port, "{{.Port}}", -np, "{{.Slots}}"]
    env: {CUDA_VISIBLE_DEVICES: "{{.Device}}"}
    health: /health
    api: openai
    start_timeout: 90s
    models:
      - {ref: "z:1", path: /m/z.gguf, vram_bytes: 1.5GiB, context: 8192}
      - {ref: org/a, path: /m/a.gguf, vram_bytes: 24GiB, slots: 2}
  builtin: {slots: 8, args: [--tokens-per-second, "50"], vram_bytes: 64MiB, binary: ` + executable(t) + `}
`)
	if err != nil {
		t.Fatal(err)
	}
	builtin, llama := got[0], got[1]
	if builtin.Name != "builtin" || !reflect.DeepEqual(builtin.Models, []Model{{Ref: BuiltinModel, VRAMBytes: 64 << 20, Slots: 8}}) {
		t.Errorf("%+v", builtin)
	}
	want := Definition{
		Name: "llama.cpp", Command: llama.Command, Env: map[string]string{"CUDA_VISIBLE_DEVICES": "{{.Device}}"},
		Health: "/health", HealthStatus: 200, StartTimeout: 90 * time.Second, StopGrace: 10 * time.Second,
		Models: []Model{{Ref: "org/a", Path: "/m/a.gguf", VRAMBytes: 24 << 30, Slots: 2}, {Ref: "z:1", Path: "/m/z.gguf", VRAMBytes: 3 << 29, Slots: 4, Context: 8192}},
	}
	if !reflect.DeepEqual(llama, want) {
		t.Errorf("%+v\n%+v", llama, want)
	}
	argv, err := builtin.argv(Vars{Model: BuiltinModel, Addr: "127.0.0.1:5", Slots: 8})
	if err != nil || !strings.HasSuffix(strings.Join(argv, " "), "rbee-worker --addr 127.0.0.1:5 --model builtin/markov --slots 8 --tokens-per-second 50") {
		t.Error(argv, err)
	}
}

func TestBuiltinAlone(t *testing.T) {
	p := executable(t)
	t.Setenv("PATH", filepath.Dir(p))
	got, err := decode("engines: {builtin: {}}")
	if err != nil || len(got) != 1 || got[0].Command[0] != p || got[0].Models[0].Slots != DefaultSlots || got[0].Models[0].VRAMBytes != builtinVRAM {
		t.Fatalf("%+v, %v", got, err)
	}
	t.Setenv("PATH", t.TempDir())
	if _, err := decode("engines: {builtin: {}}"); err == nil || !strings.Contains(err.Error(), "engines.builtin.binary") {
		t.Fatal(err)
	}
	if got, err := decode("engines: {builtin: }"); err == nil { // null is an empty mapping too: the binary is missing
		t.Fatal(got)
	}
}

func TestBadDefinitionsNameTheFieldAndTheFix(t *testing.T) {
	engine := func(more string) string {
		return "engines: {x: {command: [a, \"{{.Port}}\"], models: [{ref: m}]" + more + "}}"
	}
	for _, c := range []struct{ in, want string }{
		{"engines: {x: {}}", `engines.x.command: missing: give a list`},
		{"engines: {x: {command: []}}", `engines.x.command: missing`},
		{"engines: {x: {comand: [a]}}", `no key "comand": use api, api_key_env, args, binary, command`},
		{"engines: {x: [a]}", "an engine must be a mapping"},
		{"engines: {\"a b\": {command: [a], models: [{ref: m}]}}", `"a b": name an engine`},
		{"engines: {x: {command: [a]}}", "engines.x.models: missing: list"},
		{"engines: {x: {command: [\"{{.Prot}}\"], models: [{ref: m}]}}", "engines.x.command[0]"},
		{"engines: {x: {command: [\"{{.Port\"], models: [{ref: m}]}}", "engines.x.command[0]"},
		{"engines: {x: {command: [a], models: [{ref: m, slots: -1}]}}", "engines.x.models[m].slots: -1: use 1 to"},
		{"engines: {x: {command: [a], models: [{ref: m, size: 1}]}}", `a model has no key "size": use context, name, path`},
		{"engines: {x: {command: [a], models: [{ref: m}, {ref: m}]}}", "listed twice"},
		{"engines: {x: {command: [a], models: [{path: /m}]}}", "engines.x.models.ref"},
		{"engines: {x: {command: [a], models: [{ref: m, vram_bytes: much}]}}", "24GiB"},
		{"engines: {x: {command: [a], models: [{ref: m, context: -1}]}}", "models[m].context"},
		{engine(", api: grpc"), `engines.x.api: "grpc" is not known: use openai`},
		{engine(", health: nope"), `engines.x.health: "nope" is not a path`},
		{engine(", health_status: 99"), "engines.x.health_status: 99"},
		{engine(", start_timeout: 30"), `"30" is not a duration: write a number with a unit, such as 30s`},
		{engine(", stop_grace: -1s"), `"-1s" is not a duration`},
		{engine(", dir: rel"), `engines.x.dir: "rel": use an absolute path`},
		{engine(", args: [a]"), "engines.x.args: this engine has no such key: use api, command"},
		{engine(", slots: -3"), "engines.x.slots: -3: use 1 or more"},
		{engine(", env: {\"A=B\": c}"), `engines.x.env: "A=B" cannot be set`},
		{engine(", env: {A: \"{{.Nope}}\"}"), "engines.x.env.A"},
		{"engines: {builtin: {command: [a]}}", "engines.builtin.command: this engine has no such key: use args, binary"},
		{"engines: {builtin: {binary: /no/such/file}}", "engines.builtin.binary"},
	} {
		if got, err := decode(c.in); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s\n got %+v, %v\nwant %s", c.in, got, err, c.want)
		}
	}
}

func TestArgv(t *testing.T) {
	d := Definition{Name: "x", Command: []string{"a b", `{{with index .Args "draft"}}--draft={{.}}{{end}}`, "", "{{.ModelPath}}"}}
	got, err := d.argv(Vars{ModelPath: "/m; rm -rf $HOME", Args: map[string]string{"other": "x"}})
	if err != nil || !reflect.DeepEqual(got, []string{"a b", "", "/m; rm -rf $HOME"}) {
		t.Fatalf("%q, %v", got, err)
	}
	if got, err := d.argv(Vars{ModelPath: "m", Args: map[string]string{"draft": "{{.Key}} 3"}}); err != nil || got[1] != "--draft={{.Key}} 3" {
		t.Fatalf("%q, %v", got, err)
	}
	if _, err := d.argv(Vars{ModelPath: "a\x00b"}); err == nil {
		t.Fatal("a zero byte passed")
	}
	if _, err := (Definition{Name: "x", Command: []string{"{{.Device}}"}}).argv(Vars{}); err == nil {
		t.Fatal("an empty program passed")
	}
	if got, err := render(literal("/a {{b}}"), Vars{}); err != nil || got != "/a {{b}}" {
		t.Fatal(got, err)
	}
}

func FuzzDefinitions(f *testing.F) {
	f.Add("engines: {x: {command: [a, \"{{.Port}}\"], env: {A: b}, models: [{ref: m, path: /m, vram_bytes: 24GiB}]}}")
	f.Add("engines: {builtin: {slots: 8, args: [x], binary: /bin/true}}")
	f.Add("engines: {x: &a {command: [b]}, y: *a}")
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, "range") || strings.Contains(text, "template") { // the operator may hang himself
			return
		}
		got, err := decode(text)
		if err != nil {
			return
		}
		for _, d := range got {
			if d.External != nil {
				continue
			}
			if err := d.Validate(); err != nil || len(d.Models) == 0 || d.StartTimeout <= 0 || d.Models[0].Slots < 1 {
				t.Fatalf("%q gives %+v, %v", text, d, err)
			}
		}
	})
}
