package fsm

import (
	"cmp"
	"iter"
	"math"
)

// space is a hive with an engine that takes files, and the bytes free on the device that has
// most.
type space struct {
	engine string
	free   int64
	hive   string
}

func lessSpace(a, b space) bool {
	return cmp.Or(cmp.Compare(a.engine, b.engine), cmp.Compare(b.free, a.free), cmp.Compare(a.hive, b.hive)) < 0
}

func makeSpaces(h *Hive, free []int64) []space {
	if len(free) == 0 || len(h.Facts.Engines) == 0 {
		return nil
	}
	most := free[0]
	for _, n := range free {
		most = max(most, n)
	}
	list := make([]space, len(h.Facts.Engines))
	for i, engine := range h.Facts.Engines {
		list[i] = space{engine, most, h.ID}
	}
	return list
}

// Spaces yields the hives with an engine that takes files and the bytes free on the best of
// their devices by the state's account: most free first, then by id. Whether a hive may be
// given work is not looked at.
func (v *View) Spaces(engine string) iter.Seq2[string, int64] {
	return func(yield func(string, int64) bool) {
		for s := range v.spaces.from(space{engine: engine, free: math.MaxInt64}) {
			if s.engine != engine || !yield(s.hive, s.free) {
				return
			}
		}
	}
}
