package settings

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"
)

// maxFile bounds a config file; the largest honest one is a few kilobytes.
const maxFile = 1 << 20

// fromFile reads the file once, strictly, into a struct made for it: one field of raw yaml
// for each flag, and the caller's struct inlined for everything else. The yaml library then
// finds unknown and repeated keys by itself, with their lines.
func fromFile(fs *pflag.FlagSet, src Sources, path string, extra any) error {
	data, err := readBounded(path)
	if err != nil {
		return &Error{Where: src.Where(configFlag), Problem: err.Error()}
	}
	flags, target, err := fileShape(fs, extra)
	if err != nil {
		return err
	}
	if err := decodeStrict(data, target.Addr().Interface()); err != nil {
		return &Error{Where: path, Problem: explain(err, flags, extra)}
	}
	if extra != nil {
		reflect.ValueOf(extra).Elem().Set(target.Field(len(flags)))
	}
	for i, f := range flags {
		n := target.Field(i).Interface().(yaml.Node)
		if n.IsZero() || n.Tag == "!!null" || src.Given(f.Name) {
			continue
		}
		where := fmt.Sprintf("%s:%d: %s", path, n.Line, f.Name)
		if err := assignNode(f, &n); err != nil {
			return &Error{Where: where, Problem: badValue(f, n.Value, err)}
		}
		src[f.Name] = where
	}
	return nil
}

func readBounded(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%w; give the path of a YAML file that can be read", err)
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("%s is over 1 MiB; a config file is a few kilobytes", path)
	}
	return data, nil
}

// fileShape makes the struct to decode into: field i holds the key of flags[i], the last
// one is the caller's struct with its present values.
func fileShape(fs *pflag.FlagSet, extra any) ([]*pflag.Flag, reflect.Value, error) {
	var flags []*pflag.Flag
	var fields []reflect.StructField
	_ = visit(fs, func(f *pflag.Flag) error {
		if f.Name != configFlag {
			fields = append(fields, reflect.StructField{
				Name: fmt.Sprintf("F%d", len(flags)),
				Type: reflect.TypeFor[yaml.Node](),
				Tag:  reflect.StructTag(fmt.Sprintf("yaml:%q", f.Name)),
			})
			flags = append(flags, f)
		}
		return nil
	})
	if extra == nil {
		return flags, reflect.New(reflect.StructOf(fields)).Elem(), nil
	}
	v := reflect.ValueOf(extra)
	if v.Kind() != reflect.Pointer || v.Elem().Kind() != reflect.Struct {
		return nil, reflect.Value{}, fmt.Errorf("settings.Load: extra must be a pointer to a struct, not %T", extra)
	}
	for _, f := range flags {
		if slices.Contains(knownKeys(nil, extra), f.Name) {
			return nil, reflect.Value{}, fmt.Errorf("settings.Load: %q is both a flag and a key of %T", f.Name, extra)
		}
	}
	fields = append(fields, reflect.StructField{Name: "Extra", Type: v.Elem().Type(), Tag: `yaml:",inline"`})
	target := reflect.New(reflect.StructOf(fields)).Elem()
	target.Field(len(flags)).Set(v.Elem())
	return flags, target, nil
}

func decodeStrict(data []byte, into any) error {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	if err := dec.Decode(into); err != nil {
		if errors.Is(err, io.EOF) {
			return nil // an empty file sets nothing
		}
		return err
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return errors.New("holds more than one YAML document; keep one")
	}
	return nil
}

var unknownField = regexp.MustCompile(`(?s)^line (\d+): field (.*) not found in type .*$`)

var wrongType = regexp.MustCompile("(?s)^line (\\d+): cannot unmarshal (!!\\w+(?: `.*`)?) into (.*)$")

func kindWords(tag string) string {
	kind, text, _ := strings.Cut(tag, " ")
	switch {
	case kind == "!!seq":
		return "a list"
	case kind == "!!map":
		return "a section of keys"
	default:
		return strings.Trim(text, "`")
	}
}

func typeWords(goType string) string {
	switch {
	case strings.HasPrefix(goType, "[]"):
		return "a list"
	case goType == "bool":
		return "true or false"
	case strings.HasPrefix(goType, "int"), strings.HasPrefix(goType, "uint"):
		return "a whole number"
	case strings.HasPrefix(goType, "float"):
		return "a number"
	case goType == "string":
		return "text"
	case goType == "time.Duration":
		return `a duration such as "30s"`
	default:
		return "a section of keys"
	}
}

// explain puts the yaml library's complaints into words that name line and key, without
// the Go types that mean nothing to a person editing the file.
func explain(err error, flags []*pflag.Flag, extra any) string {
	var te *yaml.TypeError
	if !errors.As(err, &te) {
		return strings.TrimPrefix(err.Error(), "yaml: ")
	}
	lines := make([]string, 0, len(te.Errors))
	for _, e := range te.Errors {
		if m := unknownField.FindStringSubmatch(e); m != nil {
			e = fmt.Sprintf("line %s: unknown key %q%s", m[1], m[2], suggest(m[2], knownKeys(flags, extra)))
		} else if m := wrongType.FindStringSubmatch(e); m != nil {
			e = fmt.Sprintf("line %s: has %s where %s belongs", m[1], kindWords(m[2]), typeWords(m[3]))
		}
		lines = append(lines, e)
	}
	return strings.Join(lines, "; ")
}

func knownKeys(flags []*pflag.Flag, extra any) []string {
	var keys []string
	for _, f := range flags {
		keys = append(keys, f.Name)
	}
	if extra == nil {
		return keys
	}
	t := reflect.TypeOf(extra).Elem()
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("yaml"), ",")
		if name != "" && name != "-" {
			keys = append(keys, name)
		}
	}
	return keys
}

// suggest names the top-level key that was probably meant, if any.
func suggest(key string, known []string) string {
	plain := func(s string) string {
		return strings.TrimSuffix(strings.ToLower(strings.NewReplacer("_", "", "-", "").Replace(s)), "s")
	}
	for _, k := range known {
		if plain(k) == plain(key) {
			return fmt.Sprintf("; did you mean %q?", k)
		}
	}
	return "; remove it or correct its name (keys are the flags' names, see --help)"
}
