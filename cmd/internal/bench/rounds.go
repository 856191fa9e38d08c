package bench

import (
	"context"
	"fmt"
	"io"
	"time"
)

// Spec says what a row is.
type Spec struct {
	Name    string
	Unit    string
	Against string // what the baseline is; empty without one
	Goal    Goal
}

// Family is one row or several that are measured together.
type Family struct {
	Name string // for the log
	Rows []Spec
	// Run takes the figures. What it cannot take at all, because the machine lacks something,
	// it says by its error: the rows then stand in the table with that as their note.
	Run func(ctx context.Context, r *Rounds) error
}

// Rounds is a family being measured. It belongs to the goroutine that runs the family.
type Rounds struct {
	N     int    // rounds that count
	Quick bool   // take as little time as makes sense
	Dir   string // an empty directory on the disk to be measured; removed afterwards

	log    io.Writer
	probe  *probe
	begun  bool // the round that does not count is over
	taken  map[string]*taken
	known  map[string]bool
	noise  []sample
	worded map[string]string
}

// taken are the figures of one row.
type taken struct{ values, baselines []float64 }

// Each runs a round that does not count, then N that do. A family whose rounds need no
// warming up, or cannot be repeated so often, sets N or calls Round itself.
func (r *Rounds) Each(ctx context.Context, round func(n int) error) error {
	if err := round(0); err != nil {
		return err
	}
	r.Warm()
	for n := range r.N {
		if err := r.Round(ctx, func() error { return round(n) }); err != nil {
			return err
		}
	}
	return nil
}

// Warm says that what is put from now on counts.
func (r *Rounds) Warm() { r.begun = true }

// Round runs one round, after a look at the machine's noise.
func (r *Rounds) Round(ctx context.Context, round func() error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s, err := r.probe.take()
	if err != nil {
		return err
	}
	r.noise = append(r.noise, s)
	return round()
}

// Put notes one figure of a row and what it is measured against; None for what has no baseline.
func (r *Rounds) Put(row string, value, baseline Figure) {
	if !r.known[row] {
		panic(fmt.Sprintf("the family has no row %q", row))
	}
	if !r.begun {
		return
	}
	t := r.taken[row]
	if t == nil {
		t = &taken{}
		r.taken[row] = t
	}
	if !value.Absent() {
		t.values = append(t.values, float64(value))
	}
	if !baseline.Absent() {
		t.baselines = append(t.baselines, float64(baseline))
	}
}

// Note is printed with a row, in place of any earlier one.
func (r *Rounds) Note(row, format string, args ...any) { r.worded[row] = fmt.Sprintf(format, args...) }

// Logf says what goes on, on standard error.
func (r *Rounds) Logf(format string, args ...any) {
	_, _ = fmt.Fprintf(r.log, "  "+format+"\n", args...)
}

// Span is how long a measurement takes: a third of it in a quick run.
func (r *Rounds) Span(full time.Duration) time.Duration {
	if r.Quick {
		return full / 3
	}
	return full
}

// Pair takes a value and what it is measured against one right after the other, in an order
// that changes from round to round, so that a machine that gets slower or faster favours
// neither.
func Pair(n int, value, baseline func() (Figure, error)) (v, b Figure, err error) {
	if n%2 == 1 {
		if b, err = baseline(); err != nil {
			return None, None, err
		}
		v, err = value()
		return v, b, err
	}
	if v, err = value(); err != nil {
		return None, None, err
	}
	b, err = baseline()
	return v, b, err
}

// rows makes the lines of a family; failed is why it ended early.
func (r *Rounds) rows(f Family, failed error) []Row {
	var loops []float64
	for _, s := range r.noise {
		loops = append(loops, s.loop)
	}
	rows := make([]Row, 0, len(f.Rows))
	for _, spec := range f.Rows {
		t := r.taken[spec.Name]
		if t == nil || failed != nil {
			t = &taken{}
		}
		note := r.worded[spec.Name]
		if failed != nil {
			note = "not measured: " + failed.Error()
		}
		rows = append(rows, spec.row(t.values, t.baselines, loops, note))
	}
	return rows
}
