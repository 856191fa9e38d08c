package engine

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func startLog(t *testing.T, limit int64) *logFile {
	t.Helper()
	l := newLog(filepath.Join(t.TempDir(), "logs"), "w.log", limit)
	if err := l.start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.close() })
	return l
}

func TestLogRotatesAndStaysBounded(t *testing.T) {
	l := startLog(t, 100)
	all := ""
	for i := range 50 {
		line := fmt.Sprintf("line %d\n", i)
		all += line
		if n, err := l.Write([]byte(line)); n != len(line) || err != nil {
			t.Fatal(n, err)
		}
	}
	old, err1 := os.ReadFile(l.path + ".1")
	now, err2 := os.ReadFile(l.path)
	if err1 != nil || err2 != nil || len(old) != 100 || len(now) > 100 || !strings.HasSuffix(all, string(old)+string(now)) {
		t.Fatalf("%v %v\n%q\n%q", err1, err2, old, now)
	}
}

func TestLogContinuesAFile(t *testing.T) {
	l := startLog(t, 100)
	_, _ = l.Write([]byte("before\n"))
	l.close()
	if err := l.start(); err != nil {
		t.Fatal(err)
	}
	_, _ = l.Write([]byte("after\n"))
	if got, _ := os.ReadFile(l.path); string(got) != "before\nafter\n" {
		t.Fatalf("%q", got)
	}
}

func TestTail(t *testing.T) {
	l := newLog(t.TempDir(), "w.log", 100)
	if len(l.tail()) != 0 || l.last() != "" {
		t.Fatal("not empty")
	}
	for i := range 60 {
		_, _ = fmt.Fprintf(l, "%d\r\n", i) // never started: memory alone
	}
	_, _ = l.Write([]byte("part"))
	got := l.tail()
	if len(got) != tailLines || got[0] != "11" || got[tailLines-1] != "part" || got[tailLines-2] != "59" {
		t.Fatalf("%q", got)
	}
	_, _ = l.Write([]byte("ial\n" + strings.Repeat("x", 1<<20) + "\xff\n"))
	got = l.tail()
	if got[tailLines-2] != "partial" || len(got[tailLines-1]) != maxTailLine {
		t.Fatalf("%q", got[tailLines-2])
	}
	if last := l.last(); len(last) > maxTailBytes || !strings.Contains(last, "partial\n") {
		t.Fatal(len(last))
	}
}

func TestALogThatCannotBeWrittenStopsNobody(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	w := runWorker(t, definition("-say", "hello"), func(w *Worker) { w.log = newLog(file, "w.log", 100) })
	w.ready()
	if !strings.Contains(lines(w.Tail()...), "hello") {
		t.Fatalf("%q", w.Tail())
	}
}
