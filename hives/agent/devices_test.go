package agent

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"queen-rbee/hives"
	"queen-rbee/hives/device"
)

// oneCPU is a machine with nothing but a processor.
type oneCPU struct{}

func (oneCPU) Detect(context.Context) ([]device.Device, error) {
	return []device.Device{{Device: hives.Device{ID: "cpu", Kind: device.KindCPU, TotalBytes: 1 << 30}}}, nil
}

func (oneCPU) Free(context.Context, string) (int64, bool) { return 0, false }

// slowTool takes three seconds for each measurement, or for ever. It measures how often it was asked.
type slowTool struct {
	n     int64
	hangs atomic.Bool
}

func (s *slowTool) Detect(ctx context.Context) ([]device.Device, error) {
	s.n++
	took, free := 3*time.Second, s.n
	if s.hangs.Load() {
		took = time.Hour
	}
	if !sleep(ctx, took) {
		return nil, errors.New("the tool hangs")
	}
	return []device.Device{{Device: hives.Device{ID: "gpu1", Kind: device.KindCUDA, TotalBytes: 100, FreeBytes: &free},
		Env: []string{"CUDA_VISIBLE_DEVICES=1"}}}, nil
}

func (s *slowTool) Free(_ context.Context, id string) (int64, bool) { return 99, id == "gpu1" }

// TestNobodyWaitsForASlowMeasurement but who asks before there was any.
func TestNobodyWaitsForASlowMeasurement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tool := &slowTool{}
		d := newDevices([]device.Declared{{ID: "gpu0", Kind: device.KindCUDA, TotalBytes: 8}}, tool, hclog.NewNullLogger())
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { d.run(ctx); close(done) }()
		began := time.Now()
		want := func(what string, measured int64, after time.Duration) {
			t.Helper()
			now := d.now(ctx)
			if len(now) != 2 || *now[1].FreeBytes != measured || !d.has("gpu1") || !d.has("gpu0") || d.has("gpu2") {
				t.Fatalf("%s: %+v", what, now)
			}
			if took := time.Since(began); took != after {
				t.Fatalf("%s: known after %v, not %v", what, took, after)
			}
		}
		want("the first", 1, 3*time.Second)
		<-time.After(13 * time.Second) // it rests for 12
		want("while the second is made", 1, 16*time.Second)
		tool.hangs.Store(true)
		<-time.After(19 * time.Second)
		want("while the third hangs", 2, 35*time.Second)
		tool.hangs.Store(false)
		<-time.After(45 * time.Second) // given up after 10, it rests for 30
		want("after it was given up", 4, 80*time.Second)
		stop()
		<-done
	})
}

// TestAWorkerIsHeldToItsDevice and may ask what is free there.
func TestAWorkerIsHeldToItsDevice(t *testing.T) {
	d := newDevices([]device.Declared{{ID: "gpu1", Kind: device.KindCUDA, TotalBytes: 50}}, &slowTool{}, hclog.NewNullLogger())
	synctest.Test(t, func(t *testing.T) { d.measure(t.Context()) })
	if env := d.environ("gpu1"); !slices.Equal(env, []string{"CUDA_VISIBLE_DEVICES=1"}) || d.environ("gpu0") != nil {
		t.Fatalf("%q", env)
	}
	if free, ok := d.free(t.Context(), "gpu1"); !ok || free != 50 {
		t.Fatalf("%d, %v: more is free than the operator declared", free, ok)
	}
	if _, ok := d.free(t.Context(), "gpu0"); ok {
		t.Fatal("a device that is not there")
	}
}
