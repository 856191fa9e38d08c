package house

import (
	"go/ast"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var testName = regexp.MustCompile("`([a-z0-9/_-]+)\\.((?:Test|Fuzz)[A-Za-z0-9_]*)`")

func TestEveryFaultHasItsTests(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(findRoot(t), "docs", "reliability.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, broken := range reliabilityPage(string(page), testsOf(repository(t))) {
		t.Errorf("docs/reliability.md: %s", broken)
	}
}

// testsOf are all tests, as folder.TestName.
func testsOf(all []source) map[string]bool {
	tests := map[string]bool{}
	for _, s := range all {
		for _, d := range s.file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && s.test && f.Recv == nil {
				tests[s.dir+"."+f.Name.Name] = true
			}
		}
	}
	return tests
}

// reliabilityPage says what is wrong with the page: a test that is not there, a row without one.
func reliabilityPage(page string, tests map[string]bool) (broken []string) {
	rows := 0
	for line := range strings.Lines(page) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if !strings.HasPrefix(line, "|") || strings.HasPrefix(line, "|---") || strings.TrimSpace(cells[len(cells)-1]) == "tests" {
			continue
		}
		rows++
		row, last := strings.TrimSpace(cells[0]), cells[len(cells)-1]
		named := testName.FindAllStringSubmatch(last, -1)
		for _, m := range named {
			if !tests[m[1]+"."+m[2]] {
				broken = append(broken, row+": there is no test "+m[2]+" in "+m[1])
			}
		}
		if len(named) == 0 {
			broken = append(broken, row+": names no test")
		}
	}
	if rows == 0 {
		broken = append(broken, "there are no rows")
	}
	return broken
}

func TestTheReliabilityRuleBites(t *testing.T) {
	tests := map[string]bool{"cluster.TestA": true}
	const head = "| fault | tests |\n|---|---|\n"
	for page, want := range map[string]string{
		head + "| one | `cluster.TestA` |\n": "",
		head + "| one | `cluster.TestB` |\n": "no test TestB",
		head + "| one | `httpapi.TestA` |\n": "no test TestA in httpapi",
		head + "| one | some words |\n":      "names no test",
		"no table":                           "no rows",
	} {
		got := strings.Join(reliabilityPage(page, tests), "\n")
		if want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("of %q it says %q, want %q", page, got, want)
		}
	}
}
