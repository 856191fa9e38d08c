package device

import (
	"context"
	"fmt"
	"runtime"

	"queen-rbee/hives"
)

// Ids of the devices that have the system's memory.
const (
	CPU   = "cpu"
	Metal = "metal" // a Mac's GPU, which shares it
)

// system reads the machine's own memory and how busy its processors are. Used by one goroutine
// at a time.
type system struct {
	memory func() (memory, error)
	time   func() (ticks, bool)
	last   ticks
}

// ticks is what the processors have done since the machine started.
type ticks struct{ busy, all int64 }

func newSystem(memory func() (memory, error), time func() (ticks, bool)) *system {
	return &system{memory: memory, time: time}
}

func (s *system) read(context.Context) ([]Device, error) {
	m, err := s.memory()
	if err != nil {
		return nil, fmt.Errorf("reading its memory on %s: %w", runtime.GOOS, err)
	}
	d := hives.Device{ID: CPU, Kind: KindCPU, TotalBytes: m.total, FreeBytes: m.free}
	if runtime.GOOS == "darwin" && runtime.GOARCH == "arm64" {
		d.ID, d.Kind = Metal, KindMetal // one memory, one device
		return []Device{{Device: d}}, nil
	}
	if now, ok := s.time(); ok {
		d.Utilisation = now.since(s.last)
		s.last = now
	}
	return []Device{{Device: d}}, nil
}

// since is the share of busy time after an earlier reading; nil when there was none.
func (t ticks) since(was ticks) *float64 {
	busy, all := t.busy-was.busy, t.all-was.all
	if was == (ticks{}) || all <= 0 {
		return nil
	}
	share := float64(clamp(busy, 0, all)) / float64(all)
	return &share
}
