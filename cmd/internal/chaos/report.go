package chaos

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"queen-rbee/cmd/internal/chaos/crowd"
	"queen-rbee/cmd/internal/chaos/history"
	"queen-rbee/cmd/internal/chaos/nemesis"
)

// Report is what a run was and what came of it.
type Report struct {
	Config  Config
	Took    time.Duration           // of the faults
	Settled time.Duration           // from the last heal until everything had ended
	LeftOut map[nemesis.Kind]string // kinds that this machine cannot do, and why
	Faults  []FaultCount

	Requests    map[string]int // by what was asked
	Failures    map[string]int // what clients were told, by status and code
	Jobs        map[string]int // by the state they ended in
	Resumes     int            // connections that brought a Last-Event-ID
	StreamPause time.Duration  // the longest between two events of one reader that had begun and did not leave
	CommitPause time.Duration  // the longest in which no client saw a new index

	Checked    map[string]int // things held against each rule
	Undecided  []string
	Violations []string
	Kept       string // directory with data and logs, after a violation
}

// FaultCount is one kind of fault.
type FaultCount struct {
	Kind    nemesis.Kind
	Done    int
	Skipped int // the target was not there
	Notes   []string
}

// summarize counts what a history holds. It is pure.
func summarize(ops []history.Op, done []nemesis.Done, verdict history.Verdict) *Report {
	r := &Report{
		Requests: map[string]int{}, Failures: map[string]int{}, Jobs: map[string]int{},
		Checked: verdict.Checked, Undecided: verdict.Undecided,
		Faults: faultCounts(done), StreamPause: streamPause(ops), CommitPause: commitPause(ops),
	}
	for _, v := range verdict.Violations {
		r.Violations = append(r.Violations, v.String())
	}
	for i := range ops {
		op := &ops[i]
		r.Requests[asked(op)]++
		if f := failure(op); f != "" {
			r.Failures[f]++
		}
		if op.LastID != "" {
			r.Resumes++
		}
		if op.Kind == history.List && op.Strong && op.Filter == "" && op.Outcome == history.OK {
			clear(r.Jobs)
			for _, row := range op.Rows {
				r.Jobs[endOf(row)]++
			}
		}
	}
	return r
}

// endOf is how a job ended, with the code of its error.
func endOf(row history.Row) string {
	if row.State == "failed" && row.Error != nil {
		return "failed: " + row.Error.Code
	}
	return row.State
}

func asked(op *history.Op) string {
	if op.Kind == history.Submit && op.Attached {
		return "submit and stream"
	}
	return string(op.Kind)
}

// failure is what a client was told in place of what it asked for, "" if it got that.
func failure(op *history.Op) string {
	switch {
	case op.End == 0:
		return "no answer until the end"
	case op.Outcome == history.OK || op.Code == crowd.Left:
		return ""
	case op.Status/100 == 2 && strings.HasPrefix(op.Code, "lost"):
		return "stream broke off"
	case op.Status/100 == 2:
		return "stream " + op.Code
	case op.Status != 0:
		return fmt.Sprintf("%d %s", op.Status, op.Code)
	case strings.HasPrefix(op.Code, "lost"):
		return "connection lost or timed out"
	}
	return op.Code
}

func faultCounts(done []nemesis.Done) []FaultCount {
	var all []FaultCount
	for _, k := range nemesis.Kinds() {
		c := FaultCount{Kind: k}
		notes := map[string]bool{}
		for _, d := range done {
			switch {
			case d.Kind != k:
			case d.Skipped != "":
				c.Skipped++
			default:
				c.Done++
				notes[d.Note] = true
			}
		}
		delete(notes, "")
		if c.Notes = slices.Sorted(maps.Keys(notes)); c.Done+c.Skipped > 0 {
			all = append(all, c)
		}
	}
	return all
}

// streamPause follows each reader of each job over its connections.
func streamPause(ops []history.Op) time.Duration {
	type reader struct{ client, job string }
	at := map[reader]int64{} // of the last event; none before the first record
	var longest int64
	for i := range ops {
		op := &ops[i]
		if op.Kind != history.Stream && op.Kind != crowd.OpenAI {
			continue
		}
		who := reader{op.Client, op.Job}
		if op.LastID == "" {
			delete(at, who)
		}
		for _, f := range op.Frames {
			if last, begun := at[who]; begun {
				longest = max(longest, f.At-last)
			}
			if f.ID != "" || at[who] != 0 {
				at[who] = f.At
			}
		}
		if op.Code == crowd.Left {
			delete(at, who)
		}
	}
	return time.Duration(longest)
}

// commitPause goes by the highest index any answer has told, from the first submission to the last.
func commitPause(ops []history.Op) time.Duration {
	var told []*history.Op
	var first, last int64
	for i := range ops {
		op := &ops[i]
		if op.Index > 0 && op.End > 0 {
			told = append(told, op)
		}
		if op.Kind == history.Submit {
			if first == 0 {
				first = op.Start
			}
			last = max(last, op.End)
		}
	}
	slices.SortFunc(told, func(a, b *history.Op) int { return cmp.Compare(a.End, b.End) })
	highest, at, longest := uint64(0), first, int64(0)
	for _, op := range told {
		if op.Index > highest && op.End >= first && op.End <= last {
			longest = max(longest, op.End-at)
			at = op.End
		}
		highest = max(highest, op.Index)
	}
	return time.Duration(max(longest, last-at))
}

// Print writes the table to out and, if it is named, to a file.
func (r *Report) Print(out io.Writer, file string) error {
	text := r.text()
	_, err := io.WriteString(out, text)
	if file != "" {
		err = errors.Join(err, os.WriteFile(file, []byte(text), 0o600))
	}
	return err
}

func (r *Report) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "\nchaos: seed %d, %.0f s, %s\n\n", r.Config.Seed, r.Took.Seconds(), r.Config.cast())
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	row := func(name string, value any, note ...string) {
		_, _ = fmt.Fprintf(w, "%s\t%v\t%s\n", name, value, strings.Join(note, "; "))
	}
	total := 0
	for _, f := range r.Faults {
		notes := f.Notes
		if f.Skipped > 0 {
			notes = append([]string{fmt.Sprintf("%d more found nobody to do it to", f.Skipped)}, notes...)
		}
		row("fault "+string(f.Kind), f.Done, notes...)
		total += f.Done
	}
	row("faults", total)
	for _, k := range slices.Sorted(maps.Keys(r.LeftOut)) {
		row("left out "+string(k), "-", r.LeftOut[k])
	}
	counts := func(name string, n map[string]int) {
		for _, k := range slices.Sorted(maps.Keys(n)) {
			row(name+" "+k, n[k])
		}
	}
	counts("requests", r.Requests)
	counts("clients were told", r.Failures)
	counts("jobs", r.Jobs)
	row("resumes", r.Resumes)
	row("longest pause of a stream", r.StreamPause.Round(time.Millisecond))
	row("longest pause of new commits", r.CommitPause.Round(time.Millisecond))
	row("all had ended after", r.Settled.Round(time.Second))
	for _, rule := range history.Rules() {
		row("held against "+rule, r.Checked[rule])
	}
	for _, u := range r.Undecided {
		row("undecided", "-", u)
	}
	row("violations", len(r.Violations))
	_ = w.Flush() // into memory
	for _, v := range r.Violations {
		fmt.Fprintf(&b, "\nVIOLATION %s\n", v)
	}
	if r.Kept != "" {
		fmt.Fprintf(&b, "\nall data, logs and the history are kept in %s\n", r.Kept)
	}
	return b.String()
}
