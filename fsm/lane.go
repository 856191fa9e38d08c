package fsm

import (
	"encoding/binary"
	"iter"
	"math"
)

// A lane is the ready jobs of one model that ask the same of a hive, in the order of the
// queue: when one of them finds no slot, none behind it does. The index of lanes is there so
// that a plan can pass over all of them at once, and the index of heads so that it finds the
// first of each without reading the others.

// Constraint names what a job asks of a hive: its pin, its labels, the hive it avoids. Jobs of
// one model and constraint have one fate. It is empty for a job that any hive may run.
func (j *Job) Constraint() string {
	if j.Pin == "" && j.Avoid == "" && len(j.Labels) == 0 {
		return ""
	}
	b := make([]byte, 0, 64)
	add := func(s string) {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	add(j.Pin)
	add(j.Avoid)
	for _, l := range j.Labels {
		add(l.Key)
		add(l.Value)
	}
	return string(b)
}

func lessLane(a, b *Job) bool {
	if a.Model != b.Model {
		return a.Model < b.Model
	}
	if a.lane != b.lane {
		return a.lane < b.lane
	}
	return lessQueue(a, b)
}

func (j *Job) sameLane(o *Job) bool { return j.Model == o.Model && j.lane == o.lane }

// moveLane keeps the lanes and their heads; a row that stays in its place is replaced there.
func (s *State) moveLane(was, is *Job) {
	had, has := was != nil && isReady(was), is != nil && isReady(is)
	if is != nil {
		is.lane = ""
	}
	if has {
		is.lane = is.Constraint()
		s.words.share(&is.lane)
	}
	if had && has && s.lanes.same(was, is) {
		s.lanes.put(is)
		if _, head := s.heads.get(was); head {
			s.heads.put(is)
		}
		return
	}
	if had {
		s.leaveLane(was)
	}
	if has {
		s.enterLane(is)
	}
}

func (s *State) leaveLane(j *Job) {
	s.lanes.drop(j)
	if _, head := s.heads.get(j); !head {
		return
	}
	s.heads.drop(j)
	if next, ok := s.lanes.next(j); ok && next.sameLane(j) {
		s.heads.put(next)
	}
}

func (s *State) enterLane(j *Job) {
	s.lanes.put(j)
	if before, ok := s.lanes.before(j); ok && before.sameLane(j) {
		return
	}
	if behind, ok := s.lanes.behind(j); ok && behind.sameLane(j) {
		s.heads.drop(behind)
	}
	s.heads.put(j)
}

// laneTree is the ready jobs by lane.
type laneTree struct{ tree[*Job] }

func (t laneTree) copy() laneTree { return laneTree{t.tree.copy()} }

func (t laneTree) headOfLane(model, lane string) (*Job, bool) {
	probe := &Job{Model: model, lane: lane, Rank: math.MinInt64}
	j, ok := t.next(probe)
	return j, ok && j.sameLane(probe)
}

// Heads yields the first ready job of each constraint among those of a model, in the order of
// the queue.
func (v *View) Heads(model string) iter.Seq[*Job] {
	return func(yield func(*Job) bool) {
		for j := range v.heads.from(headOf(model)) {
			if j.Model != model || !yield(j) {
				return
			}
		}
	}
}

// Head finds the first ready job of a model and constraint.
func (v *View) Head(model, constraint string) (*Job, bool) {
	return v.lanes.headOfLane(model, constraint)
}

// Behind finds the next ready job of the same model and constraint as one that Head, Heads or
// Behind of this view gave.
func (v *View) Behind(j *Job) (next *Job, ok bool) {
	next, ok = v.lanes.behind(j)
	return next, ok && next.sameLane(j)
}
