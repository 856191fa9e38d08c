package runlog

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"queen-rbee/hives"
)

// speech is an answer that is neither text nor one line, and looks like frames.
const speech = "\x00\xff\n\n: rbee-end {}\nid: 1.9\ndata: [DONE]\n\n\r\n"

// answered is an ended log of a run that was not streamed.
func answered(t *testing.T, s *Store, end hives.Terminal) *Log {
	t.Helper()
	l := create(t, s, Meta{Path: "/v1/audio/speech"})
	must(t, l.Start())
	must(t, l.Answer("audio/mpeg", []byte(speech)))
	_, err := l.End(end)
	must(t, err)
	return l
}

// Whoever asks for the whole gets the answer's bytes behind the end mark, whatever they look
// like, also of a store that was opened again; who wants frames hears only that it is over.
func TestAnswerIsKeptAsItCame(t *testing.T) {
	dir := t.TempDir()
	store := open(t, dir, Limits{}, newClock().now)
	l := answered(t, store, complete())
	for range 2 {
		for _, form := range []Form{{API: hives.APIOpenAI, Whole: true}, {API: hives.APITask, Whole: true}} {
			mark, rest, _ := strings.Cut(rendered(t, l, form, 0), "\n")
			if rest != speech || !strings.Contains(mark, `"answer":{"content_type":"audio/mpeg","bytes":42}`) {
				t.Errorf("%+v: %s\n%q", form, mark, rest)
			}
			s := hives.NewStream(readCloser{strings.NewReader(mark + "\n" + rest)})
			p, err := s.Next()
			if err != nil || p.End == nil || p.End.Answer == nil || p.End.Answer.Bytes != int64(len(speech)) {
				t.Fatalf("%v %+v", err, p)
			}
			if got, err := s.Rest(); err != nil || string(got) != speech {
				t.Errorf("%v %q", err, got)
			}
		}
		if got := rendered(t, l, openaiForm, 0); !strings.HasPrefix(got, "id: 1.1\n: rbee-end ") || !strings.HasSuffix(got, "}\ndata: [DONE]\nid: 1.2\n\n") {
			t.Errorf("frames: %q", got)
		}
		if got := rendered(t, l, taskForm, 0); !strings.HasPrefix(got, "event: started\n") || strings.Count(got, "\n") != 5 {
			t.Errorf("events: %q", got)
		}
		store.Close()
		store = open(t, dir, Limits{}, newClock().now)
		l, _ = store.Get("01JOB", 1)
	}
	store.Close()
}

type readCloser struct{ *strings.Reader }

func (readCloser) Close() error { return nil }

// An answer is told only of a run that is complete.
func TestAnswerOfARunThatFailedIsDropped(t *testing.T) {
	l := answered(t, newStore(t, Limits{}), hives.Terminal{Outcome: hives.Cancelled})
	got := rendered(t, l, Form{API: hives.APIOpenAI, Whole: true}, 0)
	if strings.Contains(got, "audio") || strings.Contains(got, "[DONE]") || strings.Count(got, "\n") != 1 {
		t.Errorf("%q", got)
	}
}

func TestAnswerIsBounded(t *testing.T) {
	l := create(t, newStore(t, Limits{LogBytes: 1000}), Meta{Path: "/v1/embeddings"})
	if err := l.Answer("x", nil); !errors.Is(err, ErrNotStarted) {
		t.Error(err)
	}
	must(t, l.Start())
	if err := l.Answer("application/json", bytes.Repeat([]byte("x"), 1001)); hives.CodeOf(err) != hives.CodeOutputTooLarge {
		t.Error(err)
	}
	must(t, l.Answer("application/json", bytes.Repeat([]byte("x"), 1000)))
}
