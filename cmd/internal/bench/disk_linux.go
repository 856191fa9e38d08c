package bench

import (
	"fmt"
	"os"
	"syscall"
)

func fdatasync(f *os.File) error { return syscall.Fdatasync(int(f.Fd())) }

// fileSystem names the kind of file system a directory lies on. On one in memory an
// fdatasync costs nothing, and every ratio to it is worthless.
func fileSystem(dir string) string {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return "an unknown file system"
	}
	names := map[int64]string{0xef53: "ext4", 0x58465342: "xfs", 0x9123683e: "btrfs", 0x01021994: "tmpfs (memory: syncing costs nothing)",
		0x794c7630: "overlay", 0x2fc12fc1: "zfs"}
	if n := names[st.Type]; n != "" {
		return n
	}
	return fmt.Sprintf("file system %#x", st.Type)
}
