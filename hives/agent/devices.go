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
	measureTime = 10 * time.Second // for one measurement
	// Between two measurements. A tool that takes long takes a processor as long, as a rule: it
	// rests four times that.
	measureEvery = time.Second
	measureMost  = 30 * time.Second
	measureRest  = 4
)

// detector measures what a machine has; device.Detector is the real one. Safe for concurrent use.
type detector interface {
	Detect(context.Context) ([]device.Device, error)
	Free(ctx context.Context, id string) (bytes int64, ok bool)
}

// devices measures what this hive has to hold models in. It does so beside everything else: a
// vendor's tool may be slow, and neither heartbeats nor doorbells wait for it. Safe for
// concurrent use.
type devices struct {
	declared []device.Declared
	detector detector
	logger   hclog.Logger
	known    chan struct{} // closed after the first measurement

	mu   sync.Mutex
	last []device.Device
	said string // the last failure that was logged
}

func newDevices(declared []device.Declared, detector detector, logger hclog.Logger) *devices {
	return &devices{declared: declared, detector: detector, logger: logger, known: make(chan struct{})}
}

// run measures until ctx ends.
func (d *devices) run(ctx context.Context) {
	took := d.measure(ctx)
	close(d.known)
	for sleep(ctx, min(max(measureEvery, measureRest*took), measureMost)) {
		took = d.measure(ctx)
	}
}

// measure tells how long it took. It keeps what was known when it learns nothing.
func (d *devices) measure(ctx context.Context) time.Duration {
	began := time.Now()
	measuring, cancel := context.WithTimeout(ctx, measureTime)
	defer cancel()
	found, err := d.detector.Detect(measuring)
	if ctx.Err() != nil {
		return 0
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.tell(err)
	if len(found) > 0 || d.last == nil {
		d.last = device.Override(found, d.declared)
	}
	return time.Since(began)
}

// tell logs a failure once, not each second. The caller holds the lock.
func (d *devices) tell(err error) {
	said := ""
	if err != nil {
		said = err.Error()
	}
	switch {
	case said == d.said:
	case said != "":
		d.logger.Warn("devices cannot be measured", "error", said)
	default:
		d.logger.Info("devices can be measured again")
	}
	d.said = said
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
	list := make([]hives.Device, 0, len(d.last))
	for _, one := range d.last {
		list = append(list, one.Device)
	}
	return list
}

// has tells whether there is a device of that id. It does not wait.
func (d *devices) has(id string) bool {
	_, ok := d.find(id)
	return ok
}

// environ is what holds a process to the device of that id. It does not wait.
func (d *devices) environ(id string) []string {
	one, _ := d.find(id)
	return one.Env
}

// free measures what is free on the device of that id now; false when nothing can. It takes as
// long as the vendor's tool does: some seconds at the most.
func (d *devices) free(ctx context.Context, id string) (bytes int64, ok bool) {
	one, known := d.find(id)
	if !known {
		return 0, false
	}
	bytes, ok = d.detector.Free(ctx, id)
	return min(bytes, one.TotalBytes), ok
}

func (d *devices) find(id string) (device.Device, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	i := slices.IndexFunc(d.last, func(one device.Device) bool { return one.ID == id })
	if i < 0 {
		return device.Device{}, false
	}
	return d.last[i], true
}
