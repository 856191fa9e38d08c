package device

import (
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"queen-rbee/hives"
)

const (
	vendorAMD = "0x1002"
	// leastVRAM leaves out the part of an APU's memory that is set aside for its screen.
	leastVRAM = 3 << 30
)

// amd reads what the amdgpu driver shows of AMD's devices below /sys. Used by one goroutine at
// a time.
type amd struct {
	root  fs.FS
	shown *visible
	names *names
}

func newAMD(root fs.FS, shown *visible) *amd {
	return &amd{root: root, shown: shown, names: newNames("rocm")}
}

var cardPattern = regexp.MustCompile(`^card([0-9]{1,6})$`)

func (a *amd) read(context.Context) ([]Device, error) {
	entries, err := fs.ReadDir(a.root, "sys/class/drm")
	if err != nil {
		return nil, nil //nolint:nilerr // a system without graphics has no such directory
	}
	var cards []int
	for _, e := range entries {
		if m := cardPattern.FindStringSubmatch(e.Name()); m != nil {
			n, _ := strconv.Atoi(m[1]) // six digits at most
			cards = append(cards, n)
		}
	}
	slices.Sort(cards)
	order := a.order()
	var found []Device
	for _, card := range cards {
		dir := fmt.Sprintf("sys/class/drm/card%d/device", card)
		total, ok := readNumber(a.root, path.Join(dir, "mem_info_vram_total"))
		if vendor, _ := readBounded(a.root, path.Join(dir, "vendor")); !ok || strings.TrimSpace(vendor) != vendorAMD || total < leastVRAM {
			continue
		}
		uuid, index := a.uuid(dir), a.index(dir, order, len(found))
		if !a.shown.shows(index, uuid) {
			continue
		}
		d := a.device(dir, total)
		d.ID = a.names.name(cmp.Or(uuid, dir), len(found))
		// HIP counts what ROCr leaves: an index that the agent inherited would choose nothing.
		d.Env = []string{"ROCR_VISIBLE_DEVICES=" + cmp.Or(uuid, strconv.Itoa(index)), "HIP_VISIBLE_DEVICES=0"}
		found = append(found, d)
	}
	return found, nil
}

func (a *amd) device(dir string, total int64) Device {
	d := Device{Device: hives.Device{Kind: KindROCm, TotalBytes: total}}
	if used, ok := readNumber(a.root, path.Join(dir, "mem_info_vram_used")); ok {
		d.FreeBytes = ptr(clamp(total-used, 0, total))
	}
	if busy, ok := readNumber(a.root, path.Join(dir, "gpu_busy_percent")); ok {
		share := float64(clamp(busy, 0, 100)) / 100
		d.Utilisation = &share
	}
	// The edge's sensor is the first; accelerators for servers have only the junction's.
	for _, name := range []string{"temp1_input", "temp2_input"} {
		sensors, _ := fs.Glob(a.root, path.Join(dir, "hwmon/hwmon*", name)) // fails on a bad pattern alone
		for _, sensor := range sensors {
			if milli, ok := readNumber(a.root, sensor); ok && d.TemperatureC == nil {
				heat := float64(milli) / 1000
				d.TemperatureC = &heat
			}
		}
	}
	return d
}

// uuid is the name under which ROCr knows a device, "" where it has none.
func (a *amd) uuid(dir string) string {
	text, err := readBounded(a.root, path.Join(dir, "unique_id"))
	if err != nil {
		return ""
	}
	id, err := strconv.ParseUint(strings.TrimPrefix(strings.TrimSpace(text), "0x"), 16, 64)
	if err != nil || id == 0 {
		return ""
	}
	return fmt.Sprintf("GPU-%016x", id)
}

// index is the number by which ROCr counts a device.
func (a *amd) index(dir string, order map[string]int, otherwise int) int {
	entries, err := fs.ReadDir(a.root, path.Join(dir, "drm"))
	if err != nil {
		return otherwise
	}
	for _, e := range entries {
		if minor, ok := strings.CutPrefix(e.Name(), "renderD"); ok {
			if i, known := order[minor]; known {
				return i
			}
		}
	}
	return otherwise
}

// order numbers the devices as ROCr does, the nodes of the compute driver in turn, by the minor
// number of their render nodes.
func (a *amd) order() map[string]int {
	const nodes = "sys/class/kfd/kfd/topology/nodes"
	entries, err := fs.ReadDir(a.root, nodes)
	if err != nil {
		return nil
	}
	var numbers []int
	for _, e := range entries {
		if n, err := strconv.Atoi(e.Name()); err == nil {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	order := map[string]int{}
	for _, n := range numbers {
		f, err := readFields(a.root, path.Join(nodes, strconv.Itoa(n), "properties"))
		if err != nil || f["simd_count"] <= 0 { // a CPU is a node too
			continue
		}
		order[strconv.FormatInt(f["drm_render_minor"], 10)] = len(order)
	}
	return order
}
