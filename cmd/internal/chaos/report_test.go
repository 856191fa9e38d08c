package chaos

import (
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"queen-rbee/cmd/internal/chaos/crowd"
	"queen-rbee/cmd/internal/chaos/history"
	"queen-rbee/cmd/internal/chaos/nemesis"
)

// at is a time on the history's clock, in seconds.
func at(seconds float64) int64 { return int64(seconds * float64(time.Second)) }

func frames(from float64, ids ...string) (all []history.Frame) {
	for i, id := range ids {
		all = append(all, history.Frame{Event: "token", ID: id, At: at(from + float64(i)/10)})
	}
	return all
}

func answer(outcome history.Outcome, status int, code string, index uint64) history.Answer {
	return history.Answer{Outcome: outcome, Status: status, Code: code, Index: index}
}

func TestStreamPauseIsWhatAReaderWaited(t *testing.T) {
	stream := func(job, last, code string, fs []history.Frame) history.Op {
		return history.Op{Client: "c", Kind: history.Stream, Job: job, LastID: last, Answer: history.Answer{Code: code}, Frames: fs}
	}
	for name, tt := range map[string]struct {
		ops  []history.Op
		want time.Duration
	}{
		"within a connection":    {[]history.Op{stream("j", "", "", append(frames(1, "1.1"), frames(3, "1.2")...))}, 2 * time.Second},
		"over a broken one":      {[]history.Op{stream("j", "", "lost: EOF", frames(1, "1.1")), stream("j", "1.1", "", frames(6, "1.2"))}, 5 * time.Second},
		"not while he was away":  {[]history.Op{stream("j", "", crowd.Left, frames(1, "1.1", "1.2")), stream("j", "1.2", "", frames(6, "1.3"))}, 100 * time.Millisecond},
		"not before it began":    {[]history.Op{stream("j", "", "", append(frames(1, ""), frames(9, "1.1", "1.2")...))}, 100 * time.Millisecond},
		"not between two jobs":   {[]history.Op{stream("j", "", "", frames(1, "1.1")), stream("k", "", "", frames(9, "1.1"))}, 0},
		"not before a new start": {[]history.Op{stream("j", "", "", frames(1, "1.1")), stream("j", "", "", frames(9, "1.1"))}, 0},
	} {
		if got := streamPause(tt.ops); got != tt.want {
			t.Errorf("%s: %s, want %s", name, got, tt.want)
		}
	}
}

func TestCommitPauseIsBetweenNewIndexes(t *testing.T) {
	op := func(kind history.Kind, start, end float64, index uint64) history.Op {
		return history.Op{Kind: kind, Start: at(start), End: at(end), Answer: history.Answer{Outcome: history.OK, Index: index}}
	}
	got := commitPause([]history.Op{
		op(history.Submit, 1, 2, 5),
		op(history.Show, 2, 3, 5),   // nothing new
		op(history.Show, 3, 4, 4),   // a replica that is behind
		op(history.Submit, 4, 6, 6), // four seconds after the last
		op(history.Submit, 6, 7, 7),
		op(history.Hash, 7, 99, 8), // after all clients
	})
	if got != 4*time.Second {
		t.Errorf("the pause is %s, want 4 s", got)
	}
}

var rewrite = flag.Bool("rewrite", false, "write testdata/report.txt anew")

func TestReport(t *testing.T) {
	row := func(id, state string) history.Row {
		var r history.Row
		if err := json.Unmarshal([]byte(`{"id":"`+id+`","state":"`+state+`"}`), &r); err != nil {
			t.Fatal(err)
		}
		return r
	}
	list := history.Op{Client: "watch", Kind: history.List, Strong: true, Start: at(8), End: at(9), Answer: answer(history.OK, 200, "", 9)}
	list.Rows = []history.Row{row("a", "complete"), row("b", "complete"), row("c", "failed")}
	early := list
	early.Rows = []history.Row{row("a", "queued")}
	report := summarize([]history.Op{
		{Client: "c", Kind: history.Submit, Key: "k", Attached: true, Start: at(1), End: at(2), Answer: answer(history.OK, 200, "", 3)},
		{Client: "c", Kind: history.Submit, Key: "l", Start: at(1), End: at(2), Answer: answer(history.Refused, 503, "no_leader", 0)},
		{Client: "c", Kind: history.Submit, Key: "m", Start: at(2), End: at(3), Answer: answer(history.Unknown, 0, "lost: EOF", 0)},
		{Client: "c", Kind: history.Submit, Key: "n", Start: at(2), End: at(3), Answer: answer(history.Refused, 0, "unreachable", 0)},
		{Client: "c", Kind: history.Stream, Job: "a", Start: at(2), End: at(3), Answer: answer(history.Unknown, 200, "lost: EOF", 0), Frames: frames(2, "1.1", "1.2")},
		{Client: "c", Kind: history.Stream, Job: "a", LastID: "1.2", Start: at(3), End: at(4), Answer: answer(history.Unknown, 200, crowd.Left, 0), Frames: frames(3.5, "1.3")},
		{Client: "c", Kind: history.Show, Job: "a", Start: at(4)},
		early, list,
	}, []nemesis.Done{
		{Kind: "loss", Target: "queen-1"},
		{Kind: "disk", Target: "queen-3", Note: "250 MiB filled it"},
		{Kind: "disk", Target: "queen-3", Note: "250 MiB filled it"},
		{Kind: "kill-leader", Skipped: "no queen leads"},
	}, history.Verdict{Checked: map[string]int{history.Ended: 3}})
	report.Config = Config{Seed: 7, Queens: 3, Hives: 2, Clients: 1}
	report.Took, report.Settled = 90*time.Second, 5*time.Second
	report.LeftOut = map[nemesis.Kind]string{"rate": "not root"}
	report.Violations = []string{"6 replicas are equal: they are not"}
	report.Kept = "/somewhere"
	const golden = "testdata/report.txt"
	if *rewrite {
		if err := os.WriteFile(golden, []byte(report.text()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got := report.text(); got != string(want) {
		t.Errorf("the report is\n%s\nwant\n%s", got, want)
	}
}

func TestFlagsAreChecked(t *testing.T) {
	for _, tt := range []struct {
		args, names string
	}{
		{"", ""},
		{"-duration 90s -seed 1 -faults loss,disk -queens 5 -relays 1 -hives 3 -clients 4", ""},
		{"-duration 0s", "-duration"},
		{"-faults flood", "-faults"},
		{"-queens 2", "-queens"},
		{"-relays 5", "-relays"},
		{"-hives 0", "-hives"},
		{"-clients 0", "-clients"},
	} {
		var c Config
		f := flag.NewFlagSet("chaos", flag.ContinueOnError)
		c.Flags(f, 1)
		if err := f.Parse(strings.Fields(tt.args)); err != nil {
			t.Fatal(err)
		}
		err := c.Validate()
		if (err == nil) != (tt.names == "") || err != nil && !strings.HasPrefix(err.Error(), tt.names) {
			t.Errorf("%q: %v, want an error that names %q", tt.args, err, tt.names)
		}
	}
}

func TestRestartsAreHeldToTheirWish(t *testing.T) {
	for name, tt := range map[string]struct {
		wish  string
		row   history.Row
		wrong bool
	}{
		"given up at once":     {"restart", history.Row{ID: "j", State: "failed", Attempt: 1}, true},
		"given up at last":     {"restart", history.Row{ID: "j", State: "failed", Attempt: 3}, false},
		"done":                 {"restart", history.Row{ID: "j", State: "complete", Attempt: 1}, false},
		"asked for no restart": {"", history.Row{ID: "j", State: "failed", Attempt: 1}, false},
	} {
		ops := []history.Op{
			{Kind: history.Submit, Task: &history.Task{OnWorkerLoss: tt.wish}, Answer: history.Answer{JobID: "j"}},
			{Kind: history.List, Answer: history.Answer{Rows: []history.Row{tt.row}}},
		}
		if got := wishes(ops); (len(got) > 0) != tt.wrong {
			t.Errorf("%s: found %q", name, got)
		}
	}
}

func TestOpenAIReadersAreHeldToTheState(t *testing.T) {
	task := history.Task{Prompt: "p"}
	texts := map[history.Task]string{task: "a b"}
	ended := func(state string) []history.Op {
		return []history.Op{{Kind: history.List, Answer: history.Answer{Rows: []history.Row{{ID: "j", State: state}}}}}
	}
	for name, tt := range map[string]struct {
		read  crowd.Read
		state string
		wrong bool
	}{
		"whole":                    {crowd.Read{Job: "j", Task: task, Text: "a b", Done: true, Over: true}, "complete", false},
		"broken off":               {crowd.Read{Job: "j", Task: task, Text: "a"}, "complete", false},
		"failed":                   {crowd.Read{Job: "j", Task: task, Text: "a", Over: true}, "failed", false},
		"another text":             {crowd.Read{Job: "j", Task: task, Text: "a c"}, "complete", true},
		"done too early":           {crowd.Read{Job: "j", Task: task, Text: "a", Done: true, Over: true}, "complete", true},
		"done, which it never was": {crowd.Read{Job: "j", Task: task, Text: "a b", Done: true, Over: true}, "failed", true},
		"an error that never was":  {crowd.Read{Job: "j", Task: task, Text: "a", Over: true}, "complete", true},
	} {
		if got := chats([]crowd.Read{tt.read}, ended(tt.state), texts); (len(got) > 0) != tt.wrong {
			t.Errorf("%s: found %q", name, got)
		}
	}
}
