package nemesis

import (
	"maps"
	"sync"

	"queen-rbee/cmd/internal/e2e/rig"
)

// sky is the weather of all steps under way together. Safe for concurrent use.
type sky struct {
	net *rig.Net

	mu     sync.Mutex
	next   int
	fronts map[int]rig.Weather
}

// add brings weather until clear is called.
func (s *sky) add(w rig.Weather) (clear func() error, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fronts == nil {
		s.fronts = map[int]rig.Weather{}
	}
	id := s.next
	s.next++
	s.fronts[id] = w
	clear = func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.fronts, id)
		return s.net.Apply(sum(s.fronts))
	}
	return clear, s.net.Apply(sum(s.fronts))
}

// sum is the worst of all.
func sum(fronts map[int]rig.Weather) rig.Weather {
	all := rig.Weather{Loss: map[string]int{}, Limit: map[string]int{}}
	for _, w := range fronts {
		all.Cut = append(all.Cut, w.Cut...)
		maps.Copy(all.Loss, w.Loss)
		maps.Copy(all.Limit, w.Limit)
	}
	return all
}
