package engine

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"

	"queen-rbee/hives/device"
)

const (
	builtinBinary = "rbee-worker"
	// builtinVRAM is what the built-in engine takes at most: its text and its chain.
	builtinVRAM = 256 << 20
)

// builtin completes d for our own rbee-worker.
func (s Spec) builtin(d Definition) (Definition, error) {
	binary, err := findBuiltin(s.Binary)
	if err != nil {
		return Definition{}, fieldError(d.Name, "binary", "%v", err)
	}
	d.Command = slices.Concat(
		[]string{literal(binary), "--addr", "{{.Addr}}", "--model", "{{.Model}}", "--slots", "{{.Slots}}"}, s.Args)
	d.Models = []Model{{
		Ref:       BuiltinModel,
		VRAMBytes: int64(cmp.Or(s.VRAMBytes, device.Bytes(builtinVRAM))),
		Slots:     cmp.Or(s.Slots, DefaultSlots),
	}}
	return d, d.Validate()
}

// findBuiltin returns the path of rbee-worker: the configured one, else beside this executable,
// else on PATH.
func findBuiltin(configured string) (string, error) {
	if configured != "" {
		p, err := exec.LookPath(configured)
		if err != nil {
			return "", fmt.Errorf("%w: give the path of an executable %s", err, builtinBinary)
		}
		return p, nil
	}
	if self, err := os.Executable(); err == nil {
		if p, err := exec.LookPath(filepath.Join(filepath.Dir(self), builtinBinary)); err == nil {
			return p, nil
		}
	}
	if p, err := exec.LookPath(builtinBinary); err == nil {
		return filepath.Abs(p)
	}
	return "", errors.New(builtinBinary + " is neither beside this program nor on PATH: set the path here")
}
