package main

import (
	"os"
	"time"

	"github.com/spf13/pflag"

	"queen-rbee/cmd/internal/settings"
	"queen-rbee/hives/agent"
	"queen-rbee/hives/device"
	"queen-rbee/hives/engine"
)

// Options is what a hive's agent is told by flags, environment or file.
type Options struct {
	ID           string
	Addr         string
	AdvertiseURL string
	Queens       []string
	Token        string
	DataDir      string
	ModelsDir    string
	LogLevel     string
	RetainRuns   time.Duration
	StartTimeout time.Duration
	OfflineAfter time.Duration
	DrainTimeout time.Duration
	FirstToken   time.Duration
	InterToken   time.Duration
	MaxTokens    int
	External     []string
	ExternalKey  string
	LlamaSwap    string
	PrintModels  bool
	PortRange    string
	Cgroup       string
	Version      bool
}

// Sections are the parts of the config file that are no flags.
type Sections struct {
	Engines map[string]engine.Spec `yaml:"engines"`
	Devices []device.Declared      `yaml:"devices"`
	Labels  map[string]string      `yaml:"labels"`
	Models  Models                 `yaml:"models"`
}

// flags binds the options. Each is also a key of the config file and a variable RBEE_... .
func (o *Options) flags() *pflag.FlagSet {
	f := pflag.NewFlagSet("rbee-hive serve", pflag.ContinueOnError)
	f.SortFlags = false
	f.Usage = func() {}
	host, _ := os.Hostname() // empty: then --id must be given
	f.StringVar(&o.ID, "id", host, "id of this hive, its own in the cluster and the same over all starts")
	f.StringVar(&o.Addr, "addr", "0.0.0.0:7835", "address to listen on; port 0 takes a free one and logs it")
	f.StringVar(&o.AdvertiseURL, "advertise-url", "", "URL at which queens reach this hive; made from --addr when left out")
	f.StringSliceVar(&o.Queens, "queen", nil, "URL of a queen, such as http://10.0.0.1:7833 (repeat, or separate by commas); the hive learns of the others from it")
	f.StringVar(&o.Token, "token", "", "hive token of the cluster")
	f.StringVar(&o.DataDir, "data-dir", "", "directory for state, run logs and engine logs")
	f.StringVar(&o.ModelsDir, "models-dir", "", "directory for models of the cluster's catalog; models in --data-dir when left out")
	f.StringVar(&o.LlamaSwap, "llama-swap", "", "config file of llama-swap whose models are engines of this hive")
	f.BoolVar(&o.PrintModels, "print-models", false, "print what --llama-swap says of models that belongs into the cluster's catalog (aliases, ttl), for rbee-keeper apply, and exit")
	f.StringVar(&o.PortRange, "port-range", "", "loopback ports for engines, such as 20000-20999; the system's choice when left out")
	f.StringVar(&o.Cgroup, "cgroup", "", "cgroup v2 directory, writable for this hive and without processes, in which engines with limits get groups of their own")
	settings.ConfigFlag(f)
	f.StringSliceVar(&o.External, "external", nil, "an OpenAI server that runs already, as URL or NAME=URL (repeat, or separate by commas); its models are read from it")
	f.StringVar(&o.ExternalKey, "external-key-env", "", "name of the environment variable with the API key for the servers of --external")
	f.StringVar(&o.LogLevel, "log-level", "info", "trace, debug, info, warn or error")
	f.DurationVar(&o.RetainRuns, "retain-runs", time.Hour, "how long the output of ended runs stays readable")
	f.DurationVar(&o.StartTimeout, "start-timeout", engine.DefaultStartTimeout, "how long an engine may take to become ready, unless its entry says otherwise")
	f.DurationVar(&o.OfflineAfter, "offline-after", agent.DefaultOfflineAfter, "silence after which the queens call a hive offline; as they are told")
	f.DurationVar(&o.DrainTimeout, "drain-timeout", agent.DefaultDrainTimeout, "how long SIGTERM waits for runs; 0s does not wait")
	f.DurationVar(&o.FirstToken, "engine-first-token-timeout", engine.DefaultFirstToken, "request to first token; 0s for no limit")
	f.IntVar(&o.MaxTokens, "engine-max-tokens", 0, "most tokens of an answer where the request has no max_tokens and the engine does not tell its context; 0 leaves it to the engine")
	f.DurationVar(&o.InterToken, "engine-inter-token-timeout", engine.DefaultInterToken, "from one chunk to the next; 0s for no limit")
	f.BoolVar(&o.Version, "version", false, "print the version and exit")
	settings.Env(f, "queen", "RBEE_QUEENS")
	return f
}
