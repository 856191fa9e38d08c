package fsm

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestScripts runs testdata/fsm/*.txt. A script is blocks of
//
//	command lines
//	----
//	everything that happened
//
// and free text after '#'. The lines of a block are one batch, planned on the state as it is
// and a second later; a first line "batch base=… now=… epoch=…" says otherwise. "show …" looks
// at the state instead. With -rewrite the answers are written anew.
//
// Beneath it, every batch is encoded, decoded and applied to a second state, every state is
// written and restored, and all must hash the same; all indexes are checked by scanning.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("../testdata/fsm/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no scripts in testdata/fsm", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			golden(t, file, (&script{t: t, a: New(), b: New()}).run(string(text)))
		})
	}
}

type script struct {
	t    *testing.T
	a, b *State
	last *Batch // for "again"
}

func (s *script) run(text string) string {
	var out strings.Builder
	var block []string
	answering := false
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		switch {
		case line == "----":
			fmt.Fprintf(&out, "----\n%s", s.block(block))
			block, answering = nil, true
		case answering && line != "": // the old answer
		case strings.HasPrefix(line, "#") || line == "":
			answering = false
			out.WriteString(line + "\n")
		default:
			block = append(block, line)
			out.WriteString(line + "\n")
		}
	}
	if len(block) > 0 {
		s.t.Fatalf("a block without ----: %q", block)
	}
	return out.String()
}

func (s *script) block(lines []string) string {
	if len(lines) == 0 {
		s.t.Fatal("---- without a command")
	}
	if words := strings.Fields(lines[0]); words[0] == "show" {
		return s.show(words[1:])
	}
	b := &Batch{Base: s.a.meta.Index, Epoch: s.a.meta.Epoch, Now: s.a.meta.Now + time.Second, Level: CurrentLevel}
	if words := strings.Fields(lines[0]); words[0] == "batch" {
		fill(s.t, b, words[1:])
		lines = lines[1:]
	} else if words[0] == "again" {
		b, lines = s.last, nil
	}
	for _, line := range lines {
		b.Commands = append(b.Commands, parseCommand(s.t, line))
	}
	b.Wall = 1_700_000_000_000 + b.Now.Milliseconds()
	return s.apply(b)
}

// apply runs a batch on both states and tells what happened on the first.
func (s *script) apply(b *Batch) string {
	s.last = b
	data, err := EncodeBatch(b)
	if err != nil {
		s.t.Fatal(err)
	}
	copied, err := DecodeBatch(data)
	if err != nil {
		s.t.Fatal(err)
	}
	before := s.a.View()
	outcome := s.a.Apply(b)
	s.b.Apply(copied)
	sameHash(s.t, "a state fed the decoded batch", s.a, s.b)
	var snap bytes.Buffer
	if err := Snapshot(s.a.View(), &snap); err != nil {
		s.t.Fatal(err)
	}
	restored, err := Restore(&snap)
	if err != nil {
		s.t.Fatal(err)
	}
	sameHash(s.t, "a restored state", s.a, restored)
	for _, state := range []*State{s.a, restored} {
		if err := checkState(state.View()); err != nil {
			s.t.Fatal(err)
		}
	}
	var out strings.Builder
	if outcome.Refused != nil {
		fmt.Fprintf(&out, "refused: %v\n", outcome.Refused)
		if s.a.hash != before.hash {
			s.t.Fatal("a refused batch changed the state")
		}
		return out.String()
	}
	fmt.Fprintf(&out, "index %d at %s\n", outcome.Index, b.Now)
	for i, e := range outcome.Errs {
		if e != nil {
			fmt.Fprintf(&out, "! %s: %v\n", b.Commands[i].number(), e)
		}
	}
	for _, row := range outcome.Changed {
		out.WriteString(change(before, s.a.View(), row))
	}
	return out.String()
}

// change tells how a row changed: its new fields, the fields that changed, or that it is gone.
func change(before, after *View, row Row) string {
	was, is := lookUp(before, row), lookUp(after, row)
	name := strings.TrimSpace(tableNames[row.Table] + " " + row.ID)
	switch {
	case is == nil:
		return fmt.Sprintf("- %s\n", name)
	case was == nil:
		return fmt.Sprintf("+ %s: %s\n", name, readable(is))
	}
	old := map[string]string{}
	for _, f := range fields(was) {
		old[f[0]] = f[1]
	}
	var parts []string
	for _, f := range fields(is) {
		if f[0] == "history" {
			events := is.(*Job).History
			f[1] = "+" + readable(&events[len(events)-1])
			if slices.Equal(events, was.(*Job).History) {
				delete(old, f[0])
				continue
			}
			delete(old, f[0])
		}
		if (f[0] != "changed" || row.Table == TableHive) && old[f[0]] != f[1] {
			parts = append(parts, f[0]+"="+f[1])
		}
		delete(old, f[0])
	}
	for _, f := range fields(was) {
		if _, dropped := old[f[0]]; dropped {
			parts = append(parts, f[0]+"=")
		}
	}
	return fmt.Sprintf("~ %s: %s\n", name, strings.Join(parts, " "))
}

var tableNames = map[Table]string{TableHive: "hive", TableWorker: "worker", TableJob: "job", TableBlock: "block",
	TableModel: "model", TableCopy: "copy", TableQueen: "queen", TableKey: "key", TableIdempotency: "idempotency", TableMeta: "meta"}

// lookUp finds any row; nil when it is not there.
func lookUp(v *View, row Row) any {
	switch row.Table {
	case TableHive:
		return found(v.Hive(row.ID))
	case TableWorker:
		return found(v.Worker(row.ID))
	case TableJob:
		return found(v.Job(row.ID))
	case TableQueen:
		return found(v.Queen(row.ID))
	case TableMeta:
		m := v.Meta()
		return &m
	case TableModel:
		return found(v.models.get(row.ID))
	case TableCopy:
		for y := range v.copies.all() {
			if y.Hive+"/"+y.Model == row.ID {
				return y
			}
		}
	case TableKey:
		for k := range v.keys.all() {
			if fmt.Sprintf("%x", k.Hash) == row.ID {
				return k
			}
		}
	case TableBlock:
		for b := range v.blocks.all() {
			if b.Hive+"/"+b.Model == row.ID {
				return b
			}
		}
	case TableIdempotency:
		for r := range v.idempotency.all() {
			if r.Tenant+"/"+r.Key == row.ID {
				return r
			}
		}
	}
	return nil
}

func found[T any](p *T, ok bool) any {
	if !ok {
		return nil
	}
	return p
}

func (s *script) show(words []string) string {
	v := s.a.View()
	var out strings.Builder
	switch words[0] {
	case "counts":
		c := v.Counts()
		fmt.Fprintln(&out, readable(&c))
	case "meta":
		m := v.Meta()
		fmt.Fprintln(&out, readable(&m))
	case "queue":
		for model := range v.QueuedModels() {
			fmt.Fprintf(&out, "%s:", model)
			for j := range v.Queue(model) {
				fmt.Fprintf(&out, " %s", j.ID)
			}
			fmt.Fprintln(&out)
		}
	case "timers":
		for timer := range v.Timers(1 << 62) {
			fmt.Fprintf(&out, "%s %s %s\n", timer.At, []string{"", "ready", "deadline", "abandon"}[timer.Kind], timer.Job)
		}
	case "idle":
		for w, at := range v.Idle(1 << 62) {
			fmt.Fprintf(&out, "%s %s\n", at, w.ID)
		}
	case "loads":
		for w, at := range v.Overdue(1 << 62) {
			fmt.Fprintf(&out, "%s %s\n", at, w.ID)
		}
	case "history":
		j, _ := v.Job(words[1])
		for _, e := range j.History {
			fmt.Fprintln(&out, readable(&e))
		}
	default:
		row := Row{ID: words[1]}
		for table, name := range tableNames {
			if name == words[0] {
				row.Table = table
			}
		}
		if r := lookUp(v, row); r != nil {
			fmt.Fprintln(&out, readable(r))
		}
	}
	if out.Len() == 0 {
		return "nothing\n"
	}
	return out.String()
}

func sameHash(t *testing.T, what string, a, b *State) {
	t.Helper()
	if a.hash != b.hash {
		t.Fatalf("%s hashes to %s, not %s", what, b.hash, a.hash)
	}
}
