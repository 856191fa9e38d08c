package main

import (
	"math"
	"net"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/pflag"

	"queen-rbee/cmd/internal/settings"
	"queen-rbee/cmd/rbee-worker/internal/engine"
)

// Limits of what a worker may be told.
const (
	maxSlots   = 1024
	maxContext = 1 << 20
)

// Options is what a worker is told.
type Options struct {
	Addr            string
	Model           string
	ModelPath       string
	Slots           int
	Context         int
	TokensPerSecond float64
	LoadDelay       time.Duration
	DieAfter        int64
	HangAfter       int64
	ErrorAfter      int64
	HealthFail      bool
	StartExit       int
	LogLevel        string
	Version         bool
}

// flags binds the options. Each is also RBEE_WORKER_ and its name in capitals.
func (o *Options) flags() *pflag.FlagSet {
	f := pflag.NewFlagSet("rbee-worker", pflag.ContinueOnError)
	f.SortFlags = false
	f.Usage = func() {}
	f.StringVar(&o.Addr, "addr", "127.0.0.1:0", "address to listen on; port 0 takes a free one and logs it")
	f.StringVar(&o.Model, "model", "builtin/markov", "name the model is served under")
	f.StringVar(&o.ModelPath, "model-path", "", "text file to learn from instead of the built-in text")
	f.IntVar(&o.Slots, "slots", 1, "requests that run at the same time; others wait")
	f.IntVar(&o.Context, "context", 8192, "tokens of prompt and text together that a slot holds")
	f.Float64Var(&o.TokensPerSecond, "tokens-per-second", 0, "pace of every text; 0 is as fast as possible")
	f.DurationVar(&o.LoadDelay, "load-delay", 0, "time the model takes to load, at least")
	f.Int64Var(&o.DieAfter, "fault-die-after", engine.Off, "fault: the process dies after so many tokens in total")
	f.Int64Var(&o.HangAfter, "fault-hang-after", engine.Off, "fault: streams fall silent after so many tokens in total")
	f.Int64Var(&o.ErrorAfter, "fault-error-after", engine.Off, "fault: requests fail after so many tokens in total")
	f.BoolVar(&o.HealthFail, "fault-health-fail", false, "fault: /health answers 500")
	f.IntVar(&o.StartExit, "fault-start-exit", engine.Off, "fault: exit with this code instead of starting")
	f.StringVar(&o.LogLevel, "log-level", "info", "trace, debug, info, warn or error")
	f.BoolVar(&o.Version, "version", false, "print the version and exit")
	f.VisitAll(func(one *pflag.Flag) {
		settings.Env(f, one.Name, "RBEE_WORKER_"+strings.ToUpper(strings.ReplaceAll(one.Name, "-", "_")))
	})
	return f
}

// check names the first option that cannot be used, and where it came from.
func (o *Options) check(src settings.Sources) error {
	if _, _, err := net.SplitHostPort(o.Addr); err != nil {
		return src.Errorf("addr", "%q is not an address: give host:port, e.g. 127.0.0.1:0", o.Addr)
	}
	if o.Model == "" || len(o.Model) > 256 {
		return src.Errorf("model", "has %d bytes; give a name of 1 to 256", len(o.Model))
	}
	if o.Slots < 1 || o.Slots > maxSlots {
		return src.Errorf("slots", "is %d; it must be from 1 to %d", o.Slots, maxSlots)
	}
	if o.Context < 2 || o.Context > maxContext {
		return src.Errorf("context", "is %d; it must be from 2 to %d", o.Context, maxContext)
	}
	if !(o.TokensPerSecond >= 0) || math.IsInf(o.TokensPerSecond, 0) {
		return src.Errorf("tokens-per-second", "is %g; it must be 0 or more", o.TokensPerSecond)
	}
	if o.LoadDelay < 0 {
		return src.Errorf("load-delay", "is %s; it must be 0 or more", o.LoadDelay)
	}
	for _, fault := range []struct {
		flag  string
		value int64
	}{{"fault-die-after", o.DieAfter}, {"fault-hang-after", o.HangAfter}, {"fault-error-after", o.ErrorAfter}} {
		if fault.value < engine.Off {
			return src.Errorf(fault.flag, "is %d; it must be a number of tokens, or -1 for never", fault.value)
		}
	}
	if o.StartExit < engine.Off || o.StartExit > 255 {
		return src.Errorf("fault-start-exit", "is %d; it must be an exit code from 0 to 255, or -1 for none", o.StartExit)
	}
	if hclog.LevelFromString(o.LogLevel) == hclog.NoLevel {
		return src.Errorf("log-level", "is %q; it must be trace, debug, info, warn or error", o.LogLevel)
	}
	return nil
}
