package runlog

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"queen-rbee/hives"
)

func TestReopen(t *testing.T) {
	c, dir := newClock(), t.TempDir()
	s := open(t, dir, Limits{}, c.now)
	meta := Meta{JobID: "J", Attempt: 2, Incarnation: 3, WorkerID: "W", AssignedIndex: 4, API: hives.APIOpenAI,
		Path: "/v1/chat/completions", Mode: hives.Detached, IncludeUsage: true, Stream: true}
	ended := create(t, s, meta)
	must(t, ended.Start())
	play(t, ended, transcript(t, "chat-stream-usage"))
	_, err := ended.End(complete())
	must(t, err)
	before := rendered(t, ended, openaiForm, 0)
	meta.Attempt = 1
	died := create(t, s, meta)
	must(t, died.Start())
	must(t, died.Append(chunk("a"), true, "a", false))
	must(t, died.Append([]byte(finishChunk), false, "", true))
	create(t, s, Meta{JobID: "K", Attempt: 1})
	s.Close()

	s = open(t, dir, Limits{}, c.now)
	defer s.Close()
	again, ok := s.Latest("J")
	if !ok || again.Meta() != ended.Meta() || again.Meta().Created != c.at {
		t.Fatalf("latest: %+v", again)
	}
	if got := rendered(t, again, openaiForm, 0); got != before {
		t.Fatalf("got\n%s\nwant\n%s", got, before)
	}
	left := s.Unfinished()
	if len(left) != 2 || left[0].Meta().Attempt != 1 || left[0].Seq() != 2 || left[1].Seq() != 0 {
		t.Fatalf("unfinished: %v", left)
	}
	end, err := left[0].End(hives.Terminal{Outcome: hives.Failed, Error: hives.Errorf(hives.CodeAgentRestarted, "restarted")})
	must(t, err)
	if end.Events != 2 || len(s.Unfinished()) != 1 || len(s.Logs()) != 3 {
		t.Fatalf("%+v", end)
	}
	if _, ok := s.Latest("L"); ok {
		t.Fatal("a job nobody knows")
	}
}

func TestOpenStrangeFiles(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Limits{}, newClock().now)
	l := create(t, s, Meta{})
	s.Close()
	header, err := os.ReadFile(l.path)
	must(t, err)
	files := []struct {
		name    string
		content []byte
		skipped bool
		left    bool
	}{
		{"01JOB.1.run", header, false, true},
		{"01JOB.2.run", header, true, true}, // says it is attempt 1
		{"notes.txt", []byte("mine"), false, true},
		{"a.01.run", []byte("mine"), false, true}, // a name we never give
		{"newer.1.run", bytes.Replace(header, []byte(magic), []byte("rbeerun9"), 1), true, true},
		{"empty.1.run", nil, false, false},
		{"torn.1.run", header[:len(header)-1], false, false},
		{"magic.1.run", header[:3], false, false},
	}
	for _, f := range files {
		must(t, os.WriteFile(filepath.Join(dir, f.name), f.content, 0o600))
	}
	s, err = Open(dir, Limits{}, newClock().now)
	must(t, err)
	defer s.Close()
	skipped := fmt.Sprint(s.Skipped())
	for _, f := range files {
		if got := bytes.Contains([]byte(skipped), []byte(f.name)); got != f.skipped {
			t.Errorf("%s: skipped %v, want %v", f.name, got, f.skipped)
		}
		if _, err := os.Stat(filepath.Join(dir, f.name)); (err == nil) != f.left {
			t.Errorf("%s: %v", f.name, err)
		}
	}
	if len(s.Logs()) != 1 {
		t.Errorf("%d logs", len(s.Logs()))
	}
}

// Whatever is in a file, a scan takes what is sound, and another scan of that finds the same.
func FuzzScan(f *testing.F) {
	dir := f.TempDir()
	s := open(f, dir, Limits{}, newClock().now)
	l := create(f, s, Meta{})
	must(f, l.Start())
	play(f, l, transcript(f, "completions-stream"))
	_, err := l.End(complete())
	must(f, err)
	s.Close()
	whole, err := os.ReadFile(l.path)
	must(f, err)
	f.Add(whole)
	f.Add(whole[:len(whole)/2])
	f.Add(append(bytes.Clone(whole), 0, 0, 0, 0, 0, 0, 0, 0, 0))
	f.Add(append([]byte(magic), 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := scan(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return
		}
		if c.size > int64(len(b)) {
			t.Fatalf("%d bytes of %d", c.size, len(b))
		}
		again, err := scan(bytes.NewReader(b[:c.size]), c.size)
		if err != nil || again.size != c.size || again.seq != c.seq || (again.terminal == nil) != (c.terminal == nil) {
			t.Fatalf("%v: %+v and %+v", err, again, c)
		}
	})
}

func FuzzDecodeRecord(f *testing.F) {
	r := Record{Kind: Content, Seq: 300, Closes: true, Chunks: []Chunk{{Raw: []byte(usageChunk), Usage: true}, {Raw: chunk("a")}}}
	f.Add(appendRecord(nil, r, []byte("a"))[frameHeader:])
	f.Add(appendRecord(nil, Record{Kind: End, Seq: 1}, []byte(`{"terminal":{},"ended_at":"2030-01-02T03:04:05Z"}`))[frameHeader:])
	f.Fuzz(func(t *testing.T, payload []byte) {
		r, _, err := decodeRecord(payload)
		if err != nil || r.Kind == End {
			return
		}
		framed := appendRecord(nil, r, r.Text)
		body, rest, err := cutFrame(framed)
		if err != nil || len(rest) != 0 {
			t.Fatal(err)
		}
		again, _, err := decodeRecord(body)
		if err != nil || fmt.Sprint(again) != fmt.Sprint(r) {
			t.Fatalf("%v\n%v\n%v", err, again, r)
		}
	})
}
