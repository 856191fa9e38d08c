package batch

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"queen-rbee/cmd/rbee-keeper/client"
	"queen-rbee/cmd/rbee-keeper/client/clienttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const prompts = 20

// setup is a file of prompts, fake queens, and how to run the one at the others.
func setup(t *testing.T) (*clienttest.Fake, Config) {
	t.Helper()
	fake := clienttest.New(t, 2)
	c, err := client.New(client.Config{Queens: fake.URLs(), APIKey: "key", Patience: time.Second, Backoff: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	dir := t.TempDir()
	var file strings.Builder
	for i := range prompts {
		fmt.Fprintf(&file, "{\"prompt\": \"same\", \"max_tokens\": 2, \"id\": %d}\n", i)
	}
	cfg := Config{
		Client: c, File: filepath.Join(dir, "prompts.jsonl"), Out: filepath.Join(dir, "results.jsonl"), Concurrency: 3,
		Defaults: map[string]json.RawMessage{"model": json.RawMessage(`"builtin/markov"`)},
		Progress: func(Tally) {}, Notice: func(string) {},
	}
	if err := os.WriteFile(cfg.File, []byte(file.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return fake, cfg
}

// interrupt runs the file until so many lines are done.
func interrupt(t *testing.T, cfg Config, after int) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	cfg.Progress = func(tally Tally) {
		if tally.Done >= after {
			cancel()
		}
	}
	if tally, err := Run(ctx, cfg); !errors.Is(err, context.Canceled) || tally.Done < after || tally.Done == prompts {
		t.Fatalf("interrupted after %+v with %v", tally, err)
	}
}

// results reads the output, in which every line of the file stands once.
func results(t *testing.T, cfg Config, n int) map[int]Result {
	t.Helper()
	data, err := os.ReadFile(cfg.Out)
	if err != nil {
		t.Fatal(err)
	}
	all := map[int]Result{}
	for text := range bytes.Lines(data) {
		var r Result
		if err := json.Unmarshal(text, &r); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if _, twice := all[r.Line]; twice {
			t.Errorf("line %d has two results", r.Line)
		}
		all[r.Line] = r
	}
	if len(all) != n {
		t.Errorf("%d results, want %d", len(all), n)
	}
	return all
}

// However often a run is interrupted, and even when its last result was written by half, each
// line is submitted once and has one result in the end.
func TestAnInterruptedRunGoesOn(t *testing.T) {
	fake, cfg := setup(t)
	interrupt(t, cfg, 3)
	before := len(fake.Jobs())
	interrupt(t, cfg, 9)
	data, err := os.ReadFile(cfg.Out)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(cfg.Out, data[:len(data)-5], 0o600); err != nil { // killed while it wrote
		t.Fatal(err)
	}
	var first Tally
	cfg.Progress = func(tally Tally) {
		if first.Lines == 0 {
			first = tally
		}
	}
	tally, err := Run(t.Context(), cfg)
	if err != nil || tally != (Tally{Lines: prompts, Done: prompts}) {
		t.Fatalf("%+v, %v", tally, err)
	}
	if first.Done < 8 || before < 3 {
		t.Errorf("the last start began with %+v; the first made %d jobs", first, before)
	}
	if n := len(fake.Jobs()); n != prompts {
		t.Errorf("%d jobs were made of %d lines", n, prompts)
	}
	jobs := map[string]bool{}
	for n, r := range results(t, cfg, prompts) {
		jobs[r.JobID] = true
		if want := fmt.Sprint(n - 1); string(r.ID) != want || r.Error != nil || r.Text != "s0.0 s0.1 " {
			t.Errorf("line %d: %+v", n, r)
		}
	}
	if len(jobs) != prompts {
		t.Errorf("%d jobs for %d lines that say the same", len(jobs), prompts)
	}
	if _, err := os.Stat(cfg.Out + ".run"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the run is over, and its file is there: %v", err)
	}
}

// An answer that is lost is asked for again under the same key.
func TestALostAnswerMakesNoSecondJob(t *testing.T) {
	fake, cfg := setup(t)
	fake.Queens[0].Fail(clienttest.Fault{Match: "POST /v2/tasks", DropAfter: true}, clienttest.Fault{Match: "events", Drop: true})
	if tally, err := Run(t.Context(), cfg); err != nil || tally.Done != prompts {
		t.Fatalf("%+v, %v", tally, err)
	}
	if n := len(fake.Jobs()); n != prompts {
		t.Errorf("%d jobs were made of %d lines", n, prompts)
	}
}

// A run is taken up only with the lines and flags it was begun with: its results would be of
// something else.
func TestAChangedFileIsNotTakenUp(t *testing.T) {
	fake, cfg := setup(t)
	interrupt(t, cfg, 3)
	made := len(fake.Jobs())
	other := cfg
	other.Defaults = map[string]json.RawMessage{"model": json.RawMessage(`"builtin/markov"`), "seed": json.RawMessage("4")}
	if _, err := Run(t.Context(), other); err == nil || !strings.Contains(err.Error(), "other lines or flags") {
		t.Errorf("other flags: %v", err)
	}
	if err := os.WriteFile(cfg.Out, []byte("mine\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Run(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "no result") {
		t.Errorf("a foreign output: %v", err)
	}
	if data, err := os.ReadFile(cfg.Out); err != nil || string(data) != "mine\n" {
		t.Errorf("the output is %q, %v", data, err)
	}
	if len(fake.Jobs()) != made {
		t.Error("jobs were made")
	}
}

// Two keepers on one output would write every result twice.
func TestASecondKeeperIsKeptOut(t *testing.T) {
	fake, cfg := setup(t)
	j, err := openJournal(cfg.Out, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := openJournal(cfg.Out, "", nil); err == nil || !strings.Contains(err.Error(), "by another keeper") {
		t.Errorf("a second start: %v", err)
	}
	if err := j.close(false); err != nil {
		t.Fatal(err)
	}
	if j, err = openJournal(cfg.Out, "", nil); err != nil {
		t.Fatalf("after the first: %v", err)
	}
	if err := j.close(true); err != nil {
		t.Fatal(err)
	}
	if len(fake.Jobs()) > 0 {
		t.Error("jobs were made")
	}
}

// Without a file for the results nobody could collect them later: what runs is cancelled.
func TestAnInterruptedRunWithoutOutCancels(t *testing.T) {
	fake, cfg := setup(t)
	cfg.Out, cfg.Results, cfg.Concurrency = "", new(bytes.Buffer), 1
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	fake.Queens[0].Fail(clienttest.Fault{Match: "events", Frames: 2, Silent: true, Then: cancel})
	if _, err := Run(ctx, cfg); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if jobs := fake.Jobs(); len(jobs) != 1 || jobs[0].State != "cancelled" {
		t.Errorf("%d jobs were made, the first is %s", len(jobs), jobs[0].State)
	}
}

// A line is bounded, whatever comes without an end.
func TestALineTooLongIsNamed(t *testing.T) {
	_, cfg := setup(t)
	long := append([]byte("{\"prompt\":\"a\"}\n"), bytes.Repeat([]byte("x"), MaxLine+10)...)
	if err := os.WriteFile(cfg.File, long, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Run(t.Context(), cfg)
	if bad, ok := errors.AsType[*BadLines](err); !ok || !strings.Contains(bad.Error(), "line 2: is over 8 MiB") {
		t.Errorf("%v", err)
	}
}
