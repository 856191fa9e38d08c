package rig

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Disk makes a small disk in memory below Root and gives its directory. It goes away with the
// test: call it before the cluster that uses it is made.
func Disk(t testing.TB, name string, mib int) (string, error) {
	dir := filepath.Join(root, name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	if err := command("mount", "-t", "tmpfs", "-o", fmt.Sprintf("size=%dm,mode=700", mib), "rbee-e2e", dir); err != nil {
		return "", err
	}
	t.Cleanup(func() { removeMounts(dir) })
	return dir, nil
}

// command runs a program of the system for ten seconds at most.
func command(name string, args ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if out, err := exec.CommandContext(ctx, name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

// removeMounts unmounts everything at or below a directory. What hangs goes on first: nobody
// ends who waits for it. Whoever has not ended yet keeps a file system, and nobody sees it.
func removeMounts(dir string) {
	data, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return
	}
	for line := range strings.Lines(string(data)) {
		f := strings.Fields(line)
		if len(f) > 1 && (f[1] == dir || strings.HasPrefix(f[1], dir+"/")) {
			_ = control(f[1], fiThaw) // most do not hang, or cannot
			if command("umount", f[1]) != nil {
				_ = command("umount", "-l", f[1])
			}
		}
	}
}
