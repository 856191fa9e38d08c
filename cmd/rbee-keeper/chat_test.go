package main

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"strings"
	"testing"

	"queen-rbee/cmd/rbee-keeper/client/clienttest"
)

// TestChatRemembers: every question goes with all that was said before, until it is forgotten.
func TestChatRemembers(t *testing.T) {
	f := clienttest.New(t, 1)
	in := strings.NewReader("hello\nmore\n/clear\nagain\n")
	var out, errs bytes.Buffer
	if code := Main([]string{"chat", "builtin/markov", "--system=s", "--max-tokens=1", "--api-key=key", "--queen=" + f.URLs()[0]}, in, &out, &errs); code != 0 {
		t.Fatalf("exit code %d: %s", code, errs.String())
	}
	want := []string{
		`[{"content":"s","role":"system"},{"content":"hello","role":"user"}]`,
		`[{"content":"s","role":"system"},{"content":"hello","role":"user"},{"content":"h0.0 ","role":"assistant"},{"content":"more","role":"user"}]`,
		`[{"content":"s","role":"system"},{"content":"again","role":"user"}]`,
	}
	jobs := f.Jobs()
	if len(jobs) != len(want) {
		t.Fatalf("%d jobs", len(jobs))
	}
	for i, j := range jobs {
		said, err := json.Marshal(j.Task["messages"])
		if err != nil || string(said) != want[i] {
			t.Errorf("question %d: %v\n got %s\nwant %s", i, err, said, want[i])
		}
		if j.Task["session"] == nil || j.Task["session"] != jobs[0].Task["session"] {
			t.Errorf("question %d is of the session %v", i, j.Task["session"])
		}
	}
}

// TestCtrlCEndsTheAnswerAlone: the job is cancelled, what came stays said, and the conversation,
// here of a script, ends in order.
func TestCtrlCEndsTheAnswerAlone(t *testing.T) {
	f := clienttest.New(t, 1)
	interrupts := make(chan os.Signal, 1)
	f.Queens[0].Fail(clienttest.Fault{Match: "POST /v2/tasks", Frames: 5, Silent: true})
	in, typing := io.Pipe()
	var out, errs bytes.Buffer
	seen := writerFunc(func(b []byte) (int, error) {
		if n, err := out.Write(b); err != nil || out.String() != "h0.0 h0.1 " {
			return n, err
		}
		interrupts <- os.Interrupt // when the person has read so much
		return len(b), nil
	})
	k := &keeper{in: in, out: seen, err: &errs, signals: interrupts}
	cmd := root(k)
	cmd.SetArgs([]string{"chat", "builtin/markov", "--max-tokens=9", "--api-key=key", "--queen=" + f.URLs()[0]})
	ended := make(chan int)
	go func() { ended <- k.exit(cmd.Execute()) }()
	if _, err := io.WriteString(typing, "hello\n"); err != nil {
		t.Fatal(err)
	}
	if code := <-ended; code != exitFailed {
		t.Errorf("exit code %d", code)
	}
	_ = typing.Close()
	jobs := f.Jobs()
	if len(jobs) != 1 || jobs[0].State != "cancelled" {
		t.Errorf("jobs: %+v", jobs)
	}
	if got := out.String(); got != "h0.0 h0.1 \n" {
		t.Errorf("shown: %q", got)
	}
	if !strings.Contains(errs.String(), "cancelled") {
		t.Errorf("said: %s", errs.String())
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }
