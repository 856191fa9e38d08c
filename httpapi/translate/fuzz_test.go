package translate

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// FuzzRequest: a body makes a chat body that is JSON, or is refused by a field's name.
func FuzzRequest(f *testing.F) {
	for api, cases := range refused {
		for more := range cases {
			f.Add(api == "responses", []byte(fine[api]+","+more+"}"))
		}
		f.Add(api == "responses", []byte(fine[api]+"}"))
	}
	f.Fuzz(func(t *testing.T, responses bool, body []byte) {
		api := "messages"
		if responses {
			api = "responses"
		}
		r, err := read2[api](body)
		var e *FieldError
		switch {
		case err != nil && (!errors.As(err, &e) || e.Field == "" || e.Message == ""):
			t.Fatalf("%v", err)
		case err == nil && (!json.Valid(r.Body) || r.Model == ""):
			t.Fatalf("%q", r.Body)
		case err == nil:
			checkAnswer(t, api, r, [][]byte{[]byte(`{"choices":[{"delta":{"content":"x"},"finish_reason":"stop"}]}`)})
		}
	})
}

// FuzzChunks: whatever an engine sends as chunks, the events are whole and in order.
func FuzzChunks(f *testing.F) {
	transcripts, _ := filepath.Glob("../../testdata/transcripts/*.sse")
	if len(transcripts) == 0 {
		f.Fatal("no transcripts")
	}
	for _, name := range transcripts {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(bytes.ReplaceAll(data, []byte("data: "), nil))
	}
	f.Add([]byte(`{"choices":[{"delta":{"tool_calls":[{"index":1},{"id":"a","function":{"arguments":"x"}},{"index":1,"function":{"name":"f"}}]}}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		for api, more := range map[string]string{"responses": "}", "messages": `,"thinking":{"type":"adaptive"}}`} {
			r, err := read2[api]([]byte(fine[api] + more))
			if err != nil {
				t.Fatal(err)
			}
			checkAnswer(t, api, r, bytes.Split(data, []byte("\n")))
		}
	})
}

// checkAnswer plays chunks and reads what comes of them.
func checkAnswer(t *testing.T, api string, r *Request, chunks [][]byte) {
	a := r.Answer(Run{Job: "J", Created: 1})
	frames := a.Begin()
	var err error
	for _, c := range chunks {
		if frames, err = a.Chunk(frames, c); err != nil {
			break
		}
	}
	var e *AnswerError
	if err != nil && !errors.As(err, &e) {
		t.Fatal(err)
	}
	if err != nil {
		eventsOf(t, a.Fail(frames, Failure{Status: 502, Code: "worker_failed", Message: err.Error()}))
		return
	}
	frames = a.End(frames, Usage{})
	events := eventsOf(t, frames)
	if api == "messages" {
		foldMessage(t, events)
	} else {
		foldResponse(t, events)
	}
	for _, c := range chunks {
		if answer, err := r.Answer(Run{Job: "J"}).Whole(c); err == nil && !json.Valid(answer) {
			t.Fatalf("whole: %q", answer)
		}
	}
}
