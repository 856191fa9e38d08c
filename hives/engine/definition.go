package engine

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Defaults of a definition.
const (
	DefaultHealth       = "/health"
	DefaultHealthStatus = 200
	DefaultStartTimeout = 5 * time.Minute
	DefaultStopGrace    = 10 * time.Second
	DefaultSlots        = 4

	// anyStatus as a HealthStatus: whatever it answers, it is ready.
	anyStatus = -1
)

// BuiltinName is the engine of our own rbee-worker, BuiltinModel the model it serves.
const (
	BuiltinName  = "builtin"
	BuiltinModel = "builtin/markov"
)

var (
	namePattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)
	refPattern  = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,255}$`)
)

// Definition is how to start workers of one engine. Values are taken as they are: make it with
// Spec.Definition or Builtin, or call Validate. It is not changed after that.
type Definition struct {
	Name string
	// Command is the argument vector, each element a text/template over Vars. No shell sees it.
	Command []string
	// Env is added to the agent's environment (without the agent's own RBEE_ variables); values
	// are templates like Command's.
	Env map[string]string
	// Dir is the working directory; empty for the agent's own.
	Dir string
	// Health is the path that answers HealthStatus when the model is loaded.
	Health       string
	HealthStatus int // below 0: any answer will do
	// StartTimeout bounds spawning to ready, StopGrace StopSignal to SIGKILL.
	StartTimeout time.Duration
	StopGrace    time.Duration
	StopSignal   syscall.Signal // asks a process to end; 0: SIGTERM
	Restart      Restart        // empty: always
	CrashLimit   CrashLimit     // zero: Options.Restarts
	Limits       Limits         // what its processes may take
	// StopCommand, if there is one, is run instead of sending StopSignal; it may use PID.
	StopCommand []string
	// Proxy is the template of the base URL that the engine is reached by; empty: its port on
	// loopback.
	Proxy string
	// External is set for a server that runs already: it is watched, never started or stopped.
	// There is no Command then, and Models is what it listed last.
	External *External
	// ModelName is the template of what `model` says in a request to the engine. Empty: what the
	// client wrote. A model that has a Name of its own goes by that.
	ModelName string
	library   *ollamaLibrary // lists the models of an Ollama; nil for others
	// Models are what this engine serves on this hive, sorted by Ref.
	Models []Model
}

// TakesFiles tells whether the engine is handed the file of its model, and so can serve any
// model of the catalog that names it.
func (d Definition) TakesFiles() bool {
	return d.mentions(".ModelPath")
}

// mentions tells whether a template of the command or the environment uses a field.
func (d Definition) mentions(field string) bool {
	uses := func(text string) bool { return strings.Contains(text, field) }
	return slices.ContainsFunc(d.Command, uses) || slices.ContainsFunc(slices.Collect(maps.Values(d.Env)), uses)
}

// Model is one model as an engine on this hive serves it.
type Model struct {
	Ref       string
	Name      string // what the engine calls it, if not as ModelName says
	Path      string // file or directory handed to the engine; empty if it needs none
	VRAMBytes int64  // memory a worker of it takes on its device
	Slots     int    // concurrent runs a worker of it holds
	Context   int    // tokens per slot, 0 when unknown
}

// Vars are the fields a command template may use.
type Vars struct {
	Model     string            // the model's ref
	Name      string            // what the engine calls it: its ref, if nothing else was said
	ModelPath string            // Model.Path
	Port      int               // loopback port picked for this start
	Addr      string            // 127.0.0.1:Port
	Slots     int               // concurrent runs
	Context   int               // tokens per slot
	Device    string            // device id
	Key       string            // API key made for this start
	Args      map[string]string // the desired worker's args
	PID       int               // of the process, for StopCommand alone
}
