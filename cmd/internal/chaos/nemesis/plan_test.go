package nemesis

import (
	"reflect"
	"slices"
	"testing"
	"time"
)

func TestOneSeedIsOnePlan(t *testing.T) {
	a, b := Plan(7, time.Hour, Kinds()), Plan(7, time.Hour, Kinds())
	if !reflect.DeepEqual(a, b) {
		t.Error("one seed made two plans")
	}
	if reflect.DeepEqual(a, Plan(8, time.Hour, Kinds())) {
		t.Error("two seeds made one plan")
	}
}

func TestPlanFillsTheTime(t *testing.T) {
	for _, total := range []time.Duration{time.Millisecond, 90 * time.Second, time.Hour} {
		rounds := Plan(1, total, Kinds())
		var length, before time.Duration
		for _, r := range rounds {
			before = length
			length += r.length()
		}
		if length < total || before >= total {
			t.Errorf("%d rounds of %s were planned for %s, without the last %s", len(rounds), length, total, before)
		}
	}
	if rounds := Plan(1, time.Hour, nil); len(rounds) != 0 {
		t.Errorf("%d rounds were made of no kinds", len(rounds))
	}
}

// Every kind comes once before any comes again, so that a run of some minutes meets all.
func TestPlanDealsEveryKind(t *testing.T) {
	for seed := range uint64(50) {
		var dealt []Kind
		for _, r := range Plan(seed, 10*time.Minute, Kinds()) {
			for _, s := range r.Steps {
				dealt = append(dealt, s.Kind)
			}
		}
		for n := len(Kinds()); len(dealt) >= n; dealt = dealt[n:] {
			deck := slices.Clone(dealt[:n])
			slices.Sort(deck)
			if len(slices.Compact(deck)) != n {
				t.Fatalf("seed %d dealt %v", seed, dealt[:n])
			}
		}
	}
}

func TestStepsKeepTheirBounds(t *testing.T) {
	pairs := 0
	for seed := range uint64(50) {
		for _, r := range Plan(seed, 10*time.Minute, Kinds()) {
			if r.Pause < shortPause || r.Pause > longPause {
				t.Errorf("seed %d: pause %s", seed, r.Pause)
			}
			for _, s := range r.Steps {
				if k := find(s.Kind); s.For < k.from || s.For > k.to {
					t.Errorf("seed %d: %s for %s", seed, s.Kind, s.For)
				}
			}
			if len(r.Steps) == 1 {
				continue
			}
			pairs++
			first, second := r.Steps[0], r.Steps[1]
			switch {
			case len(r.Steps) > 2, find(first.Kind).alone, find(second.Kind).alone, Needed(first.Kind) == Needed(second.Kind):
				t.Errorf("seed %d: %v at the same time", seed, r.Steps)
			case first.After != 0, second.After > first.For:
				t.Errorf("seed %d: %v do not overlap", seed, r.Steps)
			}
		}
	}
	if pairs == 0 {
		t.Error("no two steps ever overlapped")
	}
}

// Two steps at a time want kinds of two needs; where there is one, rounds have one step.
func TestPlanOfOneKind(t *testing.T) {
	for _, r := range Plan(3, time.Hour, []Kind{"loss"}) {
		if len(r.Steps) != 1 || r.Steps[0].Kind != "loss" {
			t.Fatalf("planned %v", r)
		}
	}
}

func TestParse(t *testing.T) {
	for _, tt := range []struct {
		list string
		want []Kind
		ok   bool
	}{
		{"all", Kinds(), true},
		{"none", nil, true},
		{"loss", []Kind{"loss"}, true},
		{"kill-leader, loss", []Kind{"kill-leader", "loss"}, true},
		{"", nil, false},
		{"kill-leader,", nil, false},
		{"loss,loss", nil, false},
		{"flood", nil, false},
	} {
		got, err := Parse(tt.list)
		if !slices.Equal(got, tt.want) || (err == nil) != tt.ok {
			t.Errorf("Parse(%q) = %v, %v", tt.list, got, err)
		}
	}
}
