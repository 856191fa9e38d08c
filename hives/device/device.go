package device

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
)

// Kinds of devices. A worker on the CPU uses the system's memory.
const (
	KindCPU   = "cpu"
	KindCUDA  = "cuda"
	KindROCm  = "rocm"
	KindMetal = "metal"
)

// maxDeclared bounds the devices of one hive.
const maxDeclared = 64

// Declared is a device as an operator writes it in the hive's config, under `devices:`.
type Declared struct {
	ID         string `yaml:"id"`
	Kind       string `yaml:"kind"`
	TotalBytes Bytes  `yaml:"total_bytes"`
}

// Bytes is a size. In YAML it is a number of bytes or a number with a unit: 512MiB, 24GiB, 80GB.
type Bytes int64

// Override returns detected with the declared devices laid over it, sorted by id. It changes
// neither argument. What was measured stays, free memory cut to the declared total; a device
// that was not detected has no figures. The system's memory is left out where another device was
// detected, unless it is declared: whoever places models would take it for the largest.
func Override(detected []Device, declared []Declared) []Device {
	out := slices.Clone(detected)
	for _, d := range declared {
		i := slices.IndexFunc(out, func(o Device) bool { return o.ID == d.ID })
		if i < 0 {
			i = len(out)
			out = append(out, Device{})
		}
		dev := &out[i]
		dev.ID, dev.Kind, dev.TotalBytes = d.ID, d.Kind, int64(d.TotalBytes)
		if dev.FreeBytes != nil {
			dev.FreeBytes = ptr(min(*dev.FreeBytes, dev.TotalBytes))
		}
	}
	if slices.ContainsFunc(detected, func(o Device) bool { return o.Kind != KindCPU }) {
		out = slices.DeleteFunc(out, func(o Device) bool {
			return o.ID == CPU && !slices.ContainsFunc(declared, func(d Declared) bool { return d.ID == CPU })
		})
	}
	slices.SortFunc(out, func(a, b Device) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

var idPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$`)

// Check reports the first thing wrong with declared devices, naming the field and the fix.
func Check(declared []Declared) error {
	if len(declared) > maxDeclared {
		return fmt.Errorf("devices: %d declared, at most %d are allowed", len(declared), maxDeclared)
	}
	seen := map[string]bool{}
	for i, d := range declared {
		switch {
		case !idPattern.MatchString(d.ID):
			return fmt.Errorf("devices[%d].id: %.70q: use 1 to 64 letters, digits and . _ : -, such as gpu0", i, d.ID)
		case seen[d.ID]:
			return fmt.Errorf("devices[%d].id: %q is declared twice: give each device its own id", i, d.ID)
		case !slices.Contains([]string{KindCPU, KindCUDA, KindROCm, KindMetal}, d.Kind):
			return fmt.Errorf("devices[%d].kind: %.40q: use %s, %s, %s or %s", i, d.Kind, KindCPU, KindCUDA, KindROCm, KindMetal)
		case d.TotalBytes <= 0:
			return fmt.Errorf("devices[%d].total_bytes: missing or zero: give the device's memory, such as 24GiB", i)
		}
		seen[d.ID] = true
	}
	return nil
}

func ptr(v int64) *int64 { return &v }
