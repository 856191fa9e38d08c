package engine

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"queen-rbee/hives/device"
)

const (
	// maxSwapFile bounds a llama-swap config.
	maxSwapFile = 4 << 20
	// What llama-swap takes for what its config does not say.
	swapSlots     = 10
	swapStart     = 120 * time.Second
	swapMinStart  = 15 * time.Second
	swapGrace     = 10 * time.Second
	swapPort      = 5800
	swapPorts     = 1000 // of ours, from startPort on
	swapNoCheck   = "none"
	swapMetaBytes = "vram_bytes" // our own key under a model's metadata
)

// Swap is what a llama-swap config says of its models.
type Swap struct {
	Engines []Definition // one for each model, sorted by name
	Ports   PortRange    // from startPort on
	// Warnings name what is not done here, for people.
	Warnings []string
	// Catalog is what belongs into the cluster's catalog, as `rbee-keeper apply` reads it: the
	// names and the idle time of each model that has any. Empty when none has.
	Catalog []byte
}

// swapFile is the part of the file that is honoured. Other keys of llama-swap are listed.
type swapFile struct {
	HealthCheckTimeout int                  `yaml:"healthCheckTimeout"`
	StartPort          int                  `yaml:"startPort"`
	GlobalTTL          int                  `yaml:"globalTTL"`
	Macros             yaml.Node            `yaml:"macros"`
	Models             map[string]yaml.Node `yaml:"models"`
	Other              map[string]yaml.Node `yaml:",inline"`
}

type swapModel struct {
	Cmd              string               `yaml:"cmd"`
	CmdStop          string               `yaml:"cmdStop"`
	Proxy            string               `yaml:"proxy"`
	CheckEndpoint    string               `yaml:"checkEndpoint"`
	TTL              *int                 `yaml:"ttl"`
	Aliases          []swapAlias          `yaml:"aliases"`
	Env              []string             `yaml:"env"`
	ConcurrencyLimit int                  `yaml:"concurrencyLimit"`
	UseModelName     string               `yaml:"useModelName"`
	Macros           yaml.Node            `yaml:"macros"`
	Metadata         map[string]yaml.Node `yaml:"metadata"`
	Other            map[string]yaml.Node `yaml:",inline"`
}

// swapAlias is an alias as a text, or as a mapping with an id.
type swapAlias string

// UnmarshalYAML reads either.
func (a *swapAlias) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		*a = swapAlias(n.Value)
		return nil
	}
	var m struct {
		ID string `yaml:"id"`
	}
	err := n.Decode(&m)
	*a = swapAlias(m.ID)
	return err
}

// Keys of a model that only dress llama-swap's own pages and logs, or that a gateway of ours
// does in its own way. All others that are not honoured change what an engine does or is sent.
var swapDress = []string{"name", "description", "unlisted", "sendLoadingState", "timeouts", "unloadTimeout"}

// LlamaSwap reads the `models` section of a llama-swap config. What it cannot honour there is an
// error that names the key.
func LlamaSwap(path string) (Swap, error) {
	f, err := os.Open(path)
	if err != nil {
		return Swap{}, err
	}
	defer f.Close()
	text, err := readAtMost(f, maxSwapFile+1)
	if err == nil && len(text) > maxSwapFile {
		err = fmt.Errorf("has more than %d MiB", maxSwapFile>>20)
	}
	if err != nil {
		return Swap{}, fmt.Errorf("%s: %w", path, err)
	}
	swap, err := parseSwap(text)
	if err != nil {
		return Swap{}, fmt.Errorf("%s: %w", path, err)
	}
	return swap, nil
}

func parseSwap(text []byte) (Swap, error) {
	var file swapFile
	if err := yaml.NewDecoder(bytes.NewReader(text)).Decode(&file); err != nil && !errors.Is(err, io.EOF) {
		return Swap{}, fmt.Errorf("%.300s", strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if len(file.Models) == 0 {
		return Swap{}, errors.New("models: missing: a llama-swap config lists its models there")
	}
	low := cmp.Or(file.StartPort, swapPort)
	if low < 1 || low > 65535 {
		return Swap{}, fmt.Errorf("startPort: %d: use 1 to 65535", low)
	}
	out := Swap{Ports: PortRange{low, min(low+swapPorts-1, 65535)}}
	if other := keys(file.Other); len(other) > 0 {
		out.Warnings = append(out.Warnings, "of a llama-swap config only models, macros, startPort, healthCheckTimeout and globalTTL are used: the cluster decides what runs beside what; not used: "+strings.Join(other, ", "))
	}
	global, err := macros{}.with(&file.Macros)
	if err != nil {
		return Swap{}, err
	}
	var catalog []swapEntry
	for _, id := range keys(file.Models) {
		n := file.Models[id]
		m := swapModel{}
		if err := n.Decode(&m); err != nil {
			return Swap{}, fmt.Errorf("models.%.70s: %.300s", id, strings.TrimPrefix(err.Error(), "yaml: "))
		}
		s, err := m.read(id, global, file)
		if err != nil {
			return Swap{}, fmt.Errorf("models.%.70s.%w", id, err)
		}
		if err := out.add(s); err != nil {
			return Swap{}, err
		}
		if entry := m.entry(s.Models[0].Ref, file.GlobalTTL); entry.says() {
			catalog = append(catalog, entry)
		}
		out.Warnings = append(out.Warnings, m.warnings(id, s)...)
	}
	if len(catalog) > 0 {
		out.Catalog, err = yaml.Marshal(map[string]any{"models": catalog})
	}
	return out, err
}

func keys[V any](m map[string]V) []string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// add makes the engine of a model. Its name is that of the model, as far as a name can be.
func (s *Swap) add(spec Spec) error {
	name := strings.Map(func(r rune) rune {
		if strings.ContainsRune(":/@+", r) {
			return '-'
		}
		return r
	}, spec.Models[0].Ref)
	name = name[:min(len(name), 60)]
	base := name
	for n := 2; slices.ContainsFunc(s.Engines, func(d Definition) bool { return d.Name == name }); n++ {
		name = fmt.Sprintf("%s-%d", base, n)
	}
	d, err := spec.define(name)
	s.Engines = append(s.Engines, d)
	return err
}

// read makes of a model what an entry of `engines:` would say.
func (m swapModel) read(id string, global macros, file swapFile) (Spec, error) {
	own, err := global.with(&m.Macros)
	if err != nil {
		return Spec{}, fmt.Errorf("macros: %w", err)
	}
	own["MODEL_ID"] = id
	for _, key := range keys(m.Other) {
		if !slices.Contains(swapDress, key) {
			return Spec{}, fmt.Errorf("%s: is not done here, and the model would answer differently without it: take it out of the file for this hive", key)
		}
	}
	s := Spec{StopGrace: Duration(swapGrace), StartTimeout: Duration(swapStart), Slots: cmp.Or(m.ConcurrencyLimit, swapSlots), Env: map[string]string{}}
	if file.HealthCheckTimeout > 0 {
		s.StartTimeout = Duration(max(swapMinStart, time.Duration(file.HealthCheckTimeout)*time.Second))
	}
	if s.Command, err = own.command(m.Cmd); err != nil || len(s.Command) == 0 {
		return s, fmt.Errorf("cmd: %w", cmp.Or(err, errors.New("missing: give the command that starts the server")))
	}
	if s.StopCommand, err = own.command(m.CmdStop); err != nil {
		return s, fmt.Errorf("cmdStop: %w", err)
	}
	if err := m.address(&s, own); err != nil {
		return s, err
	}
	for _, kv := range m.Env {
		text, err := own.expand(kv)
		name, value, ok := strings.Cut(text, "=")
		if err != nil || !ok {
			return s, fmt.Errorf("env: %w", cmp.Or(err, fmt.Errorf("%.70q: write NAME=value", kv)))
		}
		s.Env[name] = portTemplate(value)
	}
	useName, err := own.expand(m.UseModelName)
	if err != nil {
		return s, fmt.Errorf("useModelName: %w", err)
	}
	s.Models = []ModelSpec{{Ref: cleanRef(id), Name: useName, Slots: m.ConcurrencyLimit}}
	if useName == "" && s.Models[0].Ref != id {
		s.Models[0].Name = id
	}
	s.Models[0].VRAMBytes, err = m.memory(s.Command)
	return s, err
}

// address says where the server listens, and what of it tells that it is ready.
func (m swapModel) address(s *Spec, own macros) (err error) {
	proxy, err := own.expand(m.Proxy)
	if err != nil {
		return fmt.Errorf("proxy: %w", err)
	}
	if s.Proxy = portTemplate(proxy); proxy == "" && !slices.ContainsFunc(s.Command, func(arg string) bool { return strings.Contains(arg, "{{.Port}}") }) {
		return errors.New("proxy: missing: cmd does not use ${PORT}, so say where the server listens")
	}
	switch check, err := own.expand(m.CheckEndpoint); {
	case err != nil:
		return fmt.Errorf("checkEndpoint: %w", err)
	case check == swapNoCheck:
		s.Health, s.HealthStatus = "/", anyStatus
	default:
		s.Health = check
	}
	return nil
}

// memory is what a worker takes: as metadata says, else by the size of the file that is loaded.
func (m swapModel) memory(command []string) (device.Bytes, error) {
	if n, said := m.Metadata[swapMetaBytes]; said {
		var size device.Bytes
		if err := n.Decode(&size); err != nil {
			return 0, fmt.Errorf("metadata.%s: %w", swapMetaBytes, err)
		}
		return size, nil
	}
	for i, arg := range command {
		path, joined := strings.CutPrefix(arg, "--model=")
		if !joined && (arg == "-m" || arg == "--model") && i+1 < len(command) {
			path, joined = command[i+1], true
		}
		if info, err := os.Stat(path); joined && err == nil && info.Mode().IsRegular() {
			return device.Bytes(info.Size() + info.Size()/5 + ollamaSpare), nil
		}
	}
	return 0, nil
}

// command splits a command and makes templates of its words.
func (m macros) command(text string) ([]string, error) {
	text, err := m.expand(text)
	if err != nil {
		return nil, err
	}
	words, err := splitWords(text)
	for i := range words {
		words[i] = portTemplate(words[i])
	}
	return words, err
}

// portTemplate makes a template of a text in which ${PORT} and ${PID} may stand.
func portTemplate(text string) string {
	var out strings.Builder
	for text != "" {
		at := strings.Index(text, "${P")
		port, pid := strings.HasPrefix(text[max(at, 0):], "${PORT}"), strings.HasPrefix(text[max(at, 0):], "${PID}")
		switch {
		case at < 0:
			out.WriteString(literal(text))
			return out.String()
		case port:
			out.WriteString(literal(text[:at]) + "{{.Port}}")
			text = text[at+len("${PORT}"):]
		case pid:
			out.WriteString(literal(text[:at]) + "{{.PID}}")
			text = text[at+len("${PID}"):]
		default:
			out.WriteString(literal(text[:at+3]))
			text = text[at+3:]
		}
	}
	return out.String()
}

// swapEntry is a model of the catalog as far as a llama-swap config knows it.
type swapEntry struct {
	Ref     string   `yaml:"ref"`
	Aliases []string `yaml:"aliases,omitempty"`
	IdleTTL string   `yaml:"idle_ttl,omitempty"`
}

func (e swapEntry) says() bool { return len(e.Aliases) > 0 || e.IdleTTL != "" }

func (m swapModel) entry(ref string, globalTTL int) swapEntry {
	e := swapEntry{Ref: ref}
	for _, a := range m.Aliases {
		if alias := cleanRef(string(a)); alias != ref {
			e.Aliases = append(e.Aliases, alias)
		}
	}
	ttl := globalTTL
	if m.TTL != nil && *m.TTL >= 0 {
		ttl = *m.TTL
	}
	if ttl > 0 {
		e.IdleTTL = (time.Duration(ttl) * time.Second).String()
	}
	return e
}

// warnings say what of a model is done differently here.
func (m swapModel) warnings(id string, s Spec) (out []string) {
	if s.Models[0].VRAMBytes == 0 {
		out = append(out, fmt.Sprintf("models.%.70s: what memory it takes is not known, so it is taken to fit beside all others: say metadata.%s, or vram_bytes in the catalog", id, swapMetaBytes))
	}
	return out
}
