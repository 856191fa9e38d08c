package engine

import (
	"fmt"
	"os"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxMacro bounds what a text of a llama-swap config may become.
const maxMacro = 64 << 10

var (
	macroName = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,63}$`)
	macroUse  = regexp.MustCompile(`\$\{([^{}]*)\}`)
)

// macros are the ${...} of a llama-swap config, as one model sees them. PORT and PID stay: they
// are known only when the model runs.
type macros map[string]string

// with returns the macros with those of a mapping over them.
func (m macros) with(n *yaml.Node) (macros, error) {
	out := macros{}
	for name, text := range m {
		out[name] = text
	}
	if n.Kind == 0 {
		return out, nil
	}
	if n.Kind != yaml.MappingNode {
		return nil, fmt.Errorf("line %d: macros must be a mapping of names to texts", n.Line)
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, value := n.Content[i], n.Content[i+1]
		switch {
		case !macroName.MatchString(name.Value):
			return nil, fmt.Errorf("line %d: macro %.70q: use 1 to 63 letters, digits and _ -", name.Line, name.Value)
		case name.Value == "PORT" || name.Value == "MODEL_ID" || name.Value == "PID":
			return nil, fmt.Errorf("line %d: macro %s is given by llama-swap itself: choose another name", name.Line, name.Value)
		case value.Kind != yaml.ScalarNode:
			return nil, fmt.Errorf("line %d: macro %s must be a text, a number or true or false", value.Line, name.Value)
		}
		out[name.Value] = value.Value
	}
	return out, nil
}

// expand replaces macros, those in macros too.
func (m macros) expand(text string) (string, error) {
	for range 10 {
		var wrong error
		next := macroUse.ReplaceAllStringFunc(text, func(use string) string {
			name := use[2 : len(use)-1]
			value, err := m.value(name)
			if err != nil && wrong == nil {
				wrong = err
			}
			if name == "PORT" || name == "PID" {
				return use
			}
			return value
		})
		switch {
		case wrong != nil:
			return "", wrong
		case len(next) > maxMacro:
			return "", fmt.Errorf("its macros make more than %d KiB of it", maxMacro>>10)
		case next == text:
			return text, nil
		}
		text = next
	}
	return "", fmt.Errorf("its macros use each other without end: %.80q", text)
}

func (m macros) value(name string) (string, error) {
	if env, ok := strings.CutPrefix(name, "env."); ok {
		value, set := os.LookupEnv(env)
		if !set {
			return "", fmt.Errorf("${%s}: the environment variable %s is not set", name, env)
		}
		return value, nil
	}
	value, known := m[name]
	if !known && name != "PORT" && name != "PID" {
		return "", fmt.Errorf("${%.70s} is no macro: define it under macros", name)
	}
	return value, nil
}
