package schedule

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"queen-rbee/fsm"
)

var rewrite = flag.Bool("rewrite", false, "write what happens into the golden scripts")

// TestGolden runs the scripts: lines of one gather, a line of dashes, everything that
// happened. See testdata/schedule/README.md for the words.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("../testdata/schedule/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := runScript(t, string(text))
			if got == string(text) {
				return
			}
			if !*rewrite {
				t.Fatalf("%s: want what is in the file, got\n%s", file, diff(string(text), got))
			}
			if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// diff shows the first lines that differ.
func diff(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range g {
		if i >= len(w) || w[i] != g[i] {
			return fmt.Sprintf("line %d:\n%s", i+1, strings.Join(g[i:min(i+8, len(g))], "\n"))
		}
	}
	return "less than there is"
}

// runScript runs the blocks of a script on one env and returns it with their outcomes.
// A block is comments and command lines, "----", and its outcome up to an empty line.
func runScript(t *testing.T, text string) string {
	e := born(t)
	s := &script{env: e}
	var out strings.Builder
	for block := range strings.SplitSeq(strings.TrimRight(text, "\n"), "\n\n") {
		if out.Len() > 0 {
			out.WriteString("\n")
		}
		head, _, ran := strings.Cut(block+"\n", "\n----\n")
		out.WriteString(strings.TrimRight(head, "\n") + "\n")
		lines := commandLines(head)
		if !ran && len(lines) == 0 {
			continue // a comment alone
		}
		out.WriteString("----\n")
		out.WriteString(s.run(lines))
	}
	return out.String()
}

func commandLines(head string) []string {
	var lines []string
	for line := range strings.SplitSeq(head, "\n") {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			lines = append(lines, line)
		}
	}
	return lines
}

// script is a running script.
type script struct {
	*env
	out strings.Builder
}

// run runs the lines of one block: those that set the scene at once, the others as one gather.
func (s *script) run(lines []string) string {
	s.out.Reset()
	var reqs []Request
	plan := false
	for _, line := range lines {
		w := words(line)
		if s.scene(w) {
			continue
		}
		plan = true
		if w.name != "tick" {
			reqs = append(reqs, s.request(w))
		}
	}
	if !plan {
		s.say("ok")
		return s.out.String()
	}
	p := s.plan(reqs...)
	out := s.apply(p)
	s.say("%v #%d", s.now, out.Index)
	for _, c := range p.Batch.Commands {
		s.say("  %s", say(c))
	}
	for i, a := range p.Answers {
		s.say("  answer %d: %s", i+1, sayAnswer(a))
	}
	if p.More {
		s.say("  more")
	}
	slices.SortFunc(out.Changed, func(a, b fsm.Row) int { // the order is the fsm's business
		return cmp.Or(cmp.Compare(b.Table, a.Table), cmp.Compare(a.ID, b.ID))
	})
	for _, row := range out.Changed {
		s.row(row)
	}
	if p.Wake != 0 {
		s.say("  wake at %v", p.Wake)
	}
	return s.out.String()
}

func (s *script) say(format string, args ...any) { fmt.Fprintf(&s.out, format+"\n", args...) }

func sayAnswer(a Answer) string {
	var b strings.Builder
	if a.Err != nil {
		fmt.Fprintf(&b, "%s: %s", a.Err.Code, a.Err.Message)
		if a.Err.RetryAfter > 0 {
			fmt.Fprintf(&b, " (retry after %v)", a.Err.RetryAfter)
		}
		return b.String()
	}
	b.WriteString("ok")
	if a.Job != "" {
		fmt.Fprintf(&b, " job=%s %s", a.Job, a.State)
	}
	if a.Joined {
		b.WriteString(" joined")
	}
	if a.Assigned != nil {
		fmt.Fprintf(&b, " on %s at %s incarnation=%d attempt=%d index=%d", a.Assigned.Worker, a.Assigned.HiveURL, a.Assigned.Incarnation, a.Assigned.Attempt, a.Assigned.Index)
	}
	if a.Worker != "" {
		fmt.Fprintf(&b, " worker=%s %s", a.Worker, a.WorkerState)
	}
	if a.Incarnation != 0 {
		fmt.Fprintf(&b, " incarnation=%d", a.Incarnation)
	}
	if a.Again {
		b.WriteString(" again")
	}
	return b.String()
}

// row tells of a row as it is now.
func (s *script) row(r fsm.Row) {
	switch r.Table {
	case fsm.TableJob:
		if j, ok := s.view.Job(r.ID); ok {
			s.say("  job %s", sayJob(j))
			return
		}
		s.say("  job %s forgotten", r.ID)
	case fsm.TableWorker:
		if w, ok := s.view.Worker(r.ID); ok {
			s.say("  worker %s on %s %s runs=%d/%d%s", w.ID, w.Hive, w.State, s.view.Running(w.ID), w.Slots, why(w.Failure))
			return
		}
		s.say("  worker %s forgotten", r.ID)
	case fsm.TableHive:
		if h, ok := s.view.Hive(r.ID); ok {
			leaving := ""
			if h.Leaving {
				leaving = " leaving"
			}
			s.say("  hive %s %s%s desired=%s incarnation=%d changed=%d", h.ID, statusWord(h.Status), leaving, wishWord(h.Desired), h.Incarnation, h.Changed)
			return
		}
		s.say("  hive %s forgotten", r.ID)
	}
}

func sayJob(j *fsm.Job) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s", j.ID, j.State)
	if j.State == fsm.JobRunning {
		fmt.Fprintf(&b, " on %s", j.Worker)
	}
	fmt.Fprintf(&b, " attempt=%d", j.Attempt)
	if j.Retries > 0 {
		fmt.Fprintf(&b, " retries=%d", j.Retries)
	}
	if j.Delivered && j.State == fsm.JobRunning {
		b.WriteString(" delivered")
	}
	if j.Ending != fsm.EndNone && !j.State.Ended() {
		fmt.Fprintf(&b, " ending=%s", j.Ending)
	}
	if j.State == fsm.JobQueued {
		b.WriteString(timeAt(" not before", j.NotBefore) + timeAt(" abandon", j.AbandonAt))
	}
	if !j.State.Ended() && !j.Detached {
		var hs []string
		for _, h := range j.Holders {
			hs = append(hs, h.Queen+"/"+h.Boot)
		}
		fmt.Fprintf(&b, " holders=%s", strings.Join(hs, ","))
	}
	b.WriteString(why(j.Failure))
	return b.String()
}

// line is a script line: name, plain arguments, key=value pairs.
type line struct {
	name string
	args []string
	keys map[string]string
}

func words(text string) line {
	f := strings.Fields(text)
	l := line{name: f[0], keys: map[string]string{}}
	for _, w := range f[1:] {
		if k, v, ok := strings.Cut(w, "="); ok {
			l.keys[k] = v
		} else {
			l.args = append(l.args, w)
		}
	}
	return l
}

func (l line) arg(i int) string {
	if i < len(l.args) {
		return l.args[i]
	}
	return ""
}

func (l line) has(word string) bool {
	for _, a := range l.args {
		if a == word {
			return true
		}
	}
	return false
}

func (l line) num(key string, otherwise int64) int64 {
	if n, err := strconv.ParseInt(l.keys[key], 10, 64); err == nil {
		return n
	}
	return otherwise
}

func (l line) span(key string) time.Duration {
	d, _ := time.ParseDuration(l.keys[key])
	return d
}
