package catalog

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

const whole0 = `models:
  - {ref: qwen, aliases: [qwen-small, q], source: "hf:org/repo/file.gguf", engine: llama.cpp, slots: 4, context: 8192,
     idle_ttl: 10m, min_replicas: 0, max_replicas: 2, vram_bytes: 6GiB, labels: {gpu: big, rack: 7}, pin: false}
  - ref: least
  - ref: kept
    idle_ttl: -1
    pin: true
`

func TestRead(t *testing.T) {
	got, err := Read([]byte(whole0))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		`qwen 2 {"aliases":["q","qwen-small"],"context":8192,"engine":"llama.cpp","idle_ttl":"10m0s","labels":{"gpu":"big","rack":"7"},` +
			`"max_replicas":2,"ref":"qwen","slots":4,"source":"hf:org/repo/file.gguf","vram_bytes":6442450944}`,
		`least 4 {"ref":"least"}`,
		`kept 5 {"idle_ttl":"-1","pin":true,"ref":"kept"}`,
	}
	for i, e := range got {
		body, err := json.Marshal(e.Fields)
		if line := fmt.Sprintf("%s %d %s", e.Ref, e.Line, body); err != nil || i >= len(want) || line != want[i] {
			t.Errorf("entry %d: %v\n%s", i, err, line)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d entries", len(got))
	}
}

// TestBadFiles are told with the line, and with what to write instead.
func TestBadFiles(t *testing.T) {
	for file, want := range map[string]string{
		"":                                     "the file is empty",
		"- ref: a":                             "line 1: must hold models:",
		"modles: []":                           `line 1: "modles" is not known; there is models`,
		"models: 3":                            "line 1: models: must be a list",
		"models: []\nmodels: []":               "line 2: models is given twice",
		"models: []\n---\nmodels: []":          "more than one document",
		"models:\n  - {ref: a":                 "did not find expected",
		"models:\n  - qwen":                    "line 2: a model must have fields",
		"models:\n  - {}":                      "line 2: ref: is missing",
		"models:\n  - ref: a\n    slot: 3":     "line 3: slot: is no field of a model; there are ref, aliases",
		"models:\n  - ref: a\n    ref: b":      "line 3: ref: is given twice",
		"models:\n  - ref: a\n    slots: many": "line 3: slots: must be a whole number",
		"models:\n  - ref: a\n    slots: -1":   "line 3: slots: must be a whole number",
		"models:\n  - ref: a\n    slots: 1.5":  "line 3: slots: must be a whole number",
		"models:\n  - ref: a\n    idle_ttl: ten minutes":          "line 3: idle_ttl: must be a duration",
		"models:\n  - ref: a\n    vram_bytes: 6 apples":           "line 3: vram_bytes: must be bytes",
		"models:\n  - ref: a\n    vram_bytes: GiB":                "line 3: vram_bytes: must be bytes",
		"models:\n  - ref: a\n    pin: maybe":                     "line 3: pin: must be true or false",
		"models:\n  - ref: a\n    aliases: b":                     "line 3: aliases: must be a list of names",
		"models:\n  - ref: a\n    labels: [b]":                    "line 3: labels: must be names with texts",
		"models:\n  - ref: a\n    source: [b]":                    "line 3: source: must be a text",
		"models:\n  - {ref: a, min_replicas: 3, max_replicas: 2}": "line 2: min_replicas: is 3, above max_replicas",
		"models:\n  - ref: a\n  - ref: b\n    aliases: [a]":       `line 3: "a" is a name of the model in line 2 already`,
		"models:\n  - {ref: a, aliases: [b, b]}":                  `line 2: "b" is a name of the model in line 2 already`,
	} {
		_, err := Read([]byte(file))
		var e *Error
		if !errors.As(err, &e) || !strings.Contains(e.Error(), want) {
			t.Errorf("%q: %v, want %q", file, err, want)
		}
	}
}

func TestDiff(t *testing.T) {
	file, err := Read([]byte(whole0))
	if err != nil {
		t.Fatal(err)
	}
	now := map[string]json.RawMessage{
		"qwen": json.RawMessage(`{"ref":"qwen","aliases":["qwen-small","q"],"source":"hf:org/repo/file.gguf","engine":"llama.cpp","slots":2,
			"context":8192,"idle_ttl":"600s","max_replicas":2,"vram_bytes":6442450944,"labels":{"rack":"7","gpu":"big"},"pin":true,"digest":"sha256:00","size":3,"state":"ready"}`),
		"kept": json.RawMessage(`{"id":"kept","aliases":[],"idle_ttl":"-1","pin":true,"min_replicas":0,"slots":8,"context":4096,"digest":"sha256:00"}`),
		"old":  json.RawMessage(`{"ref":"old"}`),
	}
	for prune, want := range map[bool]string{
		false: `[{"ref":"qwen","action":"update","fields":[{"name":"slots","from":2,"to":4},{"name":"pin","from":true,"to":null}]},{"ref":"least","action":"create"}]`,
		true: `[{"ref":"qwen","action":"update","fields":[{"name":"slots","from":2,"to":4},{"name":"pin","from":true,"to":null}]},{"ref":"least","action":"create"},` +
			`{"ref":"old","action":"delete"}]`,
	} {
		changes, same, err := Diff(file, now, prune)
		got, _ := json.Marshal(changes)
		if err != nil || same != 1 || string(got) != want {
			t.Errorf("prune %v: %v, %d the same\n%s", prune, err, same, got)
		}
	}
}

// TestAppliedFilesAreQuiet: once a catalog is what a file says, nothing is left to do, whatever the
// file says, and any other word is a change of just that field.
func TestAppliedFilesAreQuiet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pick := func(name string, words ...string) string { return rapid.SampledFrom(words).Draw(t, name) }
		values := map[string]string{
			"source": pick("source", `""`, "hf:a/b/c.gguf", "file:x"), "engine": pick("engine", "null", "vllm"),
			"slots": pick("slots", "0", "4"), "idle_ttl": pick("idle", "0", "-1", "90s", "1h30m"), "pin": pick("pin", "false", "true"),
			"aliases": pick("aliases", "[]", "[b]", "[c, b]"), "labels": pick("labels", "{}", "{k: v}"),
			"vram_bytes": pick("vram", "0", "1.5GiB", "7"), "digest": pick("digest", `""`, "sha256:ab"),
		}
		read := func(values map[string]string) []Entry {
			s := "models:\n  - ref: a\n"
			for k, v := range values {
				s += "    " + k + ": " + v + "\n"
			}
			file, err := Read([]byte(s))
			if err != nil {
				t.Fatal(err)
			}
			return file
		}
		file := read(values)
		applied, err := json.Marshal(file[0].Fields)
		if err != nil {
			t.Fatal(err)
		}
		now := map[string]json.RawMessage{"a": applied}
		if changes, same, err := Diff(file, now, true); err != nil || len(changes) > 0 || same != 1 {
			t.Fatalf("%v %v", changes, err)
		}
		other := maps.Clone(values)
		other["slots"] = "9"
		changes, _, err := Diff(read(other), now, true)
		if err != nil || len(changes) != 1 || len(changes[0].Fields) != 1 || !reflect.DeepEqual(changes[0].Fields[0].To, 9.0) {
			t.Fatalf("%+v %v", changes, err)
		}
	})
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(whole0))
	f.Add([]byte("models: &a\n  - &b {ref: x}\n  - *b"))
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := Read(data)
		var e *Error
		if err != nil && !errors.As(err, &e) {
			t.Fatal(err)
		}
		for _, entry := range file {
			if _, err := json.Marshal(entry.Fields); err != nil || entry.Ref == "" {
				t.Fatalf("%v: %+v", err, entry)
			}
		}
	})
}
