package history_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"reflect"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"queen-rbee/cmd/internal/chaos/history"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// record is a small history of many clients at once, one call of which has not returned.
func record(t *testing.T) (*history.Recorder, *bytes.Buffer) {
	t.Helper()
	var out bytes.Buffer
	r := history.NewRecorder(&out)
	var clients sync.WaitGroup
	for n := range 8 {
		clients.Go(func() {
			name := fmt.Sprintf("client-%d", n)
			c := r.Begin(history.Op{Client: name, Kind: history.Submit, Queen: "queen-1", Key: name, Task: &history.Task{Prompt: "bees", Seed: int64(n)}})
			c.End(history.Answer{Outcome: history.OK, Status: 202, JobID: "job-" + name})
			s := r.Begin(history.Op{Client: name, Kind: history.Stream, Queen: "queen-2", Job: "job-" + name})
			s.Frame(history.Frame{Event: "started", ID: "1.1", Data: "{}"})
			s.Frame(history.Frame{Event: "token", ID: "1.2", Data: `{"t":"<>\u2028","i":0}`})
			_ = r.History() // whoever looks on disturbs nobody
			s.End(history.Failed(errors.New("reset")))
		})
	}
	clients.Wait()
	r.Begin(history.Op{Client: "late", Kind: history.Show, Queen: "queen-3", Job: "job-client-1", Strong: true})
	return r, &out
}

// What is read back from the file is what was recorded: whoever looks at a violation later
// sees the same.
func TestAHistoryIsReadBackAsItWasRecorded(t *testing.T) {
	r, out := record(t)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	want := r.History()
	if len(want) != 17 || len(want[16].Frames) != 0 || want[16].End != 0 {
		t.Fatalf("recorded %+v", want)
	}
	for i, op := range want {
		if op.ID != i+1 || op.Start <= 0 || op.End != 0 && op.End < op.Start || i > 0 && op.Start < want[i-1].Start {
			t.Errorf("operation %d is %+v", i, op)
		}
		for _, f := range op.Frames {
			if f.At < op.Start || f.At > op.End {
				t.Errorf("a frame of %v came at %d", op.String(), f.At)
			}
		}
	}
	got, err := history.Read(bytes.NewReader(out.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("read back %+v\nwant %+v", got, want)
	}
}

// A recorder that was killed leaves half a line; anything else that does not parse is damage.
func TestReadLeavesOutOnlyTheCutEnd(t *testing.T) {
	r, out := record(t)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	whole := out.String()
	cut := whole[:len(whole)-20]
	ops, err := history.Read(strings.NewReader(cut))
	if err != nil || len(ops) != 16 {
		t.Errorf("a cut end gave %d operations and %v", len(ops), err)
	}
	lines := strings.SplitAfter(whole, "\n")
	lines[3] = "{\"id\":\n"
	if _, err := history.Read(strings.NewReader(strings.Join(lines, ""))); err == nil || !strings.Contains(err.Error(), "line 4") {
		t.Errorf("damage in the middle gave %v", err)
	}
}

// A history that could not be written whole says so.
func TestCloseTellsThatTheFileIsFull(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip("this system has no /dev/full")
	}
	defer func() { _ = full.Close() }()
	r := history.NewRecorder(full)
	r.Begin(history.Op{Client: "a", Kind: history.List}).End(history.Answer{Outcome: history.OK})
	if err := r.Close(); err == nil {
		t.Error("nothing was said")
	}
}

// Only what certainly was not done is a refusal.
func TestOutcomes(t *testing.T) {
	problem := func(code string) []byte { return fmt.Appendf(nil, `{"code":%q}`, code) }
	for _, tc := range []struct {
		status int
		body   []byte
		want   history.Outcome
	}{
		{200, nil, history.OK}, {202, nil, history.OK}, {204, nil, history.OK},
		{400, problem("invalid_request"), history.Refused},
		{404, problem("not_found"), history.Refused},
		{429, problem("system_at_capacity"), history.Refused},
		{503, problem("no_leader"), history.Refused},
		{503, problem("unknown_outcome"), history.Unknown},
		{503, []byte("a proxy's page"), history.Unknown},
		{500, problem("internal"), history.Unknown},
		{502, problem("worker_failed"), history.Unknown},
	} {
		header := http.Header{"X-Rbee-Job-Id": {"J"}, "X-Rbee-Index": {"12"}}
		a := history.Answered(tc.status, header, tc.body)
		if a.Outcome != tc.want || a.JobID != "J" || a.Index != 12 || a.Status != tc.status {
			t.Errorf("%d %s is %+v, want %s", tc.status, tc.body, a, tc.want)
		}
	}
	dial := &net.OpError{Op: "dial", Err: errors.New("refused")}
	if a := history.Failed(fmt.Errorf("post: %w", dial)); a.Outcome != history.Refused {
		t.Errorf("a queen that was never reached: %+v", a)
	}
	if a := history.Failed(&net.OpError{Op: "read", Err: errors.New("reset")}); a.Outcome != history.Unknown {
		t.Errorf("a lost connection: %+v", a)
	}
}

// An item of /v2/jobs decodes into a Row as it is.
func TestRowsDecode(t *testing.T) {
	var row history.Row
	err := json.Unmarshal([]byte(`{"id":"J","state":"failed","attempt":2,"worker":"w","error":{"code":"worker_failed","message":"x"},"usage":{"completion_tokens":3},"history":[]}`), &row)
	if err != nil || row.Error.Code != "worker_failed" || row.Usage.CompletionTokens != 3 || row.Attempt != 2 || !row.Ended() {
		t.Errorf("%+v, %v", row, err)
	}
}
