package nemesis

import (
	"reflect"
	"testing"

	"queen-rbee/cmd/internal/e2e/rig"
)

func TestWeatherIsTheSumOfItsFronts(t *testing.T) {
	got := sum(map[int]rig.Weather{
		1: {Cut: both([]string{"a"}, []string{"b"})},
		2: {Loss: map[string]int{"a": 30}},
		3: {Limit: map[string]int{"b": 256}},
	})
	want := rig.Weather{
		Cut:  []rig.Way{{From: "a", To: "b"}, {From: "b", To: "a"}},
		Loss: map[string]int{"a": 30}, Limit: map[string]int{"b": 256},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the sum is %+v, want %+v", got, want)
	}
	if got := sum(nil); len(got.Cut)+len(got.Loss)+len(got.Limit) != 0 {
		t.Errorf("a sky without fronts has %+v", got)
	}
}

func TestWays(t *testing.T) {
	got := ways([]string{"a", "b"}, []string{"c"})
	if want := []rig.Way{{From: "a", To: "c"}, {From: "b", To: "c"}}; !reflect.DeepEqual(got, want) {
		t.Errorf("ways are %v, want %v", got, want)
	}
}
