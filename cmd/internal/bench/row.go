package bench

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
)

// Figure is a number that may be absent: NaN, which is null in JSON.
type Figure float64

// None is an absent figure.
var None = Figure(math.NaN())

// Absent tells a figure that is not there.
func (f Figure) Absent() bool { return math.IsNaN(float64(f)) || math.IsInf(float64(f), 0) }

// MarshalJSON implements json.Marshaler.
func (f Figure) MarshalJSON() ([]byte, error) {
	if f.Absent() {
		return []byte("null"), nil
	}
	return json.Marshal(float64(f))
}

// UnmarshalJSON implements json.Unmarshaler.
func (f *Figure) UnmarshalJSON(data []byte) error {
	*f = None
	if string(data) == "null" {
		return nil
	}
	return json.Unmarshal(data, (*float64)(f))
}

// String has four digits at most, and "-" for nothing.
func (f Figure) String() string {
	v := float64(f)
	switch {
	case f.Absent():
		return "-"
	case math.Abs(v) >= 1000:
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'g', 4, 64)
}

// Goal is what a row is held to. The zero Goal promises nothing.
type Goal struct {
	Bound float64
	Least bool // the figure must be at least Bound; else at most
	Plain bool // the figure is the value itself; else its ratio to the baseline
	set   bool
}

// AtLeast wants a ratio of bound or more.
func AtLeast(bound float64) Goal { return Goal{Bound: bound, Least: true, set: true} }

// AtMost wants a ratio of bound or less.
func AtMost(bound float64) Goal { return Goal{Bound: bound, set: true} }

// ValueAtLeast wants a value of bound or more, in the row's unit.
func ValueAtLeast(bound float64) Goal { return Goal{Bound: bound, Least: true, Plain: true, set: true} }

// ValueAtMost wants a value of bound or less, in the row's unit.
func ValueAtMost(bound float64) Goal { return Goal{Bound: bound, Plain: true, set: true} }

func (g Goal) words(unit string) string {
	if !g.set {
		return "measured"
	}
	what, side := "x", "less"
	if g.Plain {
		what = unit
	}
	if g.Least {
		side = "more"
	}
	return fmt.Sprintf("%s %s or %s", Figure(g.Bound), what, side)
}

// met is nil where nothing is promised or known.
func (g Goal) met(value, ratio Figure) *bool {
	f := ratio
	if g.Plain {
		f = value
	}
	if !g.set || f.Absent() {
		return nil
	}
	ok := float64(f) <= g.Bound
	if g.Least {
		ok = float64(f) >= g.Bound
	}
	return &ok
}

// Row is one line of the report.
type Row struct {
	Name     string `json:"name"`
	Unit     string `json:"unit"`
	Value    Figure `json:"value"`    // median over the rounds
	Baseline Figure `json:"baseline"` // median over the rounds
	Ratio    Figure `json:"ratio"`    // Value/Baseline
	Goal     string `json:"goal"`
	Met      *bool  `json:"met"`
	Runs     int    `json:"runs"` // rounds that count

	Against     string `json:"against,omitempty"` // what the baseline is
	Min         Figure `json:"min"`
	Max         Figure `json:"max"`
	BaselineMin Figure `json:"baseline_min"`
	BaselineMax Figure `json:"baseline_max"`
	Noise       Figure `json:"noise"` // worst CPU loop of these rounds against their median
	Note        string `json:"note,omitempty"`
}

// row makes a line of what was taken.
func (s Spec) row(values, baselines, loops []float64, note string) Row {
	r := Row{
		Name: s.Name, Unit: s.Unit, Against: s.Against, Runs: len(values), Note: note,
		Value: Median(values), Min: least(values), Max: greatest(values),
		Baseline: Median(baselines), BaselineMin: least(baselines), BaselineMax: greatest(baselines),
		Noise: greatest(loops) / Median(loops),
		Goal:  s.Goal.words(s.Unit),
	}
	r.Ratio = r.Value / r.Baseline
	r.Met = s.Goal.met(r.Value, r.Ratio)
	return r
}
