package settings

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

type sections struct {
	Labels  map[string]string `yaml:"labels"`
	Engines map[string]struct {
		Slots int      `yaml:"slots"`
		Args  []string `yaml:"args"`
	} `yaml:"engines"`
	Kept string `yaml:"kept"`
}

func flagSet() *pflag.FlagSet {
	fs := pflag.NewFlagSet("t", pflag.ContinueOnError)
	fs.String("data-dir", "default", "directory of the state")
	fs.StringSlice("join", []string{"d1", "d2"}, "queens to join")
	fs.StringArray("arg", nil, "arguments")
	fs.Int("slots", 1, "runs at once")
	fs.Bool("bootstrap", false, "be the first queen")
	fs.Duration("wait", time.Second, "how long to wait")
	fs.StringSlice("queen", nil, "queens")
	ConfigFlag(fs)
	Env(fs, "queen", "RBEE_QUEENS")
	return fs
}

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestPrecedence(t *testing.T) {
	file := "data-dir: file\njoin: [f1, f2]\nslots: 3\nbootstrap: true\nwait: 4s\narg: 'a, b'\n"
	for _, tc := range []struct {
		name, file string
		env        map[string]string
		args       []string
		flag, want string
		where      string
	}{
		{name: "default", flag: "data-dir", want: "default", where: "--data-dir"},
		{name: "file over default", file: file, flag: "data-dir", want: "file", where: ":1: data-dir"},
		{name: "env over file", file: file, env: map[string]string{"RBEE_DATA_DIR": "env"}, flag: "data-dir", want: "env", where: "RBEE_DATA_DIR"},
		{name: "flag over all", file: file, env: map[string]string{"RBEE_DATA_DIR": "env"}, args: []string{"--data-dir=flag"}, flag: "data-dir", want: "flag", where: "--data-dir"},
		{name: "flag given its default still wins", file: file, args: []string{"--data-dir=default"}, flag: "data-dir", want: "default", where: "--data-dir"},
		{name: "empty env is none", file: file, env: map[string]string{"RBEE_DATA_DIR": ""}, flag: "data-dir", want: "file", where: ":1"},
		{name: "list from file", file: file, flag: "join", want: "[f1,f2]", where: ":2: join"},
		{name: "list from env", file: file, env: map[string]string{"RBEE_JOIN": "e1, e2,"}, flag: "join", want: "[e1,e2]", where: "RBEE_JOIN"},
		{name: "list from flags", file: file, args: []string{"--join=a,b", "--join=c"}, flag: "join", want: "[a,b,c]", where: "--join"},
		{name: "commas in file", file: file, flag: "arg", want: "[a,b]", where: ":6: arg"},
		{name: "named env", env: map[string]string{"RBEE_QUEENS": "u1,u2"}, flag: "queen", want: "[u1,u2]", where: "RBEE_QUEENS"},
		{name: "rule's env is not read when renamed", env: map[string]string{"RBEE_QUEEN": "u1"}, flag: "queen", want: "[]", where: "--queen"},
		{name: "int", file: file, flag: "slots", want: "3", where: ":3"},
		{name: "bool", file: file, flag: "bootstrap", want: "true", where: ":4"},
		{name: "duration", file: file, flag: "wait", want: "4s", where: ":5"},
		{name: "null is not given", file: "data-dir:\n", flag: "data-dir", want: "default", where: "--data-dir"},
		{name: "alias", file: "data-dir: &x here\nslots: 2\njoin: *x\n", flag: "join", want: "[here]", where: ":3"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			fs := flagSet()
			args := tc.args
			if tc.file != "" {
				args = append(args, "--config="+write(t, tc.file))
			}
			for k, v := range tc.env {
				t.Setenv(k, v)
			}
			if err := fs.Parse(args); err != nil {
				t.Fatal(err)
			}
			src, err := Load(fs, nil)
			if err != nil {
				t.Fatal(err)
			}
			if got := fs.Lookup(tc.flag).Value.String(); got != tc.want {
				t.Errorf("%s = %q, want %q", tc.flag, got, tc.want)
			}
			if got := src.Where(tc.flag); !strings.HasSuffix(got, tc.where) && !strings.Contains(got, tc.where) {
				t.Errorf("came from %q, want %q", got, tc.where)
			}
		})
	}
}

func TestSections(t *testing.T) {
	extra := sections{Kept: "before"}
	fs := flagSet()
	t.Setenv("RBEE_CONFIG", write(t, "slots: 2\nlabels: {zone: a}\nengines:\n  builtin: {slots: 8, args: [--x, '5']}\n"))
	if _, err := Load(fs, &extra); err != nil {
		t.Fatal(err)
	}
	if extra.Labels["zone"] != "a" || extra.Engines["builtin"].Slots != 8 || len(extra.Engines["builtin"].Args) != 2 || extra.Kept != "before" {
		t.Errorf("sections = %+v", extra)
	}
	if n, _ := fs.GetInt("slots"); n != 2 {
		t.Errorf("slots = %d", n)
	}
}

func TestErrorsNamePlaceAndFix(t *testing.T) {
	for _, tc := range []struct {
		name, file string
		env        [2]string
		want       []string
	}{
		{name: "unknown key", file: "slots: 1\nfoo: 2\n", want: []string{"c.yaml", "line 2", `unknown key "foo"`, "--help"}},
		{name: "near key", file: "data_dir: x\n", want: []string{`unknown key "data_dir"`, `did you mean "data-dir"`}},
		{name: "unknown nested key", file: "engines:\n  builtin: {slot: 8}\n", want: []string{"line 2", `unknown key "slot"`}},
		{name: "near section", file: "engine: {}\n", want: []string{`did you mean "engines"`}},
		{name: "twice", file: "slots: 1\nslots: 2\n", want: []string{"slots", "already defined"}},
		{name: "bad number", file: "\nslots: many\n", want: []string{"c.yaml:2: slots", `"many" is not a whole number`, "runs at once"}},
		{name: "list for one value", file: "slots: [1]\n", want: []string{"c.yaml:1: slots"}},
		{name: "section for one value", file: "join: {a: b}\n", want: []string{"c.yaml:1: join", "plain value"}},
		{name: "not yaml", file: "slots: [", want: []string{"c.yaml", "line 1"}},
		{name: "not a mapping", file: "- a\n", want: []string{"c.yaml", "line 1", "has a list where a section of keys belongs"}},
		{name: "wrong type below", file: "engines:\n  builtin: {slots: x}\n", want: []string{"line 2", "has x where a whole number belongs"}},
		{name: "two documents", file: "slots: 1\n---\nslots: 2\n", want: []string{"more than one YAML document"}},
		{name: "config names config", file: "config: other.yaml\n", want: []string{`unknown key "config"`}},
		{name: "bad env", env: [2]string{"RBEE_WAIT", "soon"}, want: []string{"RBEE_WAIT", `"soon" is not a duration`, "how long to wait"}},
		{name: "no file", env: [2]string{"RBEE_CONFIG", "/nowhere/c.yaml"}, want: []string{"RBEE_CONFIG", "/nowhere/c.yaml", "give the path"}},
		{name: "huge file", file: "#" + strings.Repeat("x", maxFile), want: []string{"RBEE_CONFIG", "1 MiB"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if tc.env[0] != "" {
				t.Setenv(tc.env[0], tc.env[1])
			}
			if tc.file != "" {
				t.Setenv("RBEE_CONFIG", write(t, tc.file))
			}
			_, err := Load(flagSet(), &sections{})
			var se *Error
			if !errors.As(err, &se) {
				t.Fatalf("got %v, want a settings.Error", err)
			}
			for _, w := range tc.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%q does not say %q", err, w)
				}
			}
			if strings.Contains(err.Error(), "yaml.Node") || strings.Contains(err.Error(), "struct {") {
				t.Errorf("%q speaks of Go types", err)
			}
		})
	}
}

func TestSourcesErrorf(t *testing.T) {
	fs := flagSet()
	t.Setenv("RBEE_JOIN", "x")
	src, err := Load(fs, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := src.Errorf("join", "%q has no port", "x").Error(); got != `RBEE_JOIN: "x" has no port` {
		t.Error(got)
	}
	if got := src.Errorf("slots", "must be positive").Error(); got != "--slots: must be positive" {
		t.Error(got)
	}
}

func TestMisuse(t *testing.T) {
	t.Setenv("RBEE_CONFIG", write(t, "slots: 1\n"))
	if _, err := Load(flagSet(), sections{}); err == nil {
		t.Error("a struct by value was accepted")
	}
	var clash struct {
		Slots int `yaml:"slots"`
	}
	if _, err := Load(flagSet(), &clash); err == nil || !strings.Contains(err.Error(), "both") {
		t.Error("a key that is flag and section was accepted")
	}
	defer func() {
		if recover() == nil {
			t.Error("Env of an unknown flag did not panic")
		}
	}()
	Env(flagSet(), "nope", "X")
}

func FuzzFile(f *testing.F) {
	for _, s := range []string{"slots: 1", "a: &a [*a]", "engines: {b: {slots: x}}", "? [a]\n: b", "<<: {slots: 2}", "join: [[1]]"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		path := filepath.Join(t.TempDir(), "c.yaml")
		if os.WriteFile(path, []byte(text), 0o600) != nil {
			t.Skip()
		}
		fs := flagSet()
		_ = fs.Set("config", path)
		_, _ = Load(fs, &sections{}) // must not panic
	})
}
