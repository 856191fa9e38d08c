package main

import (
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/pflag"

	"queen-rbee/cmd/internal/settings"
	"queen-rbee/cmd/internal/version"
	"queen-rbee/hives/agent"
	"queen-rbee/hives/engine"
)

// Serve is a hive's agent as a program. Use it in the order ParseFlags, Validate, Run.
type Serve struct {
	Options  Options
	Sections Sections
	Agent    *agent.Agent // set by Validate

	ports   engine.PortRange
	swap    engine.Swap
	missing []string // programs of ready engines that are not here

	flags  *pflag.FlagSet
	src    settings.Sources
	stderr io.Writer
}

// NewServe makes the program; its log goes to stderr.
func NewServe(stderr io.Writer) *Serve {
	s := &Serve{stderr: stderr}
	s.flags = s.Options.flags()
	return s
}

// Usage lists the flags.
func (s *Serve) Usage() string {
	return "rbee-hive serve runs the agent of one machine with engines.\n\nUsage: rbee-hive serve [flags]\n\n" + s.flags.FlagUsages()
}

// ParseFlags reads flags, environment and config file.
func (s *Serve) ParseFlags(args []string) error {
	if err := s.flags.Parse(args); err != nil {
		return err
	}
	if s.Options.Version {
		return nil
	}
	if s.flags.NArg() > 0 {
		return &settings.Error{Where: s.flags.Arg(0), Problem: "rbee-hive serve takes flags only"}
	}
	var err error
	s.src, err = settings.Load(s.flags, &s.Sections)
	return err
}

// Validate checks everything that can be checked before the agent runs, and makes it.
func (s *Serve) Validate() error {
	o := &s.Options
	level := hclog.LevelFromString(o.LogLevel)
	if level == hclog.NoLevel {
		return s.src.Errorf("log-level", "is %q; it must be trace, debug, info, warn or error", o.LogLevel)
	}
	for name, d := range map[string]time.Duration{
		"start-timeout": o.StartTimeout, "offline-after": o.OfflineAfter, "retain-runs": o.RetainRuns} {
		if d <= 0 {
			return s.src.Errorf(name, "is %v; it must be more than 0, such as 30s", d)
		}
	}
	for name, d := range map[string]time.Duration{"drain-timeout": o.DrainTimeout,
		"engine-first-token-timeout": o.FirstToken, "engine-inter-token-timeout": o.InterToken} {
		if d < 0 {
			return s.src.Errorf(name, "is %v; it must not be negative", d)
		}
	}
	var err error
	if s.ports, err = engine.ParsePorts(o.PortRange); err != nil {
		return s.src.Errorf("port-range", "%v", err)
	}
	if problem := s.Sections.Models.validate(); problem != "" {
		return errors.New(problem)
	}
	if o.Cgroup != "" {
		if err := engine.CheckCgroup(o.Cgroup); err != nil {
			return s.src.Errorf("cgroup", "%v", err)
		}
	}
	engines, noEngines := s.engines()
	if o.PrintModels {
		return noEngines
	}
	s.Agent, err = agent.New(s.config(engines, level))
	if bad, ok := errors.AsType[*agent.FieldError](err); ok {
		switch {
		case bad.Field == "engines" && noEngines != nil:
			return noEngines
		case s.flags.Lookup(bad.Field) != nil:
			return s.src.Errorf(bad.Field, "%s", bad.Problem)
		}
	}
	return err
}

func (s *Serve) config(engines []engine.Definition, level hclog.Level) agent.Config {
	o := &s.Options
	logger := hclog.New(&hclog.LoggerOptions{Name: "hive", Level: level, Output: s.stderr})
	for _, d := range engines {
		logger.Info("engine offered", "engine", d.Name, "takes_files", d.TakesFiles(), "models", len(d.Models))
	}
	for _, text := range s.swap.Warnings {
		logger.Warn(text)
	}
	if len(s.swap.Catalog) > 0 {
		logger.Warn("aliases and ttl of the llama-swap config belong into the cluster's catalog: run this command with --print-models, and give what it prints to rbee-keeper apply")
	}
	if len(s.missing) > 0 {
		logger.Info("ready engines are not offered whose programs are not on PATH", "programs", s.missing)
	}
	return agent.Config{
		ID: o.ID, Addr: o.Addr, AdvertiseURL: o.AdvertiseURL, Queens: o.Queens, Token: o.Token, DataDir: o.DataDir,
		Version: version.Short(), Labels: s.Sections.Labels, Devices: s.Sections.Devices, Engines: engines, Ports: s.ports, Cgroup: o.Cgroup,
		Models:     s.Sections.Models.options(o.ModelsDir),
		RetainRuns: o.RetainRuns, OfflineAfter: o.OfflineAfter,
		DrainTimeout: zeroIsNone(o.DrainTimeout), FirstToken: zeroIsNone(o.FirstToken), InterToken: zeroIsNone(o.InterToken), MaxTokens: o.MaxTokens,
		Logger: logger,
	}
}

// zeroIsNone turns a person's 0 into what package agent takes for none; its own 0 is the default.
func zeroIsNone(d time.Duration) time.Duration {
	if d == 0 {
		return -1
	}
	return d
}

// engines makes the definitions of the file; without any, the hive offers the built-in engine.
func (s *Serve) engines() ([]engine.Definition, error) {
	specs := maps.Clone(s.Sections.Engines)
	if specs == nil {
		specs = map[string]engine.Spec{}
	}
	if err := s.external(specs); err != nil {
		return nil, err
	}
	found, missing, err := engine.Found(specs)
	if err != nil {
		return nil, err
	}
	s.missing = missing
	if len(specs) == 0 && s.Options.LlamaSwap == "" {
		specs[engine.BuiltinName] = engine.Spec{}
	}
	var out []engine.Definition
	for _, name := range slices.Sorted(maps.Keys(specs)) {
		spec := specs[name]
		if spec.StartTimeout == 0 && s.src.Given("start-timeout") {
			spec.StartTimeout = engine.Duration(s.Options.StartTimeout)
		}
		d, err := spec.Definition(name)
		if err != nil {
			return nil, err
		}
		if d.Limits != (engine.Limits{}) && s.Options.Cgroup == "" {
			return nil, s.src.Errorf("cgroup", "is missing: the limits of engine %s are kept in a cgroup v2 directory, such as /sys/fs/cgroup/rbee", name)
		}
		out = append(out, d)
	}
	return s.llamaSwap(append(out, found...))
}

// llamaSwap adds the engines of --llama-swap.
func (s *Serve) llamaSwap(to []engine.Definition) ([]engine.Definition, error) {
	if s.Options.LlamaSwap == "" {
		return to, nil
	}
	var err error
	if s.swap, err = engine.LlamaSwap(s.Options.LlamaSwap); err != nil {
		return nil, s.src.Errorf("llama-swap", "%v", err)
	}
	for _, d := range s.swap.Engines {
		if slices.ContainsFunc(to, func(had engine.Definition) bool { return had.Name == d.Name }) {
			return nil, s.src.Errorf("llama-swap", "%s: its model %s would be the engine %s, which is there already: rename one", s.Options.LlamaSwap, d.Models[0].Ref, d.Name)
		}
	}
	if !s.src.Given("port-range") {
		s.ports = s.swap.Ports
	}
	return append(to, s.swap.Engines...), nil
}

// external adds the servers of --external.
func (s *Serve) external(to map[string]engine.Spec) error {
	for _, text := range s.Options.External {
		name, spec, err := engine.ParseExternal(text)
		if err != nil {
			return s.src.Errorf("external", "%v", err)
		}
		if _, taken := to[name]; taken {
			return s.src.Errorf("external", "there is an engine %s already: give this one a name of its own, as in %s-2=%s", name, name, spec.URL)
		}
		spec.APIKeyEnv = s.Options.ExternalKey
		to[name] = spec
	}
	return nil
}

// Models is what --print-models prints.
func (s *Serve) Models() string { return string(s.swap.Catalog) }

// Run runs the agent until gentle ends (an orderly stop), hard ends (a quick one), or it
// cannot go on.
func (s *Serve) Run(hard, gentle context.Context) error {
	defer context.AfterFunc(gentle, s.Agent.Stop)()
	return s.Agent.Run(hard)
}
