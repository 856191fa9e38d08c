package device

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"

	"queen-rbee/hives"
)

// nothingThere is nvidia-smi's exit code where a driver is but no device.
const nothingThere = 6

// nvidia reads what nvidia-smi says of NVIDIA's devices. Used by one goroutine at a time.
type nvidia struct {
	run    runner
	system func() (memory, error) // for devices without memory of their own
	shown  *visible
	names  *names
}

func newNVIDIA(run runner, system func() (memory, error), shown *visible) *nvidia {
	return &nvidia{run: run, system: system, shown: shown, names: newNames("gpu")}
}

// smiLog is the part of `nvidia-smi -q -x` that is used. A value is a number with a unit, or
// words such as N/A where the device has none.
type smiLog struct {
	XMLName xml.Name `xml:"nvidia_smi_log"`
	GPUs    []smiGPU `xml:"gpu"`
}

type smiGPU struct {
	UUID  string `xml:"uuid"`
	Total string `xml:"fb_memory_usage>total"`
	Free  string `xml:"fb_memory_usage>free"`
	Busy  string `xml:"utilization>gpu_util"`
	Heat  string `xml:"temperature>gpu_temp"`
	MIG   string `xml:"mig_mode>current_mig"`
}

// partitioned is a GPU that is used only through its instances.
func (g smiGPU) partitioned() bool { return g.MIG == "Enabled" }

func (n *nvidia) read(ctx context.Context) ([]Device, error) {
	text, err := n.run(ctx, "nvidia-smi", "-q", "-x")
	switch {
	case errors.Is(err, exec.ErrNotFound), code(err) == nothingThere:
		return nil, nil
	case err != nil:
		return nil, err
	}
	return n.parse(text)
}

// parse reads a whole log. A GPU in MIG mode is left out: it holds no process as a whole.
func (n *nvidia) parse(text []byte) ([]Device, error) {
	var log smiLog
	if err := xml.Unmarshal(text, &log); err != nil {
		return nil, fmt.Errorf("what it writes cannot be read: %w", err)
	}
	var found []Device
	split := false // CUDA counts differently where a GPU is split
	for _, g := range log.GPUs {
		split = split || g.partitioned()
	}
	for i, g := range log.GPUs {
		if g.UUID == "" || g.partitioned() || !n.shown.shows(i, g.UUID) {
			continue
		}
		d, err := n.device(g)
		if err != nil {
			return nil, fmt.Errorf("GPU %d: %w", i, err)
		}
		d.ID = n.names.name(g.UUID, i)
		if d.Env = []string{"CUDA_DEVICE_ORDER=PCI_BUS_ID", "CUDA_VISIBLE_DEVICES=" + strconv.Itoa(i)}; split {
			d.Env = []string{"CUDA_VISIBLE_DEVICES=" + g.UUID}
		}
		found = append(found, d)
	}
	return found, nil
}

// device reads one GPU. One that shares the system's memory tells none of its own.
func (n *nvidia) device(g smiGPU) (Device, error) {
	d := Device{Device: hives.Device{Kind: KindCUDA, Utilisation: percent(g.Busy), TemperatureC: quantity(g.Heat, "C")}}
	total := quantity(g.Total, "MiB")
	if total == nil {
		m, err := n.system()
		if err != nil {
			return d, err
		}
		d.TotalBytes, d.FreeBytes = m.total, m.free
		return d, nil
	}
	if *total <= 0 || *total > maxMiB {
		return d, fmt.Errorf("memory of %.40q", g.Total)
	}
	d.TotalBytes = int64(*total) << 20
	if free := quantity(g.Free, "MiB"); free != nil {
		d.FreeBytes = ptr(clamp(int64(min(*free, maxMiB)), 0, int64(*total)) << 20)
	}
	return d, nil
}

// maxMiB is more than any device has: 1 PiB.
const maxMiB = 1 << 30

// quantity reads a number with a unit, "61 C"; nil when it is something else.
func quantity(text, unit string) *float64 {
	number, ok := strings.CutSuffix(strings.TrimSpace(text), unit)
	if !ok {
		return nil
	}
	v, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if err != nil || v != v || v > 1e15 || v < -1e15 {
		return nil
	}
	return &v
}

// percent reads "83 %" as 0.83.
func percent(text string) *float64 {
	v := quantity(text, "%")
	if v == nil {
		return nil
	}
	share := min(max(*v/100, 0), 1)
	return &share
}
