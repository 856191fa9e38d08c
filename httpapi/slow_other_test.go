//go:build !linux

package httpapi

// awaitBlocked cannot tell here.
func (w *world) awaitBlocked() {}
