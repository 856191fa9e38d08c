package house

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const module = "queen-rbee"

// source is one Go file of the repository.
type source struct {
	dir   string // slash-separated, relative to the root, "." for the root
	name  string
	test  bool
	lines int
	fset  *token.FileSet
	file  *ast.File
}

func (s source) at(pos token.Pos) string {
	return path.Join(s.dir, s.name) + ":" + strconv.Itoa(s.fset.Position(pos).Line)
}

// in says whether the file lies in a room or below it.
func (s source) in(room string) bool { return under(s.dir, room) }

func under(dir, room string) bool { return dir == room || strings.HasPrefix(dir, room+"/") }

// imports maps the local name of each import to its path.
func (s source) imports() map[string]string {
	names := make(map[string]string)
	for _, spec := range s.file.Imports {
		p, _ := strconv.Unquote(spec.Path.Value)
		name := path.Base(p)
		if strings.HasPrefix(name, "v") && strings.Trim(name[1:], "0123456789") == "" {
			name = path.Base(path.Dir(p))
		}
		if spec.Name != nil {
			name = spec.Name.Name
		}
		names[name] = p
	}
	return names
}

// parse reads one file from text.
func parse(dir, name string, text []byte) (source, error) {
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, path.Join(dir, name), text, parser.ParseComments|parser.SkipObjectResolution)
	return source{
		dir: dir, name: name, test: strings.HasSuffix(name, "_test.go"),
		lines: strings.Count(string(text), "\n"), fset: fset, file: file,
	}, err
}

// repository reads every Go file. Fixtures, tools and what git does not know are left out.
func repository(t *testing.T) []source {
	t.Helper()
	root := findRoot(t)
	var all []source
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if n := d.Name(); p != root && (strings.HasPrefix(n, ".") || n == "testdata" || n == "bin" || n == "vendor") {
				return filepath.SkipDir
			}
			return nil
		}
		if filepath.Ext(p) != ".go" {
			return nil
		}
		text, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, filepath.Dir(p))
		if err != nil {
			return err
		}
		s, err := parse(filepath.ToSlash(rel), d.Name(), text)
		all = append(all, s)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func findRoot(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			t.Fatal("no go.mod above the test")
		}
		dir = parent
	}
}
