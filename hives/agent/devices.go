package agent

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"queen-rbee/hives"
	"queen-rbee/hives/device"
)

const (
	measureEvery = time.Second
	measureTime  = 10 * time.Second // for one measurement
)

// devices measures what this hive has to hold models in. It does so beside everything else: a
// vendor's tool may be slow, and neither heartbeats nor doorbells wait for it. Safe for
// concurrent use.
type devices struct {
	declared []device.Declared
	detect   func(context.Context) ([]hives.Device, error)
	logger   hclog.Logger
	known    chan struct{} // closed after the first measurement

	mu   sync.Mutex
	last []hives.Device
}

func newDevices(declared []device.Declared, detect func(context.Context) ([]hives.Device, error), logger hclog.Logger) *devices {
	return &devices{declared: declared, detect: detect, logger: logger, known: make(chan struct{})}
}

// run measures until ctx ends.
func (d *devices) run(ctx context.Context) {
	d.measure(ctx)
	close(d.known)
	for sleep(ctx, measureEvery) {
		d.measure(ctx)
	}
}

// measure keeps what was known when it fails; at first, what is declared.
func (d *devices) measure(ctx context.Context) {
	measuring, cancel := context.WithTimeout(ctx, measureTime)
	defer cancel()
	found, err := d.detect(measuring)
	if err != nil && ctx.Err() == nil {
		d.logger.Warn("devices cannot be measured", "error", err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if err == nil || d.last == nil {
		d.last = device.Override(found, d.declared)
	}
}

// now gives the devices with their free memory as they were measured last. It waits for the
// first measurement, or for the end of ctx.
func (d *devices) now(ctx context.Context) []hives.Device {
	select {
	case <-d.known:
	case <-ctx.Done():
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.last)
}

// has tells whether there is a device of that id. It does not wait.
func (d *devices) has(id string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.ContainsFunc(d.last, func(one hives.Device) bool { return one.ID == id })
}
