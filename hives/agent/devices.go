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

// measured is how old a measurement of the devices may be.
const measured = time.Second

// devices measures what this hive has to hold models in. Safe for concurrent use.
type devices struct {
	declared []device.Declared
	detect   func(context.Context) ([]hives.Device, error)
	logger   hclog.Logger

	mu   sync.Mutex
	last []hives.Device
	at   time.Time
}

// now gives the devices with their free memory; the last known when they cannot be measured.
func (d *devices) now(ctx context.Context) []hives.Device {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.last != nil && time.Since(d.at) < measured {
		return slices.Clone(d.last)
	}
	found, err := d.detect(ctx)
	if err != nil {
		d.logger.Warn("devices cannot be measured", "error", err)
		if d.last != nil {
			return slices.Clone(d.last)
		}
	}
	d.last, d.at = device.Override(found, d.declared), time.Now()
	return slices.Clone(d.last)
}

// has tells whether there is a device of that id.
func (d *devices) has(id string) bool {
	return slices.ContainsFunc(d.now(context.Background()), func(one hives.Device) bool { return one.ID == id })
}
