//go:build !linux

package device

// cpuTime is not known on this system.
func cpuTime() (ticks, bool) { return ticks{}, false }
