package engine

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"syscall"
	"time"

	"go.yaml.in/yaml/v3"
)

// Restart says after which ends a process is started again.
type Restart string

// What may be said.
const (
	RestartAlways    Restart = "always"
	RestartOnFailure Restart = "on-failure" // not after it ended by itself with status 0
	RestartNever     Restart = "never"
)

// CrashLimit is how often a worker's process may end before the worker has failed: Exits times
// within Within.
type CrashLimit struct {
	Exits  int      `yaml:"exits"`
	Within Duration `yaml:"within"`
}

// UnmarshalYAML is strict, as Spec's.
func (c *CrashLimit) UnmarshalYAML(n *yaml.Node) error {
	if err := knownKeys(n, "a crash limit", []string{"exits", "within"}); err != nil {
		return err
	}
	type plain CrashLimit
	return n.Decode((*plain)(c))
}

// signals are those a process may be asked to stop by.
var signals = map[string]syscall.Signal{
	"SIGTERM": syscall.SIGTERM, "SIGINT": syscall.SIGINT, "SIGQUIT": syscall.SIGQUIT, "SIGHUP": syscall.SIGHUP,
	"SIGUSR1": syscall.SIGUSR1, "SIGUSR2": syscall.SIGUSR2, "SIGKILL": syscall.SIGKILL,
}

// policy fills in how a process is ended and started again.
func (s Spec) policy(d *Definition) error {
	name := strings.ToUpper(s.StopSignal)
	if !strings.HasPrefix(name, "SIG") {
		name = "SIG" + name
	}
	sig, known := signals[name]
	switch {
	case s.StopSignal != "" && !known:
		return fieldError(d.Name, "stop_signal", "%.40q: use one of %s", s.StopSignal, list(slices.Collect(maps.Keys(signals))))
	case s.Restart != "" && s.Restart != RestartAlways && s.Restart != RestartOnFailure && s.Restart != RestartNever:
		return fieldError(d.Name, "restart", "%.40q: use %s, %s or %s", string(s.Restart), RestartAlways, RestartOnFailure, RestartNever)
	case s.CrashLimit != nil && (s.CrashLimit.Exits < 1 || s.CrashLimit.Within <= 0):
		return fieldError(d.Name, "crash_limit", "use 1 or more exits within a time, such as {exits: 4, within: 10m}")
	}
	d.StopSignal, d.Restart = sig, s.Restart
	if s.CrashLimit != nil {
		d.CrashLimit = *s.CrashLimit
	}
	return nil
}

// stopSignal is what asks a process to end.
func (d Definition) stopSignal() syscall.Signal {
	if d.StopSignal == 0 {
		return syscall.SIGTERM
	}
	return d.StopSignal
}

// limits are the restarts allowed, and within which time. A server that others restart as often
// as they like is given up only when it stays away.
func (d Definition) limits(o Options) (restarts int, window time.Duration) {
	if d.External != nil {
		return math.MaxInt, o.RestartWindow
	}
	if d.CrashLimit.Exits > 0 {
		return d.CrashLimit.Exits - 1, time.Duration(d.CrashLimit.Within)
	}
	return max(0, o.Restarts), o.RestartWindow
}

// again tells whether a process is to be started again after such an end; why not if not.
func (d Definition) again(v verdict) (why string, ok bool) {
	switch {
	case v.final:
		return v.why, false
	case d.Restart == RestartNever:
		return fmt.Sprintf("%s; it is never started again (restart: %s)", v.why, RestartNever), false
	case d.Restart == RestartOnFailure && v.clean:
		return fmt.Sprintf("%s; it is started again only after a failure (restart: %s)", v.why, RestartOnFailure), false
	}
	return "", true
}
