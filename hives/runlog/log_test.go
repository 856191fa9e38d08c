package runlog

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"queen-rbee/hives"
)

func chunk(text string) json.RawMessage {
	b, err := json.Marshal(map[string]any{"choices": []any{map[string]any{"index": 0, "delta": map[string]any{"content": text}}}})
	if err != nil {
		panic(err)
	}
	return b
}

const (
	roleChunk   = `{"choices":[{"index":0,"delta":{"role":"assistant","content":null}}]}`
	finishChunk = `{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}`
	usageChunk  = `{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}}`
)

func TestOrderOfCalls(t *testing.T) {
	s := newStore(t, Limits{})
	l := create(t, s, Meta{})
	if err := l.Append(chunk("a"), true, "a", false); !errors.Is(err, ErrNotStarted) {
		t.Fatalf("append before start: %v", err)
	}
	must(t, l.Start())
	if err := l.Start(); !errors.Is(err, ErrStarted) {
		t.Fatalf("second start: %v", err)
	}
	must(t, l.Append(json.RawMessage(roleChunk), false, "", false))
	if l.Seq() != 1 {
		t.Fatalf("a chunk without content got number %d", l.Seq())
	}
	must(t, l.Append(chunk("a"), true, "a", false))
	first, err := l.End(hives.Terminal{Outcome: hives.Failed, Error: hives.Errorf(hives.CodeWorkerDied, "gone")})
	must(t, err)
	if first.Events != 2 || first.JobID != "01JOB" || first.Attempt != 1 {
		t.Fatalf("end: %+v", first)
	}
	second, err := l.End(complete())
	if !errors.Is(err, ErrEnded) || second.Outcome != hives.Failed {
		t.Fatalf("second end: %+v, %v", second, err)
	}
	if err := l.Append(chunk("b"), true, "b", false); !errors.Is(err, ErrEnded) {
		t.Fatalf("append after end: %v", err)
	}
	if _, err := s.Create(Meta{JobID: "01JOB", Attempt: 1}); !errors.Is(err, &hives.Error{Code: CodeConflict}) {
		t.Fatalf("second create: %v", err)
	}
}

func TestEndBeforeStart(t *testing.T) {
	l := create(t, newStore(t, Limits{}), Meta{})
	end, err := l.End(hives.Terminal{Outcome: hives.Cancelled})
	must(t, err)
	if end.Events != 0 {
		t.Fatalf("events %d", end.Events)
	}
	for _, from := range []uint64{0, 1} {
		fs := parseFrames([]byte(rendered(t, l, Form{API: hives.APITask}, from)))
		if len(fs) != 1 || !strings.HasPrefix(fs[0].comment, "rbee-end {") {
			t.Fatalf("from %d: %+v", from, fs)
		}
	}
}

func TestLimits(t *testing.T) {
	tooLarge := &hives.Error{Code: hives.CodeOutputTooLarge}
	tests := []struct {
		name   string
		limits Limits
		chunks []string
		want   error // of the last chunk
	}{
		{"one record", Limits{RecordBytes: 200}, []string{strings.Repeat("x", 200)}, tooLarge},
		{"whole log", Limits{LogBytes: 2000}, []string{strings.Repeat("x", 500), strings.Repeat("x", 1000)}, tooLarge},
		{"just fits", Limits{LogBytes: 2000, RecordBytes: 1000}, []string{"x", "y"}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := create(t, newStore(t, tt.limits), Meta{})
			must(t, l.Start())
			for i, text := range tt.chunks {
				err := l.Append(chunk(text), true, text, false)
				if last := i == len(tt.chunks)-1; !last {
					must(t, err)
				} else if !errors.Is(err, tt.want) {
					t.Fatalf("got %v, want %v", err, tt.want)
				}
			}
			seq := l.Seq()
			if err := l.Append(chunk("z"), true, "z", false); !errors.Is(err, tt.want) {
				t.Fatalf("after a refusal: %v, want %v", err, tt.want)
			} else if err != nil && l.Seq() != seq {
				t.Fatal("a refused chunk was counted")
			}
			_, err := l.End(hives.Terminal{Outcome: hives.Failed, Error: &hives.Error{Code: "x", Message: strings.Repeat("é", 1<<20)}})
			must(t, err) // an end always fits
			if l.Bytes() > 2<<20 {
				t.Fatal("the end's message is not bounded")
			}
		})
	}
}

func TestWaitingChunksAreBounded(t *testing.T) {
	l := create(t, newStore(t, Limits{RecordBytes: 1000}), Meta{})
	must(t, l.Start())
	for range 1000 {
		if err := l.Append(json.RawMessage(roleChunk), false, "", false); err != nil {
			if !errors.Is(err, &hives.Error{Code: hives.CodeOutputTooLarge}) {
				t.Fatal(err)
			}
			return
		}
	}
	t.Fatal("chunks without content waited without end")
}

func TestRefusedChunks(t *testing.T) {
	l := create(t, newStore(t, Limits{}), Meta{})
	must(t, l.Start())
	if err := l.Append(json.RawMessage(`{"choices":`), true, "a", false); !errors.Is(err, &hives.Error{Code: hives.CodeEngineError}) {
		t.Fatal(err)
	}
}

func TestMetaIsChecked(t *testing.T) {
	s := newStore(t, Limits{})
	for _, m := range []Meta{{}, {JobID: "../x"}, {JobID: "a.b"}, {JobID: strings.Repeat("a", 65)}, {JobID: "a", Begin: hives.Begin{I: 1}}} {
		if _, err := s.Create(m); !errors.Is(err, &hives.Error{Code: hives.CodeInvalid}) {
			t.Errorf("%+v: %v", m, err)
		}
	}
	if _, err := Open(t.TempDir(), Limits{Age: -1}, newClock().now); err == nil {
		t.Error("negative age taken")
	}
}

// A disk that refuses writes fails the run, and its end stands in memory.
func TestDiskRefuses(t *testing.T) {
	l := create(t, newStore(t, Limits{}), Meta{})
	must(t, l.Start())
	must(t, l.Append(chunk("a"), true, "a", false))
	readOnly, err := os.Open(l.path)
	must(t, err)
	l.file.Close()
	l.file = readOnly
	err = l.Append(chunk("b"), true, "b", false)
	if !errors.Is(err, &hives.Error{Code: CodeStorage}) {
		t.Fatal(err)
	}
	end, err := l.End(hives.Terminal{Outcome: hives.Failed, Error: hives.Errorf(CodeStorage, "%v", err)})
	if !errors.Is(err, &hives.Error{Code: CodeStorage}) || end.Events != 2 {
		t.Fatal(end, err)
	}
	fs := parseFrames([]byte(rendered(t, l, Form{API: hives.APITask}, 0)))
	if len(fs) != 3 || fs[1].id != "1.2" || fs[2].comment == "" {
		t.Fatalf("%+v", fs)
	}
}

func TestContinuedAttempt(t *testing.T) {
	l := create(t, newStore(t, Limits{}), Meta{JobID: "J", Attempt: 3, Begin: hives.Begin{Seq: 5, I: 4}})
	if l.Seq() != 5 {
		t.Fatalf("seq %d before start", l.Seq())
	}
	must(t, l.Start())
	must(t, l.Append(chunk("a"), true, "a", false))
	must(t, l.Append(chunk("b"), true, "b", false))
	end, err := l.End(complete())
	must(t, err)
	if end.Events != 7 {
		t.Fatalf("events %d", end.Events)
	}
	got := parseFrames([]byte(rendered(t, l, Form{API: hives.APITask}, 5)))
	if len(got) != 3 || got[0] != (frame{id: "3.6", event: "token", data: `{"t":"a","i":4}`}) || got[1].id != "3.7" {
		t.Fatalf("%+v", got)
	}
	got = parseFrames([]byte(rendered(t, l, Form{API: hives.APITask}, 4)))
	if got[0] != (frame{id: "3.5", event: "started", data: `{"model":"small"}`}) {
		t.Fatalf("%+v", got)
	}
}

// TestLargestRecordIsReadable renders the largest record there can be, in its longest form, and
// reads it as a queen does. More than a queen can read is no limit to choose.
func TestLargestRecordIsReadable(t *testing.T) {
	if _, err := Open(t.TempDir(), Limits{RecordBytes: hives.MaxRecord + 1}, time.Now); !errors.Is(err, &hives.Error{Code: hives.CodeInvalid}) {
		t.Errorf("a record that no queen can read: %v", err)
	}
	l := create(t, newStore(t, Limits{}), Meta{})
	must(t, l.Start())
	raw := json.RawMessage("{}")
	largest := strings.Repeat("\x01", hives.MaxRecord-len(raw)-hives.ChunkFraming)
	if err := l.Append(raw, true, largest, false); err != nil {
		t.Fatal(err)
	}
	_, err := l.End(complete())
	must(t, err)
	s := hives.NewStream(io.NopCloser(strings.NewReader(rendered(t, l, taskForm, 1))))
	for {
		p, err := s.Next()
		must(t, err)
		if p.Seq == 2 && strings.Count(string(p.Bytes), `\u0001`) != len(largest) {
			t.Fatalf("%d bytes came", len(p.Bytes))
		}
		if p.End != nil {
			return
		}
	}
}
