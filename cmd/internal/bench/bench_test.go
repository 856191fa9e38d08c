package bench

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestMedianAndQuantile(t *testing.T) {
	for _, tt := range []struct {
		of     []float64
		median Figure
		p99    Figure
	}{
		{[]float64{7}, 7, 7},
		{[]float64{3, 1, 2}, 2, 3},
		{[]float64{4, 1, 3, 2}, 2.5, 4},
	} {
		before := slices.Clone(tt.of)
		if got := Median(tt.of); got != tt.median {
			t.Errorf("median of %v: %v, want %v", tt.of, got, tt.median)
		}
		if got := Quantile(tt.of, 0.99); got != tt.p99 {
			t.Errorf("p99 of %v: %v, want %v", tt.of, got, tt.p99)
		}
		if !slices.Equal(before, tt.of) {
			t.Errorf("%v became %v", before, tt.of)
		}
	}
	if !Median(nil).Absent() || !Quantile(nil, 0.5).Absent() {
		t.Error("nothing has a median")
	}
	hundred := make([]float64, 100)
	for i := range hundred {
		hundred[i] = float64(i + 1)
	}
	if p50, p99 := Quantile(hundred, 0.5), Quantile(hundred, 0.99); p50 != 50 || p99 != 99 {
		t.Errorf("of 1 to 100: p50 %v, p99 %v", p50, p99)
	}
}

func TestGoals(t *testing.T) {
	for _, tt := range []struct {
		goal         Goal
		value, ratio Figure
		words, met   string
	}{
		{AtLeast(8), 1, 8, "8 x or more", "yes"},
		{AtLeast(8), 100, 7.9, "8 x or more", "NO"},
		{AtMost(1.3), 100, 1.3, "1.3 x or less", "yes"},
		{AtMost(1.3), 1, 1.4, "1.3 x or less", "NO"},
		{ValueAtMost(5), 5, 100, "5 ms or less", "yes"},
		{ValueAtMost(5), 6, 1, "5 ms or less", "NO"},
		{ValueAtLeast(5), 4, 9, "5 ms or more", "NO"},
		{Goal{}, 4, 9, "measured", "-"},
		{AtLeast(8), 100, None, "8 x or more", "-"},
	} {
		row := Row{Met: tt.goal.met(tt.value, tt.ratio)}
		if tt.goal.words("ms") != tt.words || row.word() != tt.met {
			t.Errorf("%+v with %v and %v: %q, %s", tt.goal, tt.value, tt.ratio, tt.goal.words("ms"), row.word())
		}
	}
}

// What stands in bench.json is read by others: names and nulls are a promise.
func TestJSON(t *testing.T) {
	spec := Spec{Name: "a", Unit: "ms", Against: "b", Goal: AtMost(3)}
	bare := Spec{Name: "c", Unit: "us"}
	data, err := Report{Commit: "abc", Machine: "m", Rows: []Row{
		spec.row([]float64{1, 3, 2}, []float64{1, 1, 4}, []float64{10, 10, 15}, "n"),
		bare.row(nil, nil, nil, ""),
	}}.JSON()
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Commit, Machine string
		Rows            []map[string]any
	}
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"name": "a", "unit": "ms", "value": 2., "baseline": 1., "ratio": 2., "goal": "3 x or less", "met": true, "runs": 3.,
		"against": "b", "min": 1., "max": 3., "baseline_min": 1., "baseline_max": 4., "noise": 1.5, "note": "n"}
	for key, v := range want {
		if got.Rows[0][key] != v {
			t.Errorf("%s is %v, want %v", key, got.Rows[0][key], v)
		}
	}
	if len(got.Rows[0]) != len(want) || got.Commit != "abc" || got.Machine != "m" {
		t.Errorf("more or less than wanted: %s", data)
	}
	for _, key := range []string{"name", "unit", "value", "baseline", "ratio", "goal", "met", "runs"} {
		if v, there := got.Rows[1][key]; !there || (v == nil) != slices.Contains([]string{"value", "baseline", "ratio", "met"}, key) {
			t.Errorf("a row that was not measured has %s: %v", key, v)
		}
	}
}

func TestMarkdownKeepsWhatPeopleWrote(t *testing.T) {
	r := Report{Commit: "abc", Machine: "2 cores", Rows: []Row{Spec{Name: "a|b", Unit: "ms", Goal: AtMost(3)}.row([]float64{2}, []float64{1}, nil, "why")}}
	first, err := r.Markdown("# Title\n\nIntroduction.\n", "make bench")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"# Title\n\nIntroduction.\n\n", "`abc`", "2 cores", "`make bench`", "| a\\|b | 2 ms | 2 to 2 |", "| 2 | 3 x or less | yes |", "- a|b: why"} {
		if !strings.Contains(first, want) {
			t.Errorf("%q is not in\n%s", want, first)
		}
	}
	page := first + "\n## Reasons\n\nBecause.\n"
	r.Commit = "def"
	second, err := r.Markdown(page, "make bench")
	if err != nil {
		t.Fatal(err)
	}
	if want := strings.Replace(page, "`abc`", "`def`", 1); second != want {
		t.Errorf("got\n%s\nwant\n%s", second, want)
	}
	for _, torn := range []string{"x\n" + beginMark + "\n", "x\n" + endMark + "\n"} {
		if page, err := r.Markdown(torn, ""); err == nil {
			t.Errorf("a page with one mark became\n%s", page)
		}
	}
}

// options are a run without anything to see.
func options(t *testing.T) Options { return Options{Rounds: 3, Dir: t.TempDir(), Log: io.Discard} }

func find(t *testing.T, rows []Row, name string) Row {
	t.Helper()
	for _, r := range rows {
		if r.Name == name {
			return r
		}
	}
	t.Fatalf("no row %q in %v", name, rows)
	return Row{}
}

func TestTheWarmUpDoesNotCount(t *testing.T) {
	calls := 0
	f := Family{Name: "f", Rows: []Spec{{Name: "a"}}, Run: func(ctx context.Context, r *Rounds) error {
		return r.Each(ctx, func(int) error {
			calls++
			r.Put("a", Figure(calls), 1)
			return nil
		})
	}}
	rows, err := Run(t.Context(), []Family{f}, options(t))
	if err != nil {
		t.Fatal(err)
	}
	if a := find(t, rows, "a"); a.Value != 3 || a.Min != 2 || a.Max != 4 || a.Runs != 3 {
		t.Errorf("got %+v of the figures 1 to 4", a)
	}
	if noise := find(t, rows, "machine: one fdatasync"); noise.Runs != 3 || noise.Value.Absent() {
		t.Errorf("the machine's own noise: %+v", noise)
	}
}

func TestPairTakesTurns(t *testing.T) {
	var order string
	say := func(s string) func() (Figure, error) {
		return func() (Figure, error) { order += s; return Figure(len(s)), nil }
	}
	for n := range 3 {
		v, b, err := Pair(n, say("v"), say("bb"))
		if v != 1 || b != 2 || err != nil {
			t.Errorf("round %d: %v, %v, %v", n, v, b, err)
		}
	}
	if order != "vbbbbvvbb" {
		t.Errorf("order %s", order)
	}
}

// A family that cannot be measured stands in the table with the reason, the others with
// their figures, and nobody's directory stays.
func TestAFailureStandsInTheTable(t *testing.T) {
	bad := Family{Name: "bad", Rows: []Spec{{Name: "b", Goal: AtMost(1)}}, Run: func(_ context.Context, r *Rounds) error {
		r.Warm()
		r.Put("b", 1, 1)
		return errors.New("nginx is not here")
	}}
	good := Family{Name: "good", Rows: []Spec{{Name: "g"}}, Run: func(_ context.Context, r *Rounds) error {
		r.Warm()
		r.Put("g", 1, None)
		return os.WriteFile(r.Dir+"/left", nil, 0o600)
	}}
	o := options(t)
	rows, err := Run(t.Context(), []Family{bad, good}, o)
	if err != nil {
		t.Fatal(err)
	}
	if b := find(t, rows, "b"); !b.Value.Absent() || b.Met != nil || !strings.Contains(b.Note, "nginx is not here") {
		t.Errorf("got %+v", b)
	}
	if g := find(t, rows, "g"); g.Value != 1 {
		t.Errorf("got %+v", g)
	}
	if left, _ := os.ReadDir(o.Dir); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	o.Run = regexp.MustCompile("^g$")
	if rows, _ = Run(t.Context(), []Family{bad, good}, o); len(rows) != 3 || rows[0].Name != "g" {
		t.Errorf("of one family chosen by its row: %+v", rows)
	}
}
