package settings

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"
)

const (
	configFlag    = "config"
	envAnnotation = "rbee-env"
)

// Error is a setting that cannot be used. Where names the flag, the variable, or the file
// with line and key; Problem says what is wrong and how to put it right.
type Error struct {
	Where   string
	Problem string
}

func (e *Error) Error() string { return e.Where + ": " + e.Problem }

// ConfigFlag adds --config to fs.
func ConfigFlag(fs *pflag.FlagSet) {
	fs.String(configFlag, "", "YAML file with the same settings as the flags")
}

// Env names the environment variable of a flag where it differs from the rule
// (RBEE_ and the flag's name in capitals). It panics on an unknown flag.
func Env(fs *pflag.FlagSet, flag, variable string) {
	if err := fs.SetAnnotation(flag, envAnnotation, []string{variable}); err != nil {
		panic("settings.Env: " + err.Error())
	}
}

// EnvName is the environment variable that a flag is read from.
func EnvName(f *pflag.Flag) string {
	if a := f.Annotations[envAnnotation]; len(a) == 1 {
		return a[0]
	}
	return "RBEE_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
}

// Sources knows where each setting came from, so that complaints about a value can name
// the place a person has to edit.
type Sources map[string]string

// Where tells where the value of a flag came from: "--join", "RBEE_JOIN",
// "hive.yaml:3: join", or "--join" for a default, since that is how to set it.
func (s Sources) Where(flag string) string {
	if w, ok := s[flag]; ok {
		return w
	}
	return "--" + flag
}

// Given says whether a setting was given anywhere.
func (s Sources) Given(flag string) bool { _, ok := s[flag]; return ok }

// Errorf is an *Error about the value of a flag, naming the place it came from.
func (s Sources) Errorf(flag, format string, args ...any) error {
	return &Error{Where: s.Where(flag), Problem: fmt.Sprintf(format, args...)}
}

// Load gives every flag of fs that the command line left alone its value from the
// environment or from the file named by --config. Call it after fs has been parsed.
// extra, a pointer to a struct with yaml tags or nil, receives the file's other sections.
func Load(fs *pflag.FlagSet, extra any) (Sources, error) {
	src := Sources{}
	fs.VisitAll(func(f *pflag.Flag) {
		if f.Changed {
			src[f.Name] = "--" + f.Name
		}
	})
	if err := fromEnv(fs, src); err != nil {
		return src, err
	}
	c := fs.Lookup(configFlag)
	if c == nil || c.Value.String() == "" {
		return src, nil
	}
	return src, fromFile(fs, src, c.Value.String(), extra)
}

func fromEnv(fs *pflag.FlagSet, src Sources) error {
	return visit(fs, func(f *pflag.Flag) error {
		name := EnvName(f)
		text := os.Getenv(name)
		if text == "" || src.Given(f.Name) {
			return nil
		}
		if err := assign(f, text); err != nil {
			return &Error{Where: name, Problem: badValue(f, text, err)}
		}
		src[f.Name] = name
		return nil
	})
}

// visit calls do for every flag that can be set from outside the command line, in order of
// name, until one fails.
func visit(fs *pflag.FlagSet, do func(*pflag.Flag) error) error {
	var first error
	fs.VisitAll(func(f *pflag.Flag) {
		if first == nil && f.Name != "help" && f.Name != "version" {
			first = do(f)
		}
	})
	return first
}

// assign sets a flag from text; a list's elements are separated by commas.
func assign(f *pflag.Flag, text string) error {
	if list, ok := f.Value.(pflag.SliceValue); ok {
		return assignList(f, list, strings.Split(text, ","))
	}
	if err := f.Value.Set(text); err != nil {
		return err
	}
	f.Changed = true
	return nil
}

func assignList(f *pflag.Flag, list pflag.SliceValue, items []string) error {
	kept := make([]string, 0, len(items))
	for _, it := range items {
		if it = strings.TrimSpace(it); it != "" {
			kept = append(kept, it)
		}
	}
	if err := list.Replace(kept); err != nil {
		return err
	}
	f.Changed = true
	return nil
}

// assignNode sets a flag from the value of its key in the file.
func assignNode(f *pflag.Flag, n *yaml.Node) error {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	list, isList := f.Value.(pflag.SliceValue)
	switch {
	case n.Kind == yaml.ScalarNode:
		return assign(f, n.Value)
	case n.Kind == yaml.SequenceNode && isList:
		items := make([]string, len(n.Content))
		for i, c := range n.Content {
			if c.Kind != yaml.ScalarNode {
				return fmt.Errorf("element %d is not a plain value", i+1)
			}
			items[i] = c.Value
		}
		return assignList(f, list, items)
	case n.Kind == yaml.SequenceNode:
		return fmt.Errorf("takes one value, not a list")
	default:
		return fmt.Errorf("takes a plain value, not a section of keys")
	}
}

func badValue(f *pflag.Flag, text string, err error) string {
	want := map[string]string{
		"bool": "true or false", "duration": `a duration such as "30s"`,
		"int": "a whole number", "int64": "a whole number", "uint": "a whole number from 0",
		"uint64": "a whole number from 0", "float64": "a number",
	}[f.Value.Type()]
	if want == "" {
		return fmt.Sprintf("%v; it is: %s", err, f.Usage)
	}
	return fmt.Sprintf("%q is not %s; it is: %s", text, want, f.Usage)
}
