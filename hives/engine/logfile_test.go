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

// say writes as an engine does: to the file, past the log.
func say(t *testing.T, l *logFile, text string) {
	t.Helper()
	if _, err := l.output().WriteString(text); err != nil {
		t.Fatal(err)
	}
}

func TestLogStaysBounded(t *testing.T) {
	l := startLog(t, 100)
	all := ""
	for i := range 50 {
		line := fmt.Sprintf("line %d\n", i)
		all += line
		say(t, l, line)
		if err := l.trim(); err != nil {
			t.Fatal(err)
		}
	}
	old, err1 := os.ReadFile(l.path + ".1")
	now, err2 := os.ReadFile(l.path)
	if err1 != nil || err2 != nil || len(old) != 100 || len(now) > 100 || !strings.HasSuffix(all, string(old)+string(now)) {
		t.Fatalf("%v %v\n%q\n%q", err1, err2, old, now)
	}
	if got := strings.Join(l.tail(), "\n") + "\n"; !strings.HasSuffix(string(old)+string(now), got) || !strings.HasSuffix(got, "line 49\n") {
		t.Fatalf("the tail of both files is %q", got)
	}
}

func TestALogThatCannotBeKeptIsCut(t *testing.T) {
	l := startLog(t, 100)
	if err := os.Mkdir(l.path+".1", 0o700); err != nil {
		t.Fatal(err)
	}
	say(t, l, strings.Repeat("x", 1000))
	if err := l.trim(); err == nil {
		t.Fatal("that the old lines are lost should be told")
	}
	say(t, l, "after\n")
	if now, _ := os.ReadFile(l.path); string(now) != "after\n" {
		t.Fatalf("%d bytes", len(now))
	}
}

func TestLogContinuesAFile(t *testing.T) {
	l := startLog(t, 100)
	say(t, l, "before\n")
	l.close()
	if err := l.start(); err != nil {
		t.Fatal(err)
	}
	say(t, l, "after\n")
	if got, _ := os.ReadFile(l.path); string(got) != "before\nafter\n" {
		t.Fatalf("%q", got)
	}
}

func TestTail(t *testing.T) {
	l := startLog(t, 1<<30)
	if len(l.tail()) != 0 || l.last() != "" {
		t.Fatal("not empty")
	}
	for i := range 60 {
		say(t, l, fmt.Sprintf("%d\r\n", i))
	}
	l.note("of ours")
	say(t, l, "part")
	got := l.tail()
	if len(got) != tailLines || got[0] != "11" || got[tailLines-1] != "part" || got[tailLines-2] != "59" {
		t.Fatalf("%q", got)
	}
	say(t, l, "ial\n"+strings.Repeat("x", tailRead/2)+"\xff\n")
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
	runWorker(t, definition("-say", "hello"), func(w *Worker) { w.log = newLog(file, "w.log", 100) }).ready()
}
