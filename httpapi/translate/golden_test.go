package translate

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var rewrite = flag.Bool("rewrite", false, "write what happens into the golden scripts")

// TestScripts runs every script of testdata: a command and its JSON, ----, and what came of it.
//
//	responses, messages  a request's body: the chat body, or the field it is refused for
//	begin, end, idle     that part of a stream
//	chunk                chunks of chat/completions, one a line
//	fail STATUS CODE     the end of a run that failed
//	whole                a folded answer
//
// Each request begins a new answer, of the job 01JOB made at second 1700000000.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no scripts", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := play(t, string(want))
			if *rewrite {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			w, g := strings.Split(string(want), "\n"), strings.Split(got, "\n")
			for i := range max(len(w), len(g)) {
				if i >= len(w) || i >= len(g) || w[i] != g[i] {
					t.Fatalf("line %d differs; with -rewrite the diff is the review.\n got %s\nwant %s", i+1,
						strings.Join(g[min(i, len(g)):min(i+3, len(g))], "\n"), strings.Join(w[min(i, len(w)):min(i+3, len(w))], "\n"))
				}
			}
		})
	}
}

// play runs a script and gives it as it should be.
func play(t *testing.T, script string) string {
	var out strings.Builder
	var whole func() Answer // a fresh answer of the last request
	var a Answer
	for _, block := range strings.Split(strings.TrimSpace(script), "\n\n") {
		said, _, _ := strings.Cut(strings.TrimSpace(block), "\n----")
		var lines []string
		for _, l := range strings.Split(said, "\n") {
			fmt.Fprintln(&out, l)
			if !strings.HasPrefix(l, "#") {
				lines = append(lines, l)
			}
		}
		if len(lines) == 0 {
			fmt.Fprintln(&out)
			continue
		}
		fmt.Fprintln(&out, "----")
		words := strings.Fields(lines[0])
		body := []byte(strings.Join(lines[1:], "\n"))
		var events []byte
		var failed error
		switch words[0] {
		case "responses", "messages":
			req, err := map[string]func([]byte) (*Request, error){"responses": Responses, "messages": Messages}[words[0]](body)
			var refused *FieldError
			if errors.As(err, &refused) {
				fmt.Fprintf(&out, "refused %s: %s\n", refused.Field, refused.Message)
				break
			}
			fmt.Fprintf(&out, "%s\n", req.Body)
			whole = func() Answer { return req.Answer(Run{Job: "01JOB", Created: 1700000000}) }
			a = whole()
		case "begin":
			events = a.Begin()
		case "idle":
			events = a.Idle()
		case "chunk":
			for _, c := range lines[1:] {
				if events, failed = a.Chunk(events, []byte(c)); failed != nil {
					break
				}
			}
		case "end":
			events = a.End(nil, Usage{Input: 3, Output: 2})
		case "fail":
			status := 0
			fmt.Sscan(words[1], &status)
			events = a.Fail(nil, Failure{Status: status, Code: words[2], Message: strings.Join(words[3:], " ")})
		case "whole":
			var answer []byte
			answer, failed = whole().Whole(body)
			out.Write(answer)
		default:
			t.Fatalf("no command %q", words[0])
		}
		for _, e := range bytes.Split(events, []byte("\n\n")) {
			if len(e) > 0 {
				fmt.Fprintln(&out, strings.TrimPrefix(string(e[bytes.IndexByte(e, '\n')+1:]), "data: "))
			}
		}
		if failed != nil {
			fmt.Fprintf(&out, "error: %v\n", failed)
		}
		fmt.Fprintln(&out)
	}
	return strings.TrimRight(out.String(), "\n") + "\n"
}
