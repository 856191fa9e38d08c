package fsm

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
)

// checkRooms finds anew, hive by hive, where one more worker of a model fits, and the workers
// on their way.
func checkRooms(v *View) error {
	type place struct {
		hive string
		free int64
	}
	var errs []error
	n, coming := 0, 0
	models := map[string]bool{"unknown": true}
	for w := range v.Workers() {
		models[w.Model] = true
	}
	for h := range v.Hives() {
		for _, m := range h.Facts.Models {
			models[m.Ref] = true
		}
	}
	for model := range models {
		var want [2][]place
		for h := range v.Hives() {
			held, best := 0, int64(-1)
			for w := range v.Workers() {
				if w.Hive == h.ID && w.Model == model && (w.State == WorkerSpawning || w.State == WorkerLoading || w.State == WorkerReady) {
					held = 1
				}
			}
			for _, d := range h.Facts.Devices {
				free := d.Total
				for w := range v.Workers() {
					if w.Hive == h.ID && w.Device == d.ID && (!w.State.Gone() || w.Holds) {
						free -= w.VRAM
					}
				}
				free = max(free, 0)
				for _, m := range h.Facts.Models {
					if m.Ref == model && m.VRAM <= free && m.VRAM <= d.Total {
						best = max(best, free)
					}
				}
			}
			if best >= 0 {
				want[held] = append(want[held], place{h.ID, best})
			}
		}
		for held, list := range want {
			slices.SortFunc(list, func(a, b place) int { return cmp.Or(cmp.Compare(b.free, a.free), cmp.Compare(a.hive, b.hive)) })
			var got []place
			for hive, free := range v.Rooms(model, held == 1) {
				got = append(got, place{hive, free})
			}
			if !slices.Equal(got, list) {
				errs = append(errs, fmt.Errorf("rooms for %s, held %d: index has %v, a scan finds %v", model, held, got, list))
			}
			n += len(list)
		}
		var want2, got []string
		for w := range v.Workers() {
			if w.Model == model && (w.State == WorkerSpawning || w.State == WorkerLoading) {
				want2 = append(want2, w.ID)
			}
		}
		for w := range v.Coming(model) {
			got = append(got, w.ID)
		}
		errs = append(errs, same("workers coming of "+model, got, want2))
		coming += len(want2)
	}
	if v.rooms.len() != n || v.coming.len() != coming {
		errs = append(errs, fmt.Errorf("%d rooms and %d workers coming in the indexes, a scan finds %d and %d", v.rooms.len(), v.coming.len(), n, coming))
	}
	return errors.Join(errs...)
}
