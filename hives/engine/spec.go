package engine

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"queen-rbee/hives/device"
)

// Spec is one entry of `engines:` in a hive's config, as written. Decode a whole config with
// `Engines map[string]engine.Spec`; unknown keys are refused with or without KnownFields.
type Spec struct {
	Command      []string          `yaml:"command"`
	Env          map[string]string `yaml:"env"`
	Dir          string            `yaml:"dir"`
	API          string            `yaml:"api"` // openai, the default and the only one
	Proxy        string            `yaml:"proxy"`
	Health       string            `yaml:"health"`
	HealthStatus int               `yaml:"health_status"`
	StartTimeout Duration          `yaml:"start_timeout"`
	StopGrace    Duration          `yaml:"stop_grace"`
	StopSignal   string            `yaml:"stop_signal"`
	StopCommand  []string          `yaml:"stop_command"`
	Restart      Restart           `yaml:"restart"`
	CrashLimit   *CrashLimit       `yaml:"crash_limit"`
	Limits       Limits            `yaml:"limits"`
	ModelName    string            `yaml:"model_name"`
	ModelsFrom   string            `yaml:"models_from"` // ollama: beside Models, or all
	Models       []ModelSpec       `yaml:"models"`

	// Keys of a server that runs already.
	URL       string `yaml:"url"`
	APIKeyEnv string `yaml:"api_key_env"`

	Slots int `yaml:"slots"` // of builtin, or of each model that does not say

	Binary    string       `yaml:"binary"`     // the program of builtin or of a ready definition
	ExtraArgs []string     `yaml:"extra_args"` // of a ready definition, after its own
	Args      []string     `yaml:"args"`       // of builtin
	VRAMBytes device.Bytes `yaml:"vram_bytes"`
}

// ModelSpec is one model of an engine, as written: a mapping, or its ref alone.
type ModelSpec struct {
	Ref       string       `yaml:"ref"`
	Name      string       `yaml:"name"` // what the engine calls it
	Path      string       `yaml:"path"`
	VRAMBytes device.Bytes `yaml:"vram_bytes"`
	Slots     int          `yaml:"slots"`
	Context   int          `yaml:"context"`
}

// Keys that each kind of entry may have.
var (
	commonKeys   = []string{"env", "dir", "start_timeout", "stop_grace", "stop_signal", "stop_command", "restart", "crash_limit", "limits"}
	commandKeys  = append([]string{"command", "proxy", "api", "health", "health_status", "model_name", "models", "models_from", "slots"}, commonKeys...)
	readyKeys    = append([]string{"binary", "extra_args"}, commandKeys...)
	builtinKeys  = append([]string{"binary", "args", "slots", "vram_bytes"}, commonKeys...)
	externalKeys = []string{"url", "api_key_env", "slots", "models", "api", "health", "health_status", "start_timeout"}
	modelKeys    = []string{"ref", "name", "path", "vram_bytes", "slots", "context"}
)

// UnmarshalYAML is strict: a key that no engine has is an error that names it.
func (s *Spec) UnmarshalYAML(n *yaml.Node) error {
	if err := knownKeys(n, "an engine", slices.Concat(readyKeys, builtinKeys, externalKeys)); err != nil {
		return err
	}
	type plain Spec // without this method
	return n.Decode((*plain)(s))
}

// UnmarshalYAML is strict, as Spec's.
func (m *ModelSpec) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		m.Ref = n.Value
		return nil
	}
	if err := knownKeys(n, "a model", modelKeys); err != nil {
		return err
	}
	type plain ModelSpec
	return n.Decode((*plain)(m))
}

func knownKeys(n *yaml.Node, what string, known []string) error {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n.Kind != yaml.MappingNode {
		return fmt.Errorf("line %d: %s must be a mapping with the keys %s", n.Line, what, list(known))
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if k := n.Content[i]; !slices.Contains(known, k.Value) {
			return fmt.Errorf("line %d: %s has no key %.40q: use %s", k.Line, what, k.Value, list(known))
		}
	}
	return nil
}

func list(keys []string) string {
	sorted := slices.Clone(keys)
	slices.Sort(sorted)
	return strings.Join(slices.Compact(sorted), ", ")
}

// Definitions turns the whole `engines:` map into definitions sorted by name.
func Definitions(specs map[string]Spec) ([]Definition, error) {
	var out []Definition
	for _, name := range slices.Sorted(maps.Keys(specs)) {
		d, err := specs[name].Definition(name)
		if err != nil {
			return nil, err
		}
		out = append(out, d)
	}
	return out, nil
}

// Definition checks s, fills in defaults and returns what it means under that name. The name
// builtin is our own rbee-worker, and a ready definition's is laid over that one: their programs
// must be found. All others need a command or a url.
func (s Spec) Definition(name string) (Definition, error) {
	if err := s.onlyKeysOf(name); err != nil {
		return Definition{}, err
	}
	if r, ok := ready()[name]; ok && s.URL == "" {
		var err error
		if s, err = s.over(r); err != nil {
			return Definition{}, fieldError(name, "binary", "%v", err)
		}
	}
	return s.define(name)
}

// define is Definition for what is laid over nothing.
func (s Spec) define(name string) (Definition, error) {
	d := Definition{
		Name: name, Command: slices.Clone(s.Command), Env: maps.Clone(s.Env), Dir: s.Dir,
		StopCommand: slices.Clone(s.StopCommand), Proxy: s.Proxy, Limits: s.Limits,
		Health:       cmp.Or(s.Health, DefaultHealth),
		HealthStatus: cmp.Or(s.HealthStatus, DefaultHealthStatus),
		StartTimeout: cmp.Or(time.Duration(s.StartTimeout), DefaultStartTimeout),
		StopGrace:    cmp.Or(time.Duration(s.StopGrace), DefaultStopGrace),
		ModelName:    s.ModelName,
	}
	if err := s.policy(&d); err != nil {
		return Definition{}, err
	}
	switch {
	case s.API != "" && s.API != "openai":
		return Definition{}, fieldError(name, "api", "%.40q is not known: use openai, or leave it out", s.API)
	case s.ModelsFrom != "" && s.ModelsFrom != fromOllama:
		return Definition{}, fieldError(name, "models_from", "%.40q is not known: use %s, or list the models", s.ModelsFrom, fromOllama)
	case s.Slots < 0:
		return Definition{}, fieldError(name, "slots", "%d: use 1 or more", s.Slots)
	case name == BuiltinName:
		return s.builtin(d)
	case s.URL != "":
		return s.external(d)
	case s.ModelsFrom != "":
		return s.fromLibrary(d)
	}
	for _, m := range s.Models {
		d.Models = append(d.Models, Model{Ref: m.Ref, Name: m.Name, Path: m.Path, VRAMBytes: int64(m.VRAMBytes),
			Slots: cmp.Or(m.Slots, s.Slots, DefaultSlots), Context: m.Context})
	}
	slices.SortStableFunc(d.Models, func(a, b Model) int { return cmp.Compare(a.Ref, b.Ref) })
	return d, d.Validate()
}

// fromLibrary completes d for an engine whose models stand in an Ollama library.
func (s Spec) fromLibrary(d Definition) (Definition, error) {
	dir, err := ollamaDir(d.Env)
	if err != nil {
		return Definition{}, fieldError(d.Name, "env", "%v", err)
	}
	d.library = &ollamaLibrary{dir: dir, slot: cmp.Or(s.Slots, DefaultSlots)}
	if d.library.only, err = onlyModels(d.Name, s.Models); err != nil {
		return Definition{}, err
	}
	return d, d.Validate()
}

// onlyKeysOf refuses keys of another kind of entry.
func (s Spec) onlyKeysOf(name string) error {
	known := commandKeys
	if _, isReady := ready()[name]; isReady {
		known = readyKeys
	}
	switch {
	case name == BuiltinName:
		known = builtinKeys
	case s.URL != "":
		known = externalKeys
	}
	for _, key := range s.given() {
		if !slices.Contains(known, key) {
			return fieldError(name, key, "this engine has no such key: use %s", list(known))
		}
	}
	return nil
}

// given are the keys that were written, sorted. A key with an empty value is as one left out.
func (s Spec) given() []string {
	var out []string
	v := reflect.ValueOf(s)
	for i := range v.NumField() {
		f := v.Field(i)
		if f.Kind() == reflect.Slice && !f.IsNil() || f.Kind() != reflect.Slice && !f.IsZero() {
			out = append(out, v.Type().Field(i).Tag.Get("yaml"))
		}
	}
	slices.Sort(out)
	return out
}

func fieldError(engine, field, format string, args ...any) error {
	return fmt.Errorf("engines.%s.%s: %s", engine, field, fmt.Sprintf(format, args...))
}
