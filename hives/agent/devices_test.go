package agent

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"queen-rbee/hives"
	"queen-rbee/hives/device"
)

// TestNobodyWaitsForASlowMeasurement but who asks before there was any.
func TestNobodyWaitsForASlowMeasurement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := int64(0)
		var hangs atomic.Bool
		d := newDevices([]device.Declared{{ID: "gpu0", Kind: device.KindCUDA, TotalBytes: 8}}, func(ctx context.Context) ([]hives.Device, error) {
			n++
			took, free := 3*time.Second, n
			if hangs.Load() {
				took = time.Hour
			}
			if !sleep(ctx, took) {
				return nil, errors.New("the tool hangs")
			}
			return []hives.Device{{ID: "cpu", Kind: device.KindCPU, TotalBytes: 100, FreeBytes: &free}}, nil
		}, hclog.NewNullLogger())
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { d.run(ctx); close(done) }()
		began := time.Now()
		want := func(what string, measured int64, after time.Duration) {
			t.Helper()
			now := d.now(ctx)
			if len(now) != 2 || *now[0].FreeBytes != measured || !d.has("cpu") || !d.has("gpu0") || d.has("gpu1") {
				t.Fatalf("%s: %+v", what, now)
			}
			if took := time.Since(began); took != after {
				t.Fatalf("%s: known after %v, not %v", what, took, after)
			}
		}
		want("the first", 1, 3*time.Second)
		<-time.After(2 * time.Second)
		want("while the second is made", 1, 5*time.Second)
		hangs.Store(true)
		<-time.After(10 * time.Second)
		want("while the third hangs", 2, 15*time.Second)
		hangs.Store(false)
		<-time.After(10 * time.Second)
		want("after it was given up", 4, 25*time.Second)
		stop()
		<-done
	})
}
