//go:build !linux

package rig

import (
	"context"
	"errors"
	"net"
	"testing"
)

// Net is a network of its own, which only Linux offers.
type Net struct{}

// NetsPossible says no.
func NetsPossible() error { return errors.New("network namespaces need Linux") }

// NewNet skips the test.
func NewNet(t testing.TB, _ ...string) *Net {
	t.Helper()
	t.Skip("network namespaces need Linux")
	return nil
}

// Namespace is never reached.
func (*Net) Namespace(string) string { return "" }

// IP is never reached.
func (*Net) IP(string) string { return "" }

// Cut is never reached.
func (*Net) Cut(testing.TB, string) {}

// Heal is never reached.
func (*Net) Heal(testing.TB, string) {}

// Dial is never reached.
func (*Net) Dial(context.Context, string, string) (net.Conn, error) {
	return nil, errors.ErrUnsupported
}

// Way is the packets from one group of a Net to another.
type Way struct{ From, To string }

// Weather is what a Net does to its packets, on Linux.
type Weather struct {
	Cut   []Way
	Loss  map[string]int
	Limit map[string]int
}

// Fallible is never reached.
func (*Net) Fallible() error { return errors.ErrUnsupported }

// Apply is never reached.
func (*Net) Apply(Weather) error { return errors.ErrUnsupported }

// DialAs is never reached.
func (*Net) DialAs(context.Context, string, string, string) (net.Conn, error) {
	return nil, errors.ErrUnsupported
}

// ListenAs is never reached.
func (*Net) ListenAs(context.Context, string, string) (net.Listener, error) {
	return nil, errors.ErrUnsupported
}

// Disk needs Linux.
func Disk(testing.TB, string, int) (string, error) { return "", errors.ErrUnsupported }

// Volume needs Linux.
type Volume struct{ Dir string }

// NewVolume needs Linux.
func NewVolume(testing.TB, string, int) (*Volume, error) { return nil, errors.ErrUnsupported }

// RequireVolume skips.
func RequireVolume(t testing.TB, _ string, _ int) *Volume {
	t.Skip("needs Linux")
	return nil
}

// Hang is never reached.
func (*Volume) Hang() error { return errors.ErrUnsupported }

// Mend is never reached.
func (*Volume) Mend() error { return errors.ErrUnsupported }

func removeNets(string) {}

func removeMounts(string) {}
