package fsm

import (
	"cmp"
	"iter"
	"math"
	"slices"
)

// room is a hive that offers a model and on which one more worker of it fits.
type room struct {
	model string
	held  bool  // the hive has a worker of the model already
	free  int64 // bytes free on the device that has most, among those that fit
	hive  string
}

func compareRoom(a, b room) int {
	if c := cmp.Compare(a.model, b.model); c != 0 {
		return c
	}
	if a.held != b.held {
		if a.held {
			return +1
		}
		return -1
	}
	return cmp.Or(cmp.Compare(b.free, a.free), cmp.Compare(a.hive, b.hive))
}

func lessRoom(a, b room) bool { return compareRoom(a, b) < 0 }

// crowded notes that a hive's rooms are to be made anew. They are when the next View is made,
// once for all that a batch does to the hive.
func (s *State) crowded(hive string) {
	if s.unroomed == nil {
		s.unroomed = map[string]bool{}
	}
	s.unroomed[hive] = true
}

// crowdedBy does so when a worker comes, goes or begins to drain.
func (s *State) crowdedBy(was, is *Worker) {
	if was != nil && is != nil && was.Hive == is.Hive && was.Device == is.Device && was.Model == is.Model &&
		was.VRAM == is.VRAM && was.takes() == is.takes() && was.State.holds() == is.State.holds() {
		return
	}
	for _, w := range []*Worker{was, is} {
		if w != nil {
			s.crowded(w.Hive)
		}
	}
}

// takes tells a worker whose memory is not free: one that is gone takes it until its hive says
// so.
func (w *Worker) takes() bool { return !w.State.Gone() || w.Holds }

// holds tells a worker that counts as one that its model has.
func (s WorkerState) holds() bool { return !s.Gone() && s != WorkerDraining }

// settleRooms brings the rooms of all hives that were noted up to date.
func (s *State) settleRooms() {
	if len(s.unroomed) == 0 {
		return
	}
	if s.roomsOn == nil {
		s.roomsOn, s.spacesOn = map[string][]room{}, map[string][]space{}
	}
	for id := range s.unroomed {
		var is []room
		var spaces []space
		if h, ok := s.hives.get(id); ok {
			free := s.freeOn(h)
			is, spaces = s.makeRooms(h, free), makeSpaces(h, free)
		}
		moveAll(s.rooms, s.roomsOn[id], is)
		moveAll(s.spaces, s.spacesOn[id], spaces)
		if s.spacesOn[id] = spaces; spaces == nil {
			delete(s.spacesOn, id)
		}
		if s.roomsOn[id] = is; is == nil {
			delete(s.roomsOn, id)
		}
	}
	clear(s.unroomed)
}

// freeOn counts what the workers on a hive leave free of each of its devices.
func (s *State) freeOn(h *Hive) []int64 {
	taken := map[string]int64{}
	for _, workers := range []tree[link]{s.hiveWorkers, s.remaining} {
		for w := range rows(s.workers, linked(workers, h.ID)) {
			taken[w.Device] += w.VRAM
		}
	}
	free := make([]int64, len(h.Facts.Devices))
	for i, d := range h.Facts.Devices {
		free[i] = max(d.Total-taken[d.ID], 0)
	}
	return free
}

// makeRooms finds what fits into what is free on a hive.
func (s *State) makeRooms(h *Hive, free []int64) (list []room) {
	held := map[string]bool{}
	for w := range rows(s.workers, linked(s.hiveWorkers, h.ID)) {
		held[w.Model] = held[w.Model] || w.State.holds()
	}
	for i := range h.Facts.Models {
		m := &h.Facts.Models[i]
		most := int64(-1)
		for i, d := range h.Facts.Devices {
			if m.VRAM <= d.Total && m.VRAM <= free[i] {
				most = max(most, free[i])
			}
		}
		if most >= 0 {
			list = append(list, room{m.Ref, held[m.Ref], most, h.ID})
		}
	}
	slices.SortFunc(list, compareRoom)
	// A model with several engines has one room: the largest, which is the first.
	return slices.CompactFunc(list, func(a, b room) bool { return a.model == b.model })
}

// Rooms yields the hives that offer a model and on which one more worker of it fits, whatever
// was measured, with the bytes free on the best device: most free first, then by id. held
// chooses those that have a worker of the model which neither is gone nor drains, or those
// that have none. Whether a hive may be given work is not looked at.
func (v *View) Rooms(model string, held bool) iter.Seq2[string, int64] {
	return func(yield func(string, int64) bool) {
		for r := range v.rooms.from(room{model: model, held: held, free: math.MaxInt64}) {
			if r.model != model || r.held != held || !yield(r.hive, r.free) {
				return
			}
		}
	}
}

// Coming yields the workers of a model that are spawning or loading, in order of id.
func (v *View) Coming(model string) iter.Seq[*Worker] {
	return rows(v.workers, linked(v.coming, model))
}
