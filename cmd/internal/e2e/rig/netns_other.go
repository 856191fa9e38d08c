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

func removeNets(string) {}
