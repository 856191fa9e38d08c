package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// Report is one run.
type Report struct {
	Commit  string `json:"commit"`
	Machine string `json:"machine"`
	Rows    []Row  `json:"rows"`
}

// JSON is bench.json.
func (r Report) JSON() ([]byte, error) {
	data, err := json.MarshalIndent(r, "", "  ")
	return append(data, '\n'), err
}

// Text writes the table for a terminal.
func (r Report) Text(w io.Writer) error {
	_, _ = fmt.Fprintf(w, "commit %s\n%s\n\n", r.Commit, r.Machine)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "what\tvalue\tbaseline\tratio\tgoal\tmet\tmin..max\tbaseline\truns\tnoise")
	for _, row := range r.Rows {
		_, _ = fmt.Fprintf(t, "%s\t%s %s\t%s\t%s\t%s\t%s\t%s\t%s\t%d\t%s\n", row.Name, row.Value, row.Unit, row.Baseline, row.Ratio,
			row.Goal, row.word(), span(row.Min, row.Max), span(row.BaselineMin, row.BaselineMax), row.Runs, row.Noise)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, row := range r.Rows {
		if row.Note != "" {
			_, _ = fmt.Fprintf(w, "%s: %s\n", row.Name, row.Note)
		}
	}
	return nil
}

// Missed counts rows that were measured and miss their goal.
func (r Report) Missed() (n int) {
	for _, row := range r.Rows {
		if row.Met != nil && !*row.Met {
			n++
		}
	}
	return n
}

func (r Row) word() string {
	switch {
	case r.Met == nil:
		return "-"
	case *r.Met:
		return "yes"
	}
	return "NO"
}

func span(a, b Figure) string {
	if a.Absent() {
		return "-"
	}
	return a.String() + ".." + b.String()
}

// Markers of what Markdown writes; all around them is kept.
const (
	beginMark = "<!-- bench:begin, written by make bench BENCH=-docs; what stands outside the marks is kept -->"
	endMark   = "<!-- bench:end -->"
)

// Markdown puts the report between the marks of a page, or behind its text if it has none.
func (r Report) Markdown(page, command string) (string, error) {
	table := beginMark + "\n\n" + r.table(command) + "\n" + endMark
	before, rest, found := strings.Cut(page, beginMark)
	if !found {
		if strings.Contains(page, endMark) {
			return "", fmt.Errorf("the page has %q without the mark before it", endMark)
		}
		return strings.TrimRight(page, "\n") + "\n\n" + table + "\n", nil
	}
	_, after, found := strings.Cut(rest, endMark)
	if !found {
		return "", fmt.Errorf("the page has a beginning mark without %q behind it", endMark)
	}
	return before + table + after, nil
}

func (r Report) table(command string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Commit `%s`; %s; `%s`.\n\n", r.Commit, r.Machine, command)
	b.WriteString("| what | measured | min to max | against | measured | min to max | ratio | goal | met |\n")
	b.WriteString("|---|---|---|---|---|---|---|---|---|\n")
	for _, row := range r.Rows {
		fmt.Fprintf(&b, "| %s | %s %s | %s | %s | %s | %s | %s | %s | %s |\n", cell(row.Name), row.Value, row.Unit, to(row.Min, row.Max),
			cell(row.Against), row.Baseline, to(row.BaselineMin, row.BaselineMax), row.Ratio, row.Goal, row.word())
	}
	for _, row := range r.Rows {
		if row.Note != "" {
			fmt.Fprintf(&b, "\n- %s: %s", row.Name, row.Note)
		}
	}
	return strings.TrimRight(b.String(), "\n") + "\n"
}

func to(a, b Figure) string {
	if a.Absent() {
		return "-"
	}
	return a.String() + " to " + b.String()
}

func cell(s string) string { return strings.ReplaceAll(s, "|", "\\|") }
