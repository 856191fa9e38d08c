package device

import "golang.org/x/sys/unix"

// systemMemory knows the total alone: macOS has no single number for what is available.
func systemMemory() (memory, error) {
	n, err := unix.SysctlUint64("hw.memsize")
	return memory{total: int64(n)}, err
}
