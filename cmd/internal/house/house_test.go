package house

import (
	"fmt"
	"go/ast"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// rule looks at every file and says what is against it, with file and line.
type rule func([]source) []string

var rules = map[string]rule{
	"imports run one way":               importDirections,
	"fsm and schedule are pure":         purity,
	"nothing sleeps":                    noSleep,
	"names say what a thing is":         names,
	"a file is one idea":                fileLength,
	"every package says what it is":     packageComments,
	"only cmd ends the process":         noExit,
	"errors are not told by their text": noErrorText,
}

func TestHouse(t *testing.T) {
	all := repository(t)
	if len(all) < 10 {
		t.Fatalf("only %d files found: the walk is broken", len(all))
	}
	for name, check := range rules {
		t.Run(name, func(t *testing.T) {
			for _, broken := range check(all) {
				t.Error(broken)
			}
		})
	}
}

// rooms lists for each room which others it may import; below a room its own rule holds, the
// longest name that fits wins. cmd may import everything, and nobody may import cmd.
var rooms = map[string][]string{
	"fsm":          {},
	"schedule":     {"fsm"},
	"cluster":      {"fsm", "schedule"},
	"hives":        {}, // wire types and client
	"hives/agent":  {"hives", "hives/door", "hives/engine", "hives/models", "hives/device", "hives/runlog"},
	"hives/door":   {}, // the HTTP port of a queen or a hive
	"hives/engine": {"hives", "hives/device", "hives/runlog"},
	"hives/models": {"hives"},
	"hives/device": {"hives"},
	"hives/runlog": {"hives"},
	"hives/remote": {"hives"},
	"hives/fleet":  {"hives", "hives/remote", "fsm", "schedule"},
	"httpapi":      {"hives", "hives/door", "hives/fleet", "fsm", "schedule", "cluster", "httpapi/translate"},
	"cmd":          {"cmd", "fsm", "schedule", "cluster", "hives", "hives/agent", "hives/engine", "hives/models", "hives/device", "hives/runlog", "hives/remote", "hives/fleet", "httpapi"},
	"schedule/sim": {"fsm", "schedule"},

	"httpapi/translate": {}, // bytes to bytes
}

// roomOf is the longest room that a folder lies in, or "".
func roomOf(dir string) string {
	best := ""
	for room := range rooms {
		if under(dir, room) && len(room) > len(best) {
			best = room
		}
	}
	return best
}

func importDirections(all []source) (broken []string) {
	for _, s := range all {
		if s.test { // tests may stand above what they test
			continue
		}
		room := roomOf(s.dir)
		if room == "" {
			broken = append(broken, s.at(s.file.Package)+": lies in no room of the house; add it to rooms if it should be one")
			continue
		}
		for _, spec := range s.file.Imports {
			target, inside := strings.CutPrefix(strings.Trim(spec.Path.Value, `"`), module+"/")
			if !inside {
				continue
			}
			if other := roomOf(target); other != room && !slices.Contains(rooms[room], other) {
				broken = append(broken, fmt.Sprintf("%s: %s may not import %s", s.at(spec.Pos()), room, target))
			}
		}
	}
	return broken
}

// Packages that a pure room does not import at all, with everything below them.
var impure = []string{
	"os", "net", "syscall", "io/fs", "log", "math/rand", "crypto/rand", "testing",
	"github.com/hashicorp/go-hclog", "github.com/hashicorp/raft", "golang.org/x/sys", "golang.org/x/sync",
}

// Functions that a pure room does not call, of packages whose types it may use.
var impureCalls = map[string][]string{
	"time":                     {"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker", "LoadLocation"},
	"github.com/oklog/ulid/v2": {"Make", "Now", "DefaultEntropy", "Timestamp"},
	"context":                  {"WithTimeout", "WithDeadline"},
	"runtime":                  {"NumGoroutine", "NumCPU", "GOMAXPROCS"},
}

func purity(all []source) (broken []string) {
	for _, s := range all {
		pure := s.in("fsm") || s.in("schedule") || s.in("httpapi/translate")
		forTests := s.in("schedule/sim") || strings.HasSuffix(s.dir, "test")
		if !pure || s.test || forTests {
			continue
		}
		for _, spec := range s.file.Imports {
			p := strings.Trim(spec.Path.Value, `"`)
			if slices.ContainsFunc(impure, func(bad string) bool { return under(p, bad) }) {
				broken = append(broken, fmt.Sprintf("%s: a pure room may not import %s", s.at(spec.Pos()), p))
			}
		}
		imports := s.imports()
		ast.Inspect(s.file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt:
				broken = append(broken, s.at(n.Pos())+": a pure room starts no goroutine")
			case *ast.SelectorExpr:
				if pkg, fn := called(imports, n); slices.Contains(impureCalls[pkg], fn) {
					broken = append(broken, fmt.Sprintf("%s: a pure room may not use %s.%s", s.at(n.Pos()), pkg, fn))
				}
			}
			return true
		})
	}
	return broken
}

// called resolves pkg.Name to the import path; "" when it is no package.
func called(imports map[string]string, sel *ast.SelectorExpr) (pkg, name string) {
	id, ok := sel.X.(*ast.Ident)
	if !ok {
		return "", ""
	}
	return imports[id.Name], sel.Sel.Name
}

// uses lists every use of one function of one package.
func uses(s source, pkg, name string) (at []string) {
	imports := s.imports()
	if imports["."] == pkg {
		return []string{s.at(s.file.Package)}
	}
	ast.Inspect(s.file, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok {
			if p, fn := called(imports, sel); p == pkg && fn == name {
				at = append(at, s.at(sel.Pos()))
			}
		}
		return true
	})
	return at
}

func noSleep(all []source) (broken []string) {
	for _, s := range all {
		for _, at := range uses(s, "time", "Sleep") {
			broken = append(broken, at+": time.Sleep; wait for the event, or use testing/synctest, or a timer with a context")
		}
	}
	return broken
}

func noExit(all []source) (broken []string) {
	for _, s := range all {
		if s.test || s.in("cmd") {
			continue
		}
		for _, fn := range []string{"Fatal", "Fatalf", "Fatalln"} {
			for _, at := range uses(s, "log", fn) {
				broken = append(broken, at+": log."+fn+" ends the process; return an error")
			}
		}
	}
	return broken
}

// noErrorText finds comparisons of err.Error() with a text.
func noErrorText(all []source) (broken []string) {
	isText := func(e ast.Expr) bool {
		call, ok := e.(*ast.CallExpr)
		if !ok || len(call.Args) != 0 {
			return false
		}
		sel, ok := call.Fun.(*ast.SelectorExpr)
		return ok && sel.Sel.Name == "Error"
	}
	for _, s := range all {
		if s.test {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			if c, ok := n.(*ast.BinaryExpr); ok && c.Op.IsOperator() && (c.Op.String() == "==" || c.Op.String() == "!=") && (isText(c.X) || isText(c.Y)) {
				broken = append(broken, s.at(c.Pos())+": an error is known by its code or by errors.Is, never by its text")
			}
			return true
		})
	}
	return broken
}

var bannedWords = []string{"util", "utils", "helper", "helpers", "common", "manager", "misc"}

func names(all []source) (broken []string) {
	for _, s := range all {
		for _, w := range words(s.file.Name.Name) {
			if slices.Contains(bannedWords, w) {
				broken = append(broken, fmt.Sprintf("%s: package %s is named after nothing", s.at(s.file.Package), s.file.Name.Name))
			}
		}
		for _, suffix := range bannedWords {
			if name := strings.TrimSuffix(s.file.Name.Name, "_test"); strings.HasSuffix(name, suffix) && name != suffix {
				broken = append(broken, fmt.Sprintf("%s: package %s is named after nothing", s.at(s.file.Package), name))
			}
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			if spec, ok := n.(*ast.TypeSpec); ok && slices.ContainsFunc(words(spec.Name.Name), func(w string) bool { return slices.Contains(bannedWords, w) }) {
				broken = append(broken, fmt.Sprintf("%s: type %s is named after nothing", s.at(spec.Pos()), spec.Name.Name))
			}
			return true
		})
	}
	return broken
}

// words splits a Go name at its capitals and underscores, in lower case.
func words(name string) []string {
	var b strings.Builder
	for i, r := range name {
		if unicode.IsUpper(r) && i > 0 {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return strings.FieldsFunc(b.String(), func(r rune) bool { return r == '_' })
}

const maxLines = 600 // 80 to 250 is normal, 400 the alarm

func fileLength(all []source) (broken []string) {
	for _, s := range all {
		if !s.test && s.lines > maxLines {
			broken = append(broken, fmt.Sprintf("%s: %d lines, at most %d; split it by ideas", s.at(s.file.Package), s.lines, maxLines))
		}
	}
	return broken
}

func packageComments(all []source) (broken []string) {
	documented, first := map[string]bool{}, map[string]string{}
	for _, s := range all {
		if s.test {
			continue
		}
		if first[s.dir] == "" {
			first[s.dir] = s.at(s.file.Package)
		}
		if s.file.Doc != nil && strings.TrimSpace(s.file.Doc.Text()) != "" {
			documented[s.dir] = true
		}
	}
	for dir, at := range first {
		if !documented[dir] {
			broken = append(broken, at+": the package has no comment; say in a doc.go what it is")
		}
	}
	slices.Sort(broken)
	return broken
}
