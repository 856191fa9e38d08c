package rig

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// Requests of linux/fs.h: nothing more is written to a file system, and who writes waits in the
// kernel, where no signal reaches him; until it is thawed.
const (
	fiFreeze = 0xc0045877
	fiThaw   = 0xc0045878
)

// Volume is a small file system on a file. It can be made to hang, as a disk does whose
// controller is gone.
type Volume struct{ Dir string }

// NewVolume makes one below Root: an error where the system gives no loop device. It goes away
// with the test: call it before the cluster that uses it is made.
func NewVolume(t testing.TB, name string, mib int) (*Volume, error) {
	v := &Volume{Dir: filepath.Join(root, name)}
	image := v.Dir + ".img"
	if err := os.MkdirAll(v.Dir, 0o700); err != nil {
		return nil, err
	}
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		return nil, err
	}
	if err := os.Truncate(image, int64(mib)<<20); err != nil {
		return nil, err
	}
	if err := command("mkfs.ext4", "-q", "-F", "-m", "0", "-O", "^has_journal", image); err != nil {
		return nil, err
	}
	if err := command("mount", "-o", "loop", image, v.Dir); err != nil {
		return nil, err
	}
	t.Cleanup(func() { removeMounts(v.Dir) })
	if err := errors.Join(v.Hang(), v.Mend()); err != nil {
		return nil, err
	}
	return v, nil
}

// RequireVolume makes one for a test, which is skipped where there can be none unless
// RBEE_REQUIRE names volume.
func RequireVolume(t testing.TB, name string, mib int) *Volume {
	t.Helper()
	v, err := NewVolume(t, name, mib)
	if err != nil {
		Lacks(t, "volume", fmt.Sprintf("no file system that can hang: %v", err))
	}
	return v
}

// Hang lets whoever writes wait.
func (v *Volume) Hang() error { return control(v.Dir, fiFreeze) }

// Mend lets them go on. What does not hang is left as it is.
func (v *Volume) Mend() error {
	if err := control(v.Dir, fiThaw); err != nil && !errors.Is(err, unix.EINVAL) {
		return err
	}
	return nil
}

// control makes a request of a file system.
func control(dir string, request uint) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	if err := unix.IoctlSetInt(int(f.Fd()), request, 0); err != nil {
		return fmt.Errorf("%s: %w", dir, err)
	}
	return nil
}
