package engine

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/template"
)

// Names of environment variables put into an engine's process, so that FindOrphans can know it.
const (
	envMark   = "RBEE_ENGINE_MARK"
	envWorker = "RBEE_ENGINE_WORKER"
)

const (
	maxArgs     = 1000
	maxArgBytes = 64 << 10
)

// functions are what a template may use beside those of text/template.
var functions = template.FuncMap{
	"add": func(a, b int) int { return a + b },
	"mul": func(a, b int) int { return a * b },
}

// render fills in a template. An error does not name the template: the caller knows the field.
func render(text string, v Vars) (string, error) {
	t, err := template.New("").Option("missingkey=error").Funcs(functions).Parse(text)
	if err != nil {
		return "", err
	}
	var out strings.Builder
	err = t.Execute(&bounded{w: &out, left: maxArgBytes}, v)
	return out.String(), err
}

// Digest tells launches apart: two of the same digest give the same process but for port and
// key. What a process inherits from its agent is not in it.
func (l Launch) Digest() (string, error) {
	v := l.vars(1, "key")
	if x := l.Definition.External; x != nil {
		return fmt.Sprintf("%x", sha256.Sum256([]byte(l.ID+"\x00"+x.URL+"\x00"+l.Model.Name))), nil
	}
	argv, err := l.Definition.argv(v)
	if err != nil {
		return "", err
	}
	env := make(map[string]string, len(l.Definition.Env))
	for name, text := range l.Definition.Env {
		if env[name], err = render(text, v); err != nil {
			return "", err
		}
	}
	parts := []any{l.ID, l.Model.Ref, l.Device, v.Slots, argv, env, l.Definition.Dir}
	if d := l.Definition; d.Proxy != "" || d.Limits != (Limits{}) {
		parts = append(parts, d.Proxy, d.Limits)
	}
	text, err := json.Marshal(parts)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%x", sha256.Sum256(text)), nil
}

// literal makes a template of s that renders to s.
func literal(s string) string {
	if !strings.Contains(s, "{{") {
		return s
	}
	return fmt.Sprintf("{{%q}}", s)
}

// argv renders the command. An element with a template that renders to nothing is left out, so
// that {{with index .Args "x"}}--x={{.}}{{end}} is an optional flag.
func (d Definition) argv(v Vars) ([]string, error) {
	return d.arguments("command", d.Command, v)
}

// arguments renders an argument vector of the config's key.
func (d Definition) arguments(key string, templates []string, v Vars) ([]string, error) {
	var out []string
	for i, text := range templates {
		s, err := render(text, v)
		if err != nil {
			return nil, fieldError(d.Name, fmt.Sprintf("%s[%d]", key, i), "%v", err)
		}
		if strings.ContainsRune(s, 0) {
			return nil, fieldError(d.Name, fmt.Sprintf("%s[%d]", key, i), "holds a zero byte")
		}
		if s != "" || text == "" {
			out = append(out, s)
		}
	}
	if len(out) == 0 || out[0] == "" {
		return nil, fieldError(d.Name, key, "is empty: give the program and its arguments")
	}
	return out, nil
}

// environ is the agent's environment without what is ours (its tokens are not the engine's
// business), then what holds it to its device, then the definition's, then the marks: of one
// name the last counts. As in argv, what a template renders to nothing is left out.
func (d Definition) environ(v Vars, device []string, mark, worker string) ([]string, error) {
	env := slices.DeleteFunc(os.Environ(), func(kv string) bool { return strings.HasPrefix(kv, "RBEE_") })
	env = append(env, device...)
	for name, text := range d.Env {
		s, err := render(text, v)
		if err != nil {
			return nil, fieldError(d.Name, "env."+name, "%v", err)
		}
		if strings.ContainsRune(s, 0) {
			return nil, fieldError(d.Name, "env."+name, "holds a zero byte")
		}
		if s != "" || text == "" {
			env = append(env, name+"="+s)
		}
	}
	return append(env, envMark+"="+mark, envWorker+"="+worker), nil
}

// Validate reports the first thing wrong with d, naming the field and the fix.
func (d Definition) Validate() error {
	switch {
	case !namePattern.MatchString(d.Name):
		return fmt.Errorf("engines: %.70q: name an engine with 1 to 64 letters, digits and . _ -", d.Name)
	case d.External != nil && len(d.Command) > 0:
		return fieldError(d.Name, "url", "an engine that runs already has no command: leave one of the two out")
	case d.External == nil && len(d.Command) == 0:
		return fieldError(d.Name, "command", `missing: give a list such as [llama-server, -m, "{{.ModelPath}}", --port, "{{.Port}}"]`)
	case len(d.Command) > maxArgs:
		return fieldError(d.Name, "command", "has %d elements, at most %d are allowed", len(d.Command), maxArgs)
	case !strings.HasPrefix(d.Health, "/") || strings.ContainsAny(d.Health, " \t\r\n"):
		return fieldError(d.Name, "health", "%.80q is not a path: use one such as /health", d.Health)
	case d.HealthStatus != anyStatus && (d.HealthStatus < 200 || d.HealthStatus > 599):
		return fieldError(d.Name, "health_status", "%d: use an HTTP status, such as 200", d.HealthStatus)
	case d.StartTimeout <= 0:
		return fieldError(d.Name, "start_timeout", "must be more than 0, such as 5m")
	case d.StopGrace < 0:
		return fieldError(d.Name, "stop_grace", "must not be negative: use 10s, or 0s to kill at once")
	case d.Dir != "" && !filepath.IsAbs(d.Dir):
		return fieldError(d.Name, "dir", "%.200q: use an absolute path", d.Dir)
	}
	if err := d.Limits.validate(d.Name); err != nil {
		return err
	}
	if err := d.validateTemplates(); err != nil {
		return err
	}
	return d.validateModels()
}

// validateTemplates renders everything once with invented values. Args is left empty: what a
// template wants of it is known only when a worker starts.
func (d Definition) validateTemplates() error {
	v := Vars{Model: "m", Name: "m", ModelPath: "/m", Port: 1, Addr: "127.0.0.1:1", Slots: 1, Context: 1, Device: "d", Key: "k"}
	for i, text := range slices.Concat(d.Command, d.StopCommand, []string{d.Proxy}) {
		if err := check(text, v); err != nil {
			return fieldError(d.Name, d.keyOf(i), "%v: fields are .Model .Name .ModelPath .Port .Addr .Slots .Context .Device .Key .Args", err)
		}
	}
	if err := check(d.ModelName, v); err != nil {
		return fieldError(d.Name, "model_name", "%v", err)
	}
	for name, text := range d.Env {
		if name == "" || strings.ContainsAny(name, "=\x00") || strings.HasPrefix(name, "RBEE_ENGINE_") {
			return fieldError(d.Name, "env", "%.80q cannot be set: use a plain variable name", name)
		}
		if err := check(text, v); err != nil {
			return fieldError(d.Name, "env."+name, "%v", err)
		}
	}
	return nil
}

// keyOf names an element of Command, StopCommand and Proxy, one behind the other.
func (d Definition) keyOf(i int) string {
	if i < len(d.Command) {
		return fmt.Sprintf("command[%d]", i)
	}
	if i -= len(d.Command); i < len(d.StopCommand) {
		return fmt.Sprintf("stop_command[%d]", i)
	}
	return "proxy"
}

func check(text string, v Vars) error {
	t, err := template.New("").Option("missingkey=zero").Funcs(functions).Parse(text)
	if err != nil {
		return err
	}
	return t.Execute(&bounded{w: io.Discard, left: maxArgBytes}, v)
}

func (d Definition) validateModels() error {
	if len(d.Models) == 0 && d.External == nil && d.library == nil && !d.TakesFiles() {
		return fieldError(d.Name, "models", "missing: list what it serves, such as [{ref: qwen, path: /models/qwen.gguf, vram_bytes: 6GiB, slots: 4}]")
	}
	seen := map[string]bool{}
	for _, m := range d.Models {
		field := func(key string) string { return fmt.Sprintf("models[%.60s].%s", m.Ref, key) }
		switch {
		case !refPattern.MatchString(m.Ref):
			return fieldError(d.Name, "models.ref", "%.70q: use 1 to 256 letters, digits and . _ : / @ + -", m.Ref)
		case seen[m.Ref]:
			return fieldError(d.Name, field("ref"), "is listed twice: keep one")
		case m.VRAMBytes < 0:
			return fieldError(d.Name, field("vram_bytes"), "must not be negative")
		case m.Slots < 1 || m.Slots > 1<<16:
			return fieldError(d.Name, field("slots"), "%d: use 1 to 65536", m.Slots)
		case m.Context < 0:
			return fieldError(d.Name, field("context"), "must not be negative")
		}
		seen[m.Ref] = true
	}
	return nil
}

// bounded is a writer that fails beyond a number of bytes.
type bounded struct {
	w    io.Writer
	left int
}

func (b *bounded) Write(p []byte) (int, error) {
	if len(p) > b.left {
		return 0, errors.New("renders to more than 64 KiB")
	}
	b.left -= len(p)
	return b.w.Write(p)
}
