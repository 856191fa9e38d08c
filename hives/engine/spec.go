package engine

import (
	"cmp"
	"fmt"
	"maps"
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
	Health       string            `yaml:"health"`
	HealthStatus int               `yaml:"health_status"`
	StartTimeout Duration          `yaml:"start_timeout"`
	StopGrace    Duration          `yaml:"stop_grace"`
	Models       []ModelSpec       `yaml:"models"`

	// Keys of builtin alone.
	Binary    string       `yaml:"binary"`
	Args      []string     `yaml:"args"`
	Slots     int          `yaml:"slots"`
	VRAMBytes device.Bytes `yaml:"vram_bytes"`
}

// ModelSpec is one model of an engine, as written.
type ModelSpec struct {
	Ref       string       `yaml:"ref"`
	Path      string       `yaml:"path"`
	VRAMBytes device.Bytes `yaml:"vram_bytes"`
	Slots     int          `yaml:"slots"`
	Context   int          `yaml:"context"`
}

// Keys that each kind of entry may have.
var (
	commonKeys  = []string{"env", "dir", "start_timeout", "stop_grace"}
	commandKeys = append([]string{"command", "api", "health", "health_status", "models"}, commonKeys...)
	builtinKeys = append([]string{"binary", "args", "slots", "vram_bytes"}, commonKeys...)
	modelKeys   = []string{"ref", "path", "vram_bytes", "slots", "context"}
)

// UnmarshalYAML is strict: a key that no engine has is an error that names it.
func (s *Spec) UnmarshalYAML(n *yaml.Node) error {
	if err := knownKeys(n, "an engine", append(slices.Clone(commandKeys), builtinKeys...)); err != nil {
		return err
	}
	type plain Spec // without this method
	return n.Decode((*plain)(s))
}

// UnmarshalYAML is strict, as Spec's.
func (m *ModelSpec) UnmarshalYAML(n *yaml.Node) error {
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
// builtin is our own rbee-worker, whose binary must be found; all others need a command.
func (s Spec) Definition(name string) (Definition, error) {
	d := Definition{
		Name: name, Command: slices.Clone(s.Command), Env: maps.Clone(s.Env), Dir: s.Dir,
		Health:       cmp.Or(s.Health, DefaultHealth),
		HealthStatus: cmp.Or(s.HealthStatus, DefaultHealthStatus),
		StartTimeout: cmp.Or(time.Duration(s.StartTimeout), DefaultStartTimeout),
		StopGrace:    cmp.Or(time.Duration(s.StopGrace), DefaultStopGrace),
	}
	if err := s.onlyKeysOf(name); err != nil {
		return Definition{}, err
	}
	if s.API != "" && s.API != "openai" {
		return Definition{}, fieldError(name, "api", "%.40q is not known: use openai, or leave it out", s.API)
	}
	if name == BuiltinName {
		return s.builtin(d)
	}
	for _, m := range s.Models {
		d.Models = append(d.Models, Model{Ref: m.Ref, Path: m.Path, VRAMBytes: int64(m.VRAMBytes),
			Slots: cmp.Or(m.Slots, DefaultSlots), Context: m.Context})
	}
	slices.SortStableFunc(d.Models, func(a, b Model) int { return cmp.Compare(a.Ref, b.Ref) })
	return d, d.Validate()
}

// onlyKeysOf refuses keys of the other kind of entry.
func (s Spec) onlyKeysOf(name string) error {
	set := map[string]bool{
		"command": s.Command != nil, "api": s.API != "", "health": s.Health != "",
		"health_status": s.HealthStatus != 0, "models": s.Models != nil,
	}
	known := builtinKeys
	if name != BuiltinName {
		known = commandKeys
		set = map[string]bool{"binary": s.Binary != "", "args": s.Args != nil, "slots": s.Slots != 0, "vram_bytes": s.VRAMBytes != 0}
	}
	for _, key := range slices.Sorted(maps.Keys(set)) {
		if set[key] {
			return fieldError(name, key, "this engine has no such key: use %s", list(known))
		}
	}
	return nil
}

func fieldError(engine, field, format string, args ...any) error {
	return fmt.Errorf("engines.%s.%s: %s", engine, field, fmt.Sprintf(format, args...))
}
