package fleet

import (
	"fmt"
	"maps"
	"testing"
	"time"

	"queen-rbee/fsm"
	"queen-rbee/hives"
	"queen-rbee/schedule"
	"queen-rbee/schedule/scheduletest"
)

// stillQueen is a queen with one view and a clock of the test's.
type stillQueen struct {
	Queen
	view *fsm.View
	now  fsm.Time
}

func (q *stillQueen) View() *fsm.View { return q.view }
func (q *stillQueen) Now() fsm.Time   { return q.now }

// crowded is the fleet of a queen with so many hives, all heard once.
func crowded(t testing.TB, n int) (*Fleet, *stillQueen) {
	t.Helper()
	crowd, err := scheduletest.NewCrowd(n, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	q := &stillQueen{view: crowd.World.View, now: scheduletest.Now}
	f := &Fleet{queen: q, heard: map[string]*heard{}}
	for i := range n {
		beatOf(t, f, fmt.Sprintf("h%04d", i), 1, 1)
	}
	return f, q
}

func beatOf(t testing.TB, f *Fleet, id string, seq uint64, free int64) {
	t.Helper()
	done, err := f.hear(t.Context(), id, "b", &hives.Heartbeat{Incarnation: 1, Seq: seq, Devices: []hives.Device{{ID: "g", FreeBytes: &free}}})
	if err != nil {
		t.Fatal(err)
	}
	done()
}

// What a plan is given, before and after anything that may happen to hives; what an earlier one
// was given stays as it was.
func TestTelemetry(t *testing.T) {
	f, q := crowded(t, 3)
	var given []map[string]schedule.HiveTelemetry
	var copies []map[string]schedule.HiveTelemetry
	expect := func(what string, want map[string]fsm.Time) {
		t.Helper()
		got, _ := f.Telemetry()
		for id, at := range want {
			if got[id].LastBeat != at || got[id].Free["g"] == 0 && at != 0 {
				t.Errorf("%s: %s is %+v, want a beat at %v", what, id, got[id], at)
			}
		}
		given, copies = append(given, got), append(copies, maps.Clone(got))
	}
	first := q.now
	expect("at first", map[string]fsm.Time{"h0000": first, "h0001": first, "h0002": first, "new": 0})
	expect("again", map[string]fsm.Time{"h0000": first, "h0001": first, "h0002": first})
	q.now += time.Second
	second := q.now
	beatOf(t, f, "h0001", 2, 7)
	beatOf(t, f, "new", 1, 7) // not in the state yet
	expect("two were heard", map[string]fsm.Time{"h0000": first, "h0001": second, "h0002": first})
	q.now += forget
	expect("the new one is remembered as long as promised", map[string]fsm.Time{"h0001": second})
	if at, _ := f.Heard("new"); at.IsZero() {
		t.Error("forgotten early")
	}
	q.now += forget + 1
	expect("and no longer", map[string]fsm.Time{"h0000": first, "h0001": second, "new": 0})
	if at, _ := f.Heard("new"); !at.IsZero() {
		t.Error("remembered for ever")
	}
	beatOf(t, f, "new", 1, 9)
	expect("heard again, from its first beat", map[string]fsm.Time{"h0002": first})
	if at, _ := f.Heard("new"); at.IsZero() {
		t.Error("not remembered again")
	}
	q.view = fsm.New().View() // of a state that was replaced
	q.now += forget + 1
	expect("in a state that knows none", map[string]fsm.Time{"h0000": 0, "new": 0})
	for i := range given {
		if !maps.EqualFunc(given[i], copies[i], func(a, b schedule.HiveTelemetry) bool {
			return a.LastBeat == b.LastBeat && maps.Equal(a.Free, b.Free)
		}) {
			t.Errorf("what plan %d was given has changed", i)
		}
	}
}

// BenchmarkTelemetry is what a plan pays for knowing 1,000 hives.
func BenchmarkTelemetry(b *testing.B) {
	for name, beats := range map[string]int{"silent": 0, "one beat": 1, "ten beats": 10} {
		b.Run(name, func(b *testing.B) {
			f, _ := crowded(b, 1000)
			seq := uint64(1)
			for b.Loop() {
				seq++
				for i := range beats {
					beatOf(b, f, fmt.Sprintf("h%04d", i), seq, 1)
				}
				if out, _ := f.Telemetry(); len(out) != 1000 {
					b.Fatal(len(out))
				}
			}
		})
	}
}
