package device

import (
	"cmp"
	"context"
	"errors"
	"os"
	"slices"
	"sync"

	"queen-rbee/hives"
)

// Device is what a hive says of one of its devices, and how a process is held to it.
type Device struct {
	hives.Device
	// Env are NAME=value pairs under which a process sees this device and no other of its vendor.
	Env []string
}

// Detector measures this machine's devices again and again. Safe for concurrent use.
type Detector struct {
	sources []*source
}

// NewDetector makes one for this machine. It looks at nothing yet.
func NewDetector() *Detector {
	root := os.DirFS("/")
	return &Detector{sources: []*source{
		newSource("nvidia-smi", newNVIDIA(run, systemMemory, mask("CUDA_VISIBLE_DEVICES")).read),
		newSource("amdgpu", newAMD(root, mask("ROCR_VISIBLE_DEVICES")).read),
		newSource("system", newSystem(systemMemory, cpuTime).read),
	}}
}

// Detect measures all devices, sorted by id. FreeBytes, Utilisation and TemperatureC are nil
// where nothing can measure them. The error tells of every source that failed: devices known
// from it before are there as they were last, with a Note that says so.
func (d *Detector) Detect(ctx context.Context) ([]Device, error) {
	found, errs := make([][]Device, len(d.sources)), make([]error, len(d.sources))
	var wait sync.WaitGroup
	for i, s := range d.sources {
		wait.Go(func() { found[i], errs[i] = s.ask(ctx) })
	}
	wait.Wait()
	all := slices.Concat(found...)
	slices.SortFunc(all, func(a, b Device) int { return cmp.Compare(a.ID, b.ID) })
	return all, errors.Join(errs...)
}

// Free measures what is free on one device now; false when that cannot be measured.
func (d *Detector) Free(ctx context.Context, id string) (bytes int64, ok bool) {
	is := func(one Device) bool { return one.ID == id }
	for _, s := range d.sources {
		if !slices.ContainsFunc(s.known(), is) {
			continue
		}
		now, err := s.ask(ctx)
		if i := slices.IndexFunc(now, is); err == nil && i >= 0 && now[i].FreeBytes != nil {
			return *now[i].FreeBytes, true
		}
	}
	return 0, false
}
